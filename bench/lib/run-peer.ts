import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { CodedError } from '@fleetlora/shared/errors';

/** Longest run of a peer that loads a small model and answers a few prompts. */
const RUN_MS = 300_000;

/**
 * Runs a peer's script with a JSON request on stdin and returns its stdout.
 * @param timeoutMs after which it is ended
 * @throws CHILD_FAILED with the last of what it wrote to stderr
 */
export async function runPeer(
  command: string,
  args: readonly string[],
  request: unknown,
  timeoutMs = RUN_MS,
): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    // No peer may look for a model anywhere but where it was told.
    env: { ...process.env, HF_HUB_OFFLINE: '1', TRANSFORMERS_OFFLINE: '1' },
  });
  child.stdin.end(JSON.stringify(request));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const [out, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0)
    throw new CodedError(
      'CHILD_FAILED',
      `${command} ${args[0]} ended with ${code}: ${errors.trim().slice(-500)}`,
    );
  return out;
}
