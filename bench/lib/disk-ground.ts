import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { messageOf } from '@fleetlora/shared/errors';
import { sha256File } from '@fleetlora/shared/node';
import { MiB } from '@fleetlora/shared/units';
import { importTinyModels, type KillModels } from './kill-models.js';
import { type KillableFleet, type Member, startKillableFleet, within } from './killable-fleet.js';
import { BALLAST, mountSmallDisk, type SmallDisk } from './small-disk.js';

/** What a place in which a disk can be full did when it was. */
export interface DiskPlace {
  readonly place: string;
  /** What the log says of it, and the HTTP status where there was an answer; null when nothing did. */
  readonly error: string | null;
  /** Files that were not there before. */
  readonly left: readonly string[];
  /** How it went on once there was space; null when it did not. */
  readonly wentOn: string | null;
  /** What was seen, for whoever looks why it did not. */
  readonly trouble?: string;
}

/** A coordinator and an agent, real processes, each with its data folder on a disk of its own. */
export interface DiskGround {
  readonly fleet: KillableFleet;
  readonly models: KillModels;
  readonly workFolder: string;
  readonly disks: Readonly<Record<Member, SmallDisk>>;
  /** An answer of the coordinator, whatever its status; `bytes` goes as a stream. */
  ask(route: string, request?: { body?: unknown; bytes?: Uint8Array; announced?: boolean }): Promise<Answer>;
  /** What a process logged of a full disk, and `about` this, since it was asked the last time; waits for it. */
  complaint(member: Member, about?: string): Promise<string | null>;
  /** Asks until `isDone`; null after a minute. */
  until<T>(ask: () => Promise<T>, isDone: (answer: T) => boolean): Promise<T | null>;
  /** Files of a data folder, but for the database's own and what fills the disk. */
  files(member: Member): Promise<string[]>;
  /** Files that were not there `before` and are not whole: content is when its name is its digest. */
  halfWritten(member: Member, before: readonly string[]): Promise<string[]>;
  stop(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const diskBytes: Readonly<Record<Member, number>> = { coordinator: 24 * MiB, agent: 16 * MiB };
const WAIT_MS = 60_000;

/** Only after `enterOwnMounts`. */
export async function openDiskGround(workFolder: string): Promise<DiskGround> {
  const mount = (member: Member): Promise<SmallDisk> =>
    mountSmallDisk(join(workFolder, member), diskBytes[member]);
  const disks = { coordinator: await mount('coordinator'), agent: await mount('agent') };
  const unmount = async (): Promise<void> => {
    for (const disk of Object.values(disks)) await disk.unmount();
  };
  let fleet: KillableFleet | undefined;
  try {
    fleet = await startKillableFleet(workFolder, null);
    const models = await importTinyModels(fleet, workFolder);
    return createGround({ fleet, models, workFolder, disks, unmount });
  } catch (error) {
    await fleet?.stop();
    await unmount();
    throw error;
  }
}

function createGround({
  fleet,
  models,
  workFolder,
  disks,
  unmount,
}: Pick<DiskGround, 'fleet' | 'models' | 'workFolder' | 'disks'> & {
  unmount: () => Promise<void>;
}): DiskGround {
  const logFile = join(workFolder, 'processes.log');
  const readFrom: Record<Member, number> = { coordinator: 0, agent: 0 };

  /** The newest complaint in the log after what was read before. */
  async function findComplaint(member: Member, about: string): Promise<string | null> {
    const lines = (await readFile(logFile, 'utf8')).split('\n');
    const found = lines
      .map((line, index) => ({ index, text: complaintIn(line, member) }))
      .findLast(({ index, text }) => text?.includes(about) && index >= readFrom[member]);
    if (found) readFrom[member] = lines.length - 1;
    return found?.text ? shorten(found.text, disks[member].folder) : null;
  }

  return {
    fleet,
    models,
    workFolder,
    disks,
    async ask(route, { body, bytes, announced } = {}) {
      const [method, path] = route.split(' ') as [string, string];
      const { folder } = disks.coordinator;
      const { url } = JSON.parse(await readFile(join(folder, 'endpoint.json'), 'utf8')) as { url: string };
      const token = (await readFile(join(folder, 'admin-token'), 'utf8')).trim();
      const type = bytes ? 'application/octet-stream' : 'application/json';
      const init: RequestInit & { duplex?: 'half' } = {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...((bytes ?? body) ? { 'content-type': type } : {}),
        },
        ...(bytes
          ? { body: announced ? Buffer.from(bytes) : streamOf(bytes), duplex: 'half' }
          : body === undefined
            ? {}
            : { body: JSON.stringify(body) }),
      };
      const response = await fetch(`${url}${path}`, init);
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
    complaint: (member, about = '') =>
      within(
        WAIT_MS,
        () => findComplaint(member, about),
        (text) => text !== null,
      ),
    until: (ask, isDone) => within(WAIT_MS, ask, isDone),
    files: (member) => listFiles(disks[member].folder),
    async halfWritten(member, before) {
      const { folder } = disks[member];
      const left: string[] = [];
      for (const name of await listFiles(folder)) {
        const digest = /^content\/([0-9a-f]{64})$/.exec(name)?.[1];
        const whole = digest !== undefined && (await sha256File(join(folder, name))) === digest;
        if (!whole && !before.includes(name)) left.push(name);
      }
      return left;
    },
    async stop() {
      for (const disk of Object.values(disks)) await disk.empty();
      await fleet.stop();
      await unmount();
    },
  };
}

/** What a log line says when it is about a full disk: its own text, or the error it reports. */
function complaintIn(line: string, member: Member): string | null {
  if (!line.startsWith(`${member} {`) || !line.includes('DISK_FULL')) return null;
  try {
    const { msg, reason, err } = JSON.parse(line.slice(member.length + 1)) as {
      msg?: string;
      reason?: string;
      err?: { message?: string };
    };
    return err?.message ?? reason ?? msg ?? null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Without what is another in every run, and without the cause that the logger appends. */
function shorten(text: string, folder: string): string {
  return text
    .replaceAll(`${folder}/`, '')
    .replace(/: E[A-Z]+: .*$/, '')
    .replace(/\b([0-9a-f]{8})[0-9a-f-]{24,56}\b/g, '$1…')
    .replace(/\b([a-z]{3}_)[0-9a-z]{26}\b/g, '$1…');
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((name) => name !== BALLAST && !/^(coordinator\.db|lock)/.test(name))
    .sort();
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  const CHUNK_BYTES = 64 * 1024;
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(sent, sent + CHUNK_BYTES));
      sent += CHUNK_BYTES;
    },
  });
}
