import { runChild } from '@fleetlora/agent/child';
import { CodedError } from '@fleetlora/shared/errors';

/** What a fresh process says of its own peak, in bytes. */
export interface InheritedPeak {
  /** `process.resourceUsage().maxRSS`. */
  readonly maxRssBytes: number;
  /** VmHWM of /proc/self/status. */
  readonly highWaterBytes: number;
}

/** Memory of the process that starts it. */
const PARENT_BYTES = 400 * 2 ** 20;

/** Peaks that a child tells right after its start by a parent of 400 MiB, which it inherits one of. */
export async function weighInherited(): Promise<InheritedPeak> {
  const ballast = Buffer.alloc(PARENT_BYTES, 1);
  const outcome = await runChild({
    entry: new URL('./weigh-inherited-child.js', import.meta.url),
    request: null,
    parse: (answer) => answer as InheritedPeak,
    timeoutMs: 30_000,
  });
  if (outcome.kind !== 'answered' || ballast.length !== PARENT_BYTES)
    throw new CodedError('CHILD_FAILED', `a child that weighs itself ended: ${outcome.kind}`);
  return outcome.answer;
}
