import { CodedError, type ErrorCode, errorTable, messageOf } from '@fleetlora/shared/errors';

/** What a coordinator's address must look like. @throws BAD_USAGE naming the text */
export function parseCoordinatorUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new CodedError('BAD_USAGE', `"${text}" is not a URL, wanted one such as http://127.0.0.1:7410`, {
      cause,
    });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new CodedError('BAD_USAGE', `"${text}" starts with ${url.protocol}, wanted http: or https:`);
  return url.href.replace(/\/+$/, '');
}

/** Answers are small JSON bodies; a coordinator that sends more is not one. */
const MAX_ANSWER_BYTES = 64 * 1024;
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Posts a JSON body and returns the JSON answer.
 * @throws the coordinator's own code when it refuses, COORDINATOR_UNREACHABLE when it does not
 *   answer or answers with something else
 */
export async function postJson(baseUrl: string, path: string, body: unknown): Promise<unknown> {
  const target = `${baseUrl}${path}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(target, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    text = await readText(response);
  } catch (cause) {
    throw new CodedError('COORDINATOR_UNREACHABLE', `${target} does not answer: ${reasonOf(cause)}`, {
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CodedError(
      'COORDINATOR_UNREACHABLE',
      `${target} answered ${response.status} without JSON; is it a coordinator?`,
      { cause },
    );
  }
  if (!response.ok) throw refusalOf(target, response.status, value);
  return value;
}

/**
 * The coordinator's error as ours. Unknown codes become one that is (not) worth a retry. A full disk
 * or an unreachable database over there is, for a device, a coordinator that is away: DISK_FULL is
 * said of the device's own disk alone.
 */
export function refusalOf(target: string, status: number, value: unknown): CodedError {
  const { code, message } = (value ?? {}) as { code?: unknown; message?: unknown };
  const known = status < 500 && typeof code === 'string' && code in errorTable && code !== 'BUG';
  const fallback: ErrorCode =
    status === 401
      ? 'UNAUTHENTICATED'
      : status === 404
        ? 'NOT_FOUND'
        : status < 500
          ? 'BAD_REQUEST'
          : 'COORDINATOR_UNREACHABLE';
  return new CodedError(
    known ? (code as ErrorCode) : fallback,
    typeof message === 'string' ? message.slice(0, 2000) : `${target} answered ${status}`,
  );
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** fetch says "fetch failed"; the reason is in its cause. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && cause.message ? cause.message : messageOf(error);
}
