import { CodedError, type ErrorCode } from '@fleetlora/shared/errors';
import { type ChildOutcome, runChild } from '../child/index.js';

/** What the expanding child is told; a JSON value. */
export interface ExpansionRequest {
  readonly contentFolder: string;
  readonly packageDigest: string;
  /** What the signed manifest says that the package is. */
  readonly genome: string;
  readonly baseDigest: string;
}

const ownEntry = new URL('./expand-child.js', import.meta.url);
const TIMEOUT_MS = 600_000;

/**
 * Widens a half-precision package into the file that sessions map, in a process of its own.
 * @returns digest of the expanded file in the content store
 * @throws MESSAGE_MALFORMED, DISK_FULL, CHILD_FAILED when it died or failed otherwise
 */
export async function expandPackageFile(request: ExpansionRequest, signal: AbortSignal): Promise<string> {
  const outcome = await runChild({
    entry: ownEntry,
    request,
    parse: parseDigest,
    timeoutMs: TIMEOUT_MS,
    signal,
  });
  if (outcome.kind === 'answered') return outcome.answer;
  throw new CodedError(codeOf(outcome), explain(outcome));
}

/**
 * Checks that a package is the one its manifest describes.
 * @throws MESSAGE_MALFORMED naming the field, what it is and what was wanted
 */
export function checkPackage(
  metadata: Readonly<Record<string, string>>,
  wanted: { readonly genome: string; readonly baseDigest: string },
): void {
  const expected = { format: 'fleetlora-package', ...wanted };
  for (const [field, value] of Object.entries(expected))
    if (metadata[field] !== value)
      throw new CodedError(
        'MESSAGE_MALFORMED',
        `the package says ${field} "${String(metadata[field]).slice(0, 100)}", its manifest "${value.slice(0, 100)}"`,
      );
}

function parseDigest(answer: unknown): string {
  const { expandedDigest } = (answer ?? {}) as { expandedDigest?: unknown };
  if (typeof expandedDigest !== 'string' || !/^[0-9a-f]{64}$/.test(expandedDigest))
    throw new CodedError('MESSAGE_MALFORMED', 'the expanding process gave no digest');
  return expandedDigest;
}

function codeOf(outcome: Exclude<ChildOutcome<string>, { kind: 'answered' }>): ErrorCode {
  if (outcome.kind !== 'threw') return 'CHILD_FAILED';
  if (outcome.code === 'DISK_FULL') return 'DISK_FULL';
  return outcome.errorKind === 'input' ? 'MESSAGE_MALFORMED' : 'CHILD_FAILED';
}

function explain(outcome: Exclude<ChildOutcome<string>, { kind: 'answered' }>): string {
  switch (outcome.kind) {
    case 'threw':
      return `the package could not be expanded: ${outcome.message}`;
    case 'died':
      return `the process that expands the package ended ${outcome.signal ? `by ${outcome.signal}` : `with exit code ${outcome.exitCode}`}`;
    case 'timedOut':
      return `expanding the package took longer than ${outcome.afterMs} ms`;
    case 'canceled':
      return 'expanding the package was canceled';
  }
}
