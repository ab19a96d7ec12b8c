import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
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
}

/**
 * Fetches a blob into `partialFile` and proves its digest. A broken connection is resumed from
 * the last byte that arrived; a try that brought bytes does not count as a failed one. The
 * partial file stays after a failure, and goes when its bytes turn out wrong.
 * @returns bytes fetched over the network in this call
 * @throws DIGEST_MISMATCH, NOT_FOUND, COORDINATOR_UNREACHABLE after the last try
 */
export async function download(task: Download): Promise<number> {
  const file = await open(task.partialFile, 'a+', 0o600);
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
    if (isCoded(error, 'DIGEST_MISMATCH') || isCoded(error, 'MESSAGE_TOO_LARGE'))
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
      await pause(delay, task.signal);
    }
  }
  await state.file.sync();
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
    for await (const chunk of answer.body) {
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
    if (isCoded(error) || isDiskError(error)) throw error;
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
  }
}

function isDiskError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO' || code === 'EROFS' || code === 'EFBIG';
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
    const stop = (): void => {
      done();
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      done();
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
