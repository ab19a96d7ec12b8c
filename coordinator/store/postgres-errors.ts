import { CodedError } from '@fleetlora/shared/errors';
import pg from 'pg';
import { describeCause, StoreOutage } from './outage-patience.js';
import type { PostgresAddress } from './postgres-address.js';

/**
 * What the server says when it cannot do it at present, by SQLSTATE or its class.
 * @source PostgreSQL documentation, appendix A
 */
const outages = [
  '08', // connection exceptions
  '57P01', // shut down by the administrator
  '57P02', // crashed
  '57P03', // starting up or shutting down
  '57P05', // idle session cut
  '53', // too few resources: memory, connections
  '58', // system errors
  '25006', // read-only: it became a standby
  '40001', // serialization failure
  '40P01', // deadlock with somebody else's transaction
] as const;
const DISK_FULL = '53100';
/** What no waiting will change: wrong user or password, no such database, no right to use it. */
const misuse = ['28', '3D000', '42501'] as const;

const startsWithOne = (code: string, beginnings: readonly string[]): boolean =>
  beginnings.some((beginning) => code.startsWith(beginning));

/** SQLSTATE of an error of the server; null for one of the connection. */
function sqlStateOf(error: unknown): string | null {
  return error instanceof pg.DatabaseError && /^[0-9A-Z]{5}$/.test(error.code ?? '')
    ? (error.code ?? null)
    : null;
}

/** The error of a statement: a StoreOutage when it may succeed later, else the error itself. */
export function asOutage(error: unknown, address: PostgresAddress): unknown {
  if (error instanceof CodedError) return error;
  const state = sqlStateOf(error);
  const options = { cause: error };
  if (state === DISK_FULL)
    return new StoreOutage('DISK_FULL', `the server's disk is full, ${address.description}`, options);
  // Whatever is no answer of the server happened on the way to it.
  if (state === null || startsWithOne(state, outages))
    return new StoreOutage('STORE_UNAVAILABLE', `${address.description}: ${describeCause(error)}`, options);
  return error;
}

/** The error of a connection that was to be made. `first` is false once there was one. */
export function asConnectError(error: unknown, address: PostgresAddress, first: boolean): unknown {
  const state = sqlStateOf(error);
  if (first && state !== null && startsWithOne(state, misuse))
    return new CodedError('BAD_USAGE', `DATABASE_URL, ${address.description}: ${describeCause(error)}`, {
      cause: error,
    });
  if (error instanceof CodedError) return error;
  return new StoreOutage('STORE_UNAVAILABLE', `${address.description}: ${describeCause(error)}`, {
    cause: error,
  });
}
