import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import { asDiskFull, isDiskFull, pause, readFreeBytes, requireSpace } from '@fleetlora/shared/node';
import { limits } from '@fleetlora/shared/protocol';
import { fetchRange } from './fetch-range.js';

export interface Download {
  readonly url: string;
  readonly digest: string;
  /** Where bytes are kept until they are whole; what is there already is not fetched again. */
  readonly partialFile: string;
  readonly token: () => Promise<string>;
  readonly dropToken: (token: string) => void;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: { readonly bytes: number; readonly totalBytes: number | null }) => void;
  /** Waits between tries that brought nothing; one more try after the last. */
  readonly retryDelaysMs: readonly number[];
  /** A connection that brings nothing for this long is given up and resumed. */
  readonly stallMs: number;
  /** Called when the disk has no room for `bytes` more; may free some. */
  readonly makeRoom?: (bytes: number) => Promise<void>;
}

/**
 * Fetches a blob into `partialFile` and proves its digest. A broken connection is resumed from
 * the last byte that arrived; a try that brought bytes does not count as a failed one. The
 * partial file stays after a failure, and goes when it is empty or its bytes turn out wrong.
 *
 * Bytes that do not fit are not begun with: a download must not take the last free byte from the
 * outbox and from the machine's other programs, to stop short of its end all the same.
 * @returns bytes fetched over the network in this call
 * @throws DIGEST_MISMATCH, NOT_FOUND, DISK_FULL, COORDINATOR_UNREACHABLE after the last try
 */
export async function download(task: Download): Promise<number> {
  const file = await open(task.partialFile, 'a+', 0o600).catch(async (error: unknown) => {
    throw await asDiskFull(error, { path: task.partialFile });
  });
  try {
    const state: Progress = { file, bytes: 0, hash: createHash('sha256'), fetched: 0 };
    await takeUp(state);
    const tookUp = state.bytes > 0;
    await fetchWhole(task, state);
    let found = state.hash.digest('hex');
    if (found !== task.digest && tookUp) {
      // What an earlier try left may have been damaged by a power cut: it is worth one clean try.
      await startOver(state);
      await fetchWhole(task, state);
      found = state.hash.digest('hex');
    }
    if (found !== task.digest)
      throw new CodedError(
        'DIGEST_MISMATCH',
        `${task.url} has ${state.bytes} bytes of digest ${found}, wanted ${task.digest}`,
      );
    return state.fetched;
  } catch (error) {
    const { size } = await file.stat();
    if (size === 0 || isCoded(error, 'DIGEST_MISMATCH') || isCoded(error, 'MESSAGE_TOO_LARGE'))
      await rm(task.partialFile, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Asks again and again until the blob is whole. */
async function fetchWhole(task: Download, state: Progress): Promise<void> {
  let failures = 0;
  for (;;) {
    const before = state.fetched;
    try {
      task.signal.throwIfAborted();
      await fetchRest(task, state);
      break;
    } catch (error) {
      task.signal.throwIfAborted();
      if (!isCoded(error, 'COORDINATOR_UNREACHABLE')) throw error;
      if (state.fetched > before) failures = 0;
      const delay = task.retryDelaysMs[failures++];
      if (delay === undefined) throw error;
      await pause(delay, [task.signal]);
    }
  }
  try {
    await state.file.sync();
  } catch (error) {
    // Which pages reached the disk is unknown from here on, and a second fsync would not tell: anew.
    await startOver(state);
    throw await asDiskFull(error, { path: task.partialFile });
  }
}

/** Bytes in the file, all of which went through the hash; appended and hashed in step. */
interface Progress {
  readonly file: FileHandle;
  bytes: number;
  hash: Hash;
  fetched: number;
}

/** Hashes what an earlier try left. */
async function takeUp(state: Progress): Promise<void> {
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (;;) {
    const { bytesRead } = await state.file.read(buffer, 0, buffer.length, state.bytes);
    if (bytesRead === 0) return;
    state.hash.update(buffer.subarray(0, bytesRead));
    state.bytes += bytesRead;
  }
}

async function startOver(state: Progress): Promise<void> {
  await state.file.truncate(0);
  state.bytes = 0;
  state.hash = createHash('sha256');
}

/** One request; returns when the blob is whole. */
async function fetchRest(task: Download, state: Progress): Promise<void> {
  const stall = new AbortController();
  const signal = AbortSignal.any([task.signal, stall.signal]);
  let timer = setTimeout(() => stall.abort(), task.stallMs);
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => stall.abort(), task.stallMs);
  };
  try {
    // Before the request: bytes that came are lost when the connection breaks before they are read.
    const freeBytes = await readFreeBytes(task.partialFile);
    let token = await task.token();
    let answer = await fetchRange(task.url, token, state.bytes, signal);
    if (answer === 'refused') {
      task.dropToken(token);
      token = await task.token();
      answer = await fetchRange(task.url, token, state.bytes, signal);
      if (answer === 'refused')
        throw new CodedError('UNAUTHENTICATED', `${task.url} refuses a fresh session of this device`);
    }
    // Nothing follows the bytes we have: they are whole, or they are too many. The digest tells.
    if (answer === 'outOfRange') return;
    if (answer.start !== state.bytes) await startOver(state);
    const restBytes = answer.totalBytes === null ? 0 : answer.totalBytes - state.bytes;
    if (freeBytes !== null && freeBytes < restBytes) await requireRoom(task, restBytes);
    for await (const chunk of untilAborted(answer.body, [task.signal, stall.signal])) {
      alive();
      if (state.bytes + chunk.length > limits.uploadBytes)
        throw new CodedError('MESSAGE_TOO_LARGE', `${task.url} sends more than ${limits.uploadBytes} bytes`);
      await state.file.appendFile(chunk);
      state.hash.update(chunk);
      state.bytes += chunk.length;
      state.fetched += chunk.length;
      task.onProgress?.({ bytes: state.bytes, totalBytes: answer.totalBytes });
    }
    if (answer.totalBytes !== null && state.bytes < answer.totalBytes)
      throw new CodedError(
        'COORDINATOR_UNREACHABLE',
        `${task.url} ended after ${state.bytes} of ${answer.totalBytes} bytes`,
      );
  } catch (error) {
    if (isCoded(error)) throw error;
    if (isDiskFull(error)) throw await asDiskFull(error, { path: task.partialFile });
    if (isDiskError(error)) throw error;
    const reason = stall.signal.aborted ? `nothing came for ${task.stallMs} ms` : messageOf(error);
    throw new CodedError(
      'COORDINATOR_UNREACHABLE',
      `${task.url} broke off at byte ${state.bytes}: ${reason}`,
      {
        cause: error,
      },
    );
  } finally {
    clearTimeout(timer);
    // An answer whose body is not wanted any more must not hold its connection.
    stall.abort();
  }
}

/**
 * The chunks of a body, until one of the signals is aborted. A body whose request is aborted right
 * behind its last byte may never end by itself.
 */
async function* untilAborted(
  body: AsyncIterable<Uint8Array>,
  signals: readonly AbortSignal[],
): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  let stop: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signals.find((signal) => signal.aborted)?.reason as Error);
    for (const signal of signals) signal.addEventListener('abort', stop);
    if (signals.some((signal) => signal.aborted)) stop();
  });
  aborted.catch(() => {});
  try {
    for (;;) {
      const { done, value } = await Promise.race([chunks.next(), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
  }
}

async function requireRoom(task: Download, neededBytes: number): Promise<void> {
  await task.makeRoom?.(neededBytes);
  await requireSpace({ path: task.partialFile, neededBytes });
}

function isDiskError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'EIO' || code === 'EROFS' || code === 'EFBIG';
}
