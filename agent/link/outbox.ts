import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { isDiskFull, type Patience, writeFileDurably } from '@fleetlora/shared/node';
import { decodeMessage, encodeMessage, type MessageBody } from '@fleetlora/shared/protocol';

/** Kinds that must arrive even when the agent, the network or the coordinator fails meanwhile. */
export const outboxKinds = ['result', 'report'] as const;
export type OutboxKind = (typeof outboxKinds)[number];

/** A message that the coordinator has not acknowledged yet. */
export type OutboxEntry = { readonly id: string; readonly sequence: number } & {
  readonly [K in OutboxKind]: { readonly kind: K; readonly body: MessageBody<K> };
}[OutboxKind];

/**
 * Messages on disk, oldest first. An entry leaves only by `acknowledge`: broker and network
 * promise nothing (MQTT.js drops messages when a link fails while it replays its own store).
 *
 * While the disk is full an entry waits in memory. It may be sent from there all the same: once it
 * is acknowledged, nobody needs the file any more.
 */
export interface Outbox {
  /**
   * Keeps a message for good and returns it: when this resolves it survives a power cut, or the
   * coordinator has it already.
   * @throws MESSAGE_TOO_LARGE; DISK_FULL without patience, when that ends, or when too many wait
   */
  add<K extends OutboxKind>(kind: K, body: MessageBody<K>): Promise<OutboxEntry>;
  /** Lets go of a message; an id that is not here is harmless. True when it was here. */
  acknowledge(id: string): Promise<boolean>;
  /** What waits for its acknowledgement, on disk or in memory, in the order it was added. */
  entries(): readonly OutboxEntry[];
}

export interface OutboxSettings {
  readonly folder: string;
  readonly newId: (prefix: string) => string;
  /** Waits for space; without it a full disk is an error. */
  readonly patience?: Patience;
  /** Told that an entry waits in memory: it can be sent from there. */
  readonly onWaiting?: () => void;
  /** Told about a file that cannot be read; it is kept aside as NAME.unreadable. */
  readonly onUnreadable?: (path: string, error: unknown) => void;
}

/** NUMBER-ID.json; the number keeps the order over restarts and wrong clocks. */
/** Entries on their way to the disk: a coordinator that sends on and on must not fill the memory too. */
const MAX_SAVING = 64;
const FILE_NAME = /^(\d{12})-([0-9a-z_]{1,40})\.json$/;

/** Reads what an earlier process left. Only the holder of the data folder's lock may call it. */
export async function openOutbox(settings: OutboxSettings): Promise<Outbox> {
  const waiting = new Map<string, OutboxEntry>();
  /** Entries that are not on disk yet; the signal says that they need not get there any more. */
  const unsaved = new Map<string, { readonly entry: OutboxEntry; readonly done: AbortController }>();
  let saving = 0;
  let lastSequence = 0;
  for (const name of (await readdir(settings.folder)).sort()) {
    const path = join(settings.folder, name);
    if (name.endsWith('.part')) {
      await rm(path, { force: true });
      continue;
    }
    const match = FILE_NAME.exec(name);
    if (!match?.[1] || !match[2]) continue;
    lastSequence = Math.max(lastSequence, Number(match[1]));
    try {
      const entry = parseEntry(await readFile(path), match[2], Number(match[1]));
      waiting.set(entry.id, entry);
    } catch (error) {
      await rename(path, `${path}.unreadable`);
      settings.onUnreadable?.(path, error);
    }
  }

  const pathOf = ({ id, sequence }: { id: string; sequence: number }): string =>
    join(settings.folder, `${String(sequence).padStart(12, '0')}-${id}.json`);

  /** Writes an entry. While there is no space for it, it is in `unsaved`. */
  async function save(entry: OutboxEntry, text: string): Promise<void> {
    const path = pathOf(entry);
    if (saving >= MAX_SAVING)
      throw new CodedError('DISK_FULL', `${saving} messages wait for space already, and so would ${path}`);
    const done = new AbortController();
    const write = async (): Promise<void> => {
      try {
        await writeFileDurably(path, text);
      } catch (error) {
        if (settings.patience && isDiskFull(error) && !unsaved.has(entry.id)) {
          unsaved.set(entry.id, { entry, done });
          settings.onWaiting?.();
        }
        throw error;
      }
    };
    saving++;
    try {
      await (settings.patience?.run(write, done.signal) ?? write());
    } catch (error) {
      if (!done.signal.aborted) throw error;
    } finally {
      saving--;
      unsaved.delete(entry.id);
    }
    // Acknowledged while it was written: it may lie there all the same.
    if (done.signal.aborted) await rm(path, { force: true });
    else waiting.set(entry.id, entry);
  }

  return {
    async add(kind, body) {
      const entry = {
        id: settings.newId('msg'),
        sequence: ++lastSequence,
        kind,
        body,
      } as unknown as OutboxEntry;
      await save(entry, encodeEntry(entry));
      return entry;
    },
    async acknowledge(id) {
      const inMemory = unsaved.get(id);
      if (inMemory) {
        inMemory.done.abort();
        return true;
      }
      const entry = waiting.get(id);
      if (!entry) return false;
      waiting.delete(id);
      await rm(pathOf(entry), { force: true });
      return true;
    },
    entries: () =>
      [...waiting.values(), ...[...unsaved.values()].map(({ entry }) => entry)].sort(
        (a, b) => a.sequence - b.sequence,
      ),
  };
}

/**
 * An entry is stored in its wire form with session 0, so that reading it back is the same check
 * that the coordinator makes.
 * @throws MESSAGE_TOO_LARGE before anything is written
 */
function encodeEntry(entry: OutboxEntry): string {
  const text =
    entry.kind === 'result'
      ? encodeMessage('result', { id: entry.id, session: 0, body: entry.body })
      : encodeMessage('report', { id: entry.id, session: 0, body: entry.body });
  return `${entry.kind}\n${text}\n`;
}

function parseEntry(bytes: Uint8Array, id: string, sequence: number): OutboxEntry {
  const text = new TextDecoder().decode(bytes);
  const end = text.indexOf('\n');
  const kind = text.slice(0, end);
  const message = new TextEncoder().encode(text.slice(end + 1).trimEnd());
  if (kind === 'result') return { id, sequence, kind, body: decodeMessage('result', message).body };
  if (kind === 'report') return { id, sequence, kind, body: decodeMessage('report', message).body };
  throw new CodedError(
    'MESSAGE_MALFORMED',
    `outbox file starts with "${kind.slice(0, 20)}", wanted result or report`,
  );
}
