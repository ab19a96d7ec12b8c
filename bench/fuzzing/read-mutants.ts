import { appendFileSync } from 'node:fs';
import { type CodedError, isCoded, messageOf } from '@fleetlora/shared/errors';
import { createRandom } from '@fleetlora/shared/random';
import { MiB } from '@fleetlora/shared/units';
import { type CheckingSource, checkingSource } from './checking-source.js';
import { countAllocations } from './count-allocations.js';
import { type FuzzLedger, openFuzzLedger } from './fuzz-ledger.js';
import type { FuzzFiles, FuzzReader } from './fuzz-reader.js';

/** A stretch of mutants, numbered from 0. */
export interface FuzzTask {
  readonly seed: number;
  readonly from: number;
  /** The first that is not read. */
  readonly to: number;
  /** Files that are written: counts (fuzz-ledger.ts), and a line of JSON a finding. */
  readonly ledger: string;
  readonly findings: string;
}

/** A file that a reader did not answer as it should. */
export interface Finding {
  readonly file: number;
  readonly kind: 'crash' | 'hang' | 'slow' | 'overRead' | 'unplaced' | 'overAllocation';
  readonly message: string;
}

/** Processor time that a small file may take. */
const SLOW_MS = 2000;
/** Longest message that a terminal or a log can take. */
const MAX_MESSAGE = 500;
/**
 * Bytes of buffers that a reader may ask for, one after another, for each byte of its files: halves
 * are read, widened, cut, transposed and written again, and of 4-bit weights eight times as much
 * comes out. Beside it a head start, since a file of nothing still has decoders made for it.
 */
const ALLOCATED_PER_BYTE = 64;
const HEAD_START = MiB;

/** The files of a mutant. Even ones keep their header; equal numbers give equal files. */
export function makeMutant(reader: FuzzReader, seed: number, file: number): FuzzFiles {
  const random = createRandom((seed ^ Math.imul(file + 1, 0x9e3779b1)) >>> 0);
  return reader.mutate(Math.floor(file / 2) % reader.seeds.length, file % 2 === 0 ? 'kept' : 'any', random);
}

/** Gives the reader every mutant of the task and writes down how it answered. */
export async function readMutants(reader: FuzzReader, task: FuzzTask): Promise<void> {
  const ledger = openFuzzLedger(task.ledger);
  const allocated = countAllocations();
  for (let file = task.from; file < task.to; file++) {
    ledger.begin(file);
    const files = makeMutant(reader, task.seed, file);
    await readMutant(reader, files, {
      ledger,
      allocated,
      find: (kind, message) => {
        const finding: Finding = { file, kind, message: message.slice(0, MAX_MESSAGE) };
        appendFileSync(task.findings, `${JSON.stringify(finding)}\n`);
      },
    });
    ledger.add('files');
  }
  ledger.close();
}

interface Watch {
  readonly ledger: FuzzLedger;
  /** Bytes asked for so far. */
  readonly allocated: () => number;
  readonly find: (kind: Finding['kind'], message: string) => void;
}

async function readMutant(reader: FuzzReader, files: FuzzFiles, watch: Watch): Promise<void> {
  const { ledger, allocated, find } = watch;
  const sources: Record<string, CheckingSource> = {};
  let bytes = 0;
  for (const [name, content] of Object.entries(files)) {
    sources[name] = checkingSource(content);
    bytes += content.length;
  }
  let pastHeader = false;
  const allocatedBefore = allocated();
  const startedMs = processorMs();
  try {
    await reader.read(sources, () => {
      pastHeader = true;
    });
    ledger.add('read');
  } catch (error) {
    judgeRefusal(error, watch);
  }
  const tookMs = processorMs() - startedMs;
  const asked = allocated() - allocatedBefore;
  if (pastHeader) ledger.add('pastHeader');
  ledger.raise('slowestMs', tookMs);
  ledger.raise('largestAllocation', asked);
  if (tookMs > SLOW_MS) {
    ledger.add('slow');
    find('slow', `took ${tookMs.toFixed(0)} ms of processor time, at most ${SLOW_MS} are allowed`);
  }
  const most = HEAD_START + ALLOCATED_PER_BYTE * bytes;
  if (asked > most) {
    ledger.add('overAllocations');
    find('overAllocation', `${asked} bytes asked for files of ${bytes}, at most ${most} are allowed`);
  }
  const overReads = Object.values(sources).reduce((sum, source) => sum + source.overReads, 0);
  if (overReads > 0) {
    ledger.add('overReads', overReads);
    find('overRead', `${overReads} reads outside of the files`);
  }
}

/** A refusal must carry a code of a stranger's mistake and say where it is. */
function judgeRefusal(error: unknown, { ledger, find }: Watch): void {
  if (!isCoded(error) || error.kind !== 'input') {
    ledger.add('crashes');
    find('crash', error instanceof Error ? (error.stack ?? messageOf(error)) : messageOf(error));
    return;
  }
  ledger.refuse(error.code);
  if (namesPlace(error)) return;
  ledger.add('unplaced');
  find('unplaced', `${error.code}: ${error.message}`);
}

/** A number (an offset, a size), a quoted name, a setting or the file itself; in a message that can be shown. */
const PLACE = /\d|"|\w = |\.(json|safetensors)/;
const namesPlace = ({ message }: CodedError): boolean => message.length <= MAX_MESSAGE && PLACE.test(message);

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
