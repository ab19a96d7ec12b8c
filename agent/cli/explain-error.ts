import { CodedError, type ErrorCode, isCoded, messageOf } from '@fleetlora/shared/errors';

/** What a person can do about an error, where the message alone does not say. */
const advice: Partial<Record<ErrorCode, string>> = {
  COORDINATOR_UNREACHABLE: 'check the address, and that the coordinator runs (`fleetlora up`)',
  CODE_UNKNOWN: 'create a code with `fleetlora code create`',
  CODE_EXPIRED: 'create a new code with `fleetlora code create`',
  CODE_USED: 'a code serves one device; create a new one with `fleetlora code create`',
  GENOME_MALFORMED:
    'a genome is max, middle, min or a text such as g1:u:32.0.32.32.768/... with one part a layer',
};

/** One line: code, what was found and wanted, what to do. */
export function explainError(error: unknown): string {
  if (!(error instanceof CodedError)) return `fleetlora-agent: BUG: ${messageOf(error)}`;
  const hint = advice[error.code];
  return `fleetlora-agent: ${error.code}: ${error.message}${hint ? `. To do: ${hint}` : ''}`.replaceAll(
    '\n',
    ' ',
  );
}

/** 2 for a command used wrongly, 1 for one that failed. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return isCoded(error, 'BAD_USAGE') ? 2 : 1;
}
