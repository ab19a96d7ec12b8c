import { CodedError } from '@fleetlora/shared/errors';
import type { Patience } from '@fleetlora/shared/node';
import { Desired, parseAs, RolloutReport } from '@fleetlora/shared/protocol';
import { readJsonFile, writeJsonFile } from '../folder/index.js';

/** A release that runs here. */
export interface InstalledRelease {
  readonly releaseId: string;
  readonly number: number;
  readonly name: string;
  /** Canonical text. */
  readonly genome: string;
  readonly baseDigest: string;
  readonly tokenizerDigest: string;
  /** The expanded package, made on this device. */
  readonly expandedDigest: string;
  readonly stopIds: readonly number[];
}

/** What this device remembers of releases; written whole, so a switch is one rename. */
export interface InstallRecord {
  readonly installed: InstalledRelease | null;
  /** Largest release number that ever ran here: a smaller one is a rollback and is refused. */
  readonly highestNumber: number;
  /** The release asked for, until its installation ended, and how often it was begun. */
  readonly desired: Desired | null;
  readonly begun: number;
  /** Last words on the latest rollouts: a rollout that ended is answered, not tried again. */
  readonly finals: readonly RolloutReport[];
  /** Base that answers while no release is installed. */
  readonly baseDigest: string | null;
}

/** Rollouts whose end is remembered. */
export const MAX_FINALS = 16;

const empty: InstallRecord = {
  installed: null,
  highestNumber: 0,
  desired: null,
  begun: 0,
  finals: [],
  baseDigest: null,
};

export interface InstallStore {
  readonly record: InstallRecord;
  /** Changes parts of the record, durably. Changes run one after another, and wait for space. */
  change(part: Partial<InstallRecord>): Promise<void>;
}

/**
 * @param patience waits for space; without it a full disk is an error
 * @throws STATE_CONFLICT when the file was changed by hand
 */
export async function openInstallStore(path: string, patience?: Patience): Promise<InstallStore> {
  const value = await readJsonFile(path);
  let record = value === null ? empty : parseRecord(value, path);
  let last: Promise<void> = Promise.resolve();
  return {
    get record() {
      return record;
    },
    change(part) {
      last = last
        .catch(() => {})
        .then(async () => {
          const next = { ...record, ...part };
          const write = (): Promise<void> => writeJsonFile(path, next);
          await (patience?.run(write) ?? write());
          record = next;
        });
      return last;
    },
  };
}

function parseRecord(value: unknown, path: string): InstallRecord {
  try {
    const found = value as Partial<Record<keyof InstallRecord, unknown>>;
    return {
      installed: found.installed === null ? null : parseInstalled(found.installed),
      highestNumber: numberOf(found.highestNumber),
      desired: found.desired === null ? null : parseAs(Desired, found.desired, 'desired'),
      begun: numberOf(found.begun),
      finals: (found.finals as unknown[]).map((final) => parseAs(RolloutReport, final, 'final report')),
      baseDigest: found.baseDigest === null ? null : String(found.baseDigest),
    };
  } catch (cause) {
    throw new CodedError(
      'STATE_CONFLICT',
      `${path} does not hold an install record; it was changed by hand`,
      { cause },
    );
  }
}

function parseInstalled(value: unknown): InstalledRelease {
  const found = value as Record<keyof InstalledRelease, unknown>;
  return {
    releaseId: textOf(found.releaseId),
    number: numberOf(found.number),
    name: textOf(found.name),
    genome: textOf(found.genome),
    baseDigest: textOf(found.baseDigest),
    tokenizerDigest: textOf(found.tokenizerDigest),
    expandedDigest: textOf(found.expandedDigest),
    stopIds: (found.stopIds as unknown[]).map(numberOf),
  };
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new Error(`found ${typeof value}, wanted a text`);
  return value;
}

function numberOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value))
    throw new Error(`found ${String(value)}, wanted a number`);
  return value;
}
