import { CodedError } from '@fleetlora/shared/errors';
import pg from 'pg';

/** Where a PostgreSQL database is. */
export interface PostgresAddress {
  /** For the driver; holds the password, so it is never printed. */
  readonly url: string;
  /** "database NAME of HOST:PORT", for people. */
  readonly description: string;
}

const WANTED = 'wanted postgres://USER:PASSWORD@HOST:PORT/DATABASE';

/** True for what names a PostgreSQL database rather than a file. */
export function isPostgresUrl(place: string): boolean {
  return /^postgres(ql)?:/i.test(place);
}

/** @throws BAD_USAGE, which never repeats the text: it may hold a password */
export function parsePostgresUrl(text: string): PostgresAddress {
  const [, scheme] = /^([a-z][a-z0-9+.-]{0,20}):/i.exec(text) ?? [];
  if (scheme === undefined || !isPostgresUrl(text))
    throw new CodedError(
      'BAD_USAGE',
      `DATABASE_URL ${scheme === undefined ? 'is no URL' : `begins with "${scheme}:"`}, ${WANTED}`,
    );
  try {
    const url = new URL(text);
    const { database, host, port } = new pg.Client({ connectionString: url.href });
    const place = host.startsWith('/') ? host : `${host}:${port}`;
    return { url: url.href, description: `database ${database ?? ''} of ${place}` };
  } catch {
    // The reason is left out: it may quote the URL.
    throw new CodedError('BAD_USAGE', `DATABASE_URL cannot be read as an address, ${WANTED}`);
  }
}
