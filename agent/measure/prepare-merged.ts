import { CodedError } from '@fleetlora/shared/errors';
import { type ChildOutcome, runChild } from '../child/index.js';

/** What the preparation child is told; a JSON value. */
export interface PreparationRequest {
  readonly baseFile: string;
  readonly adapterFile: string;
  readonly genome: string;
  readonly baseDigest: string;
  readonly adapterDigest: string;
  /** Where the expanded package goes. */
  readonly expandedFile: string;
}

export interface PreparedPackage {
  /** Bytes of the package file, which a release of this candidate would ship. */
  readonly shippedBytes: number;
}

/** Builds and expands the package of a merged candidate in a process of its own. */
export function prepareMerged(
  request: PreparationRequest,
  run: { readonly entry: URL; readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<ChildOutcome<PreparedPackage>> {
  return runChild({ ...run, request, parse: parsePrepared });
}

function parsePrepared(answer: unknown): PreparedPackage {
  const { shippedBytes } = (answer ?? {}) as { shippedBytes?: unknown };
  if (!Number.isSafeInteger(shippedBytes) || (shippedBytes as number) < 0)
    throw new CodedError(
      'MESSAGE_MALFORMED',
      `shippedBytes is ${String(shippedBytes)}, wanted a number of bytes`,
    );
  return { shippedBytes: shippedBytes as number };
}
