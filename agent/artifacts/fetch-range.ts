import { CodedError } from '@fleetlora/shared/errors';
import { reasonOf, refusalOf } from '../identity/index.js';

/** The rest of a blob, from `start` on. */
export interface RangeAnswer {
  /** Where these bytes begin: `start`, or 0 when the server sent the whole blob. */
  readonly start: number;
  /** Length of the whole blob when the server told it. */
  readonly totalBytes: number | null;
  readonly body: AsyncIterable<Uint8Array>;
}

/** `refused`: the token does not hold any more. `outOfRange`: nothing follows `start`. */
export type RangeOutcome = RangeAnswer | 'refused' | 'outOfRange';

/**
 * Asks for the bytes of a blob from `start` on.
 * @throws COORDINATOR_UNREACHABLE when no answer comes or the coordinator cannot give one at
 *   present, its own code when it refuses
 * @source RFC 9110, 14.2 Range, 15.3.7 (206), 15.5.17 (416)
 */
export async function fetchRange(
  url: string,
  token: string,
  start: number,
  signal: AbortSignal,
): Promise<RangeOutcome> {
  let response: Response;
  try {
    response = await fetch(url, {
      headers: {
        authorization: `Bearer ${token}`,
        // Compression would make ranges of the encoded bytes out of ranges of the file.
        'accept-encoding': 'identity',
        ...(start > 0 ? { range: `bytes=${start}-` } : {}),
      },
      redirect: 'error',
      signal,
    });
  } catch (cause) {
    throw new CodedError('COORDINATOR_UNREACHABLE', `${url} does not answer: ${reasonOf(cause)}`, { cause });
  }
  if (response.status === 401) {
    await discard(response);
    return 'refused';
  }
  if (response.status === 416) {
    await discard(response);
    return 'outOfRange';
  }
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => null);
    throw refusalOf(url, response.status, body);
  }
  const body = response.body as AsyncIterable<Uint8Array> | null;
  if (!body)
    throw new CodedError('COORDINATOR_UNREACHABLE', `${url} answered ${response.status} without a body`);
  if (response.status !== 206) {
    const length = response.headers.get('content-length');
    return { start: 0, totalBytes: length === null ? null : Number(length), body };
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (!range || Number(range[1]) !== start) {
    await discard(response);
    throw new CodedError(
      'COORDINATOR_UNREACHABLE',
      `${url} answered the range "${response.headers.get('content-range')}", wanted bytes from ${start} on`,
    );
  }
  return { start, totalBytes: range[2] === '*' ? null : Number(range[2]), body };
}

async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}
