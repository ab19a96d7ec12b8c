/**
 * The one error type that crosses module borders, and the table of every code it can carry.
 *
 * Callers branch on `kind` (retry only `unavailable`); people read `message`, which names what
 * was found and what was wanted; machines match on `code`.
 */
export type ErrorKind = 'input' | 'notFound' | 'conflict' | 'unavailable' | 'bug';

export const errorTable = {
  // weights and models
  SAFETENSORS_TRUNCATED: 'input',
  SAFETENSORS_HEADER: 'input',
  SAFETENSORS_OVERLAP: 'input',
  GGUF_TRUNCATED: 'input',
  GGUF_HEADER: 'input',
  GGUF_OVERLAP: 'input',
  WEIGHT_DTYPE: 'input',
  WEIGHT_MISSING: 'input',
  WEIGHT_SHAPE: 'input',
  WEIGHT_NOT_FINITE: 'input',
  LAYOUT_VERSION: 'input',
  UNSUPPORTED_ARCHITECTURE: 'input',
  MODEL_CONFIG: 'input',
  TOKENIZER: 'input',
  ADAPTER_CONFIG: 'input',
  ADAPTER_OTHER_BASE: 'input',
  // space and candidates
  SPACE_INVALID: 'input',
  GENOME_MALFORMED: 'input',
  GENOME_OUTSIDE_SPACE: 'input',
  // data
  DATA_LINE: 'input',
  DATA_EMPTY: 'input',
  DATA_COLUMN: 'input',
  SCORER_INVALID: 'input',
  // wire
  MESSAGE_MALFORMED: 'input',
  MESSAGE_TOO_LARGE: 'input',
  MESSAGE_VERSION: 'input',
  DIGEST_MISMATCH: 'input',
  SIGNATURE_INVALID: 'input',
  // service
  BAD_REQUEST: 'input',
  RANGE_INVALID: 'input',
  BAD_USAGE: 'input',
  BACKUP_INVALID: 'input',
  NOT_LOOPBACK: 'input',
  NODE_TOO_OLD: 'input',
  UNAUTHENTICATED: 'input',
  FORBIDDEN: 'input',
  CODE_UNKNOWN: 'input',
  CODE_EXPIRED: 'input',
  CODE_USED: 'conflict',
  NOT_FOUND: 'notFound',
  ALREADY_EXISTS: 'conflict',
  STATE_CONFLICT: 'conflict',
  NOT_COMPARABLE: 'conflict',
  PORT_IN_USE: 'conflict',
  FOLDER_IN_USE: 'conflict',
  COORDINATOR_UNREACHABLE: 'unavailable',
  STORE_UNAVAILABLE: 'unavailable',
  DISK_FULL: 'unavailable',
  DEVICE_OFFLINE: 'unavailable',
  JOB_TIMED_OUT: 'unavailable',
  NOTHING_INSTALLED: 'unavailable',
  BUSY: 'unavailable',
  CHILD_FAILED: 'unavailable',
  RELEASE_UNHEALTHY: 'unavailable',
  BUG: 'bug',
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;

export class CodedError extends Error {
  override readonly name = 'CodedError';
  readonly kind: ErrorKind;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.kind = errorTable[code];
  }
}

/** True when `error` is a CodedError, with `code` when one is given. */
export function isCoded(error: unknown, code?: ErrorCode): error is CodedError {
  return error instanceof CodedError && (code === undefined || error.code === code);
}

/** The first of an error and its causes that is looked for: query builders wrap what a driver throws. */
export function findInCauses<E extends Error>(
  error: unknown,
  isWanted: (inner: Error) => inner is E,
): E | null {
  for (let inner = error; inner instanceof Error; inner = inner.cause) if (isWanted(inner)) return inner;
  return null;
}

/**
 * The outage in an error or in one of its causes: the database or the disk was away, and what was to
 * be done is neither wrong nor lost by that.
 */
export function findOutageIn(error: unknown): CodedError | null {
  const isOutage = (inner: Error): inner is CodedError =>
    isCoded(inner, 'STORE_UNAVAILABLE') || isCoded(inner, 'DISK_FULL');
  return findInCauses(error, isOutage);
}

/** The message of anything thrown, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
