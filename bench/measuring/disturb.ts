import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gateLimitsOf, openMachine } from '@fleetlora/agent/host';
import { systemClock } from '@fleetlora/shared/clock';
import type { Measurement } from '@fleetlora/shared/protocol';
import { anchorGenome } from '@fleetlora/shared/space';
import { type MeasureGround, timesAlone } from './measure-ground.js';

/** One candidate on the quiet machine, and while other processes compute. */
export interface Disturbed {
  readonly quiet: Measurement;
  /** They compute all the time, and nobody looks. */
  readonly withoutGate: Measurement;
  /** They stop some seconds after the measurement was asked for, which the gate waits for. */
  readonly withGate: Measurement;
}

/** How long others compute before the gate's patience is over. */
const LOAD_MS = 4000;

/**
 * Measures with others that compute: with closed eyes, and behind the gate.
 * @param others how many processes
 */
export async function disturb(ground: MeasureGround, others: number, repeats: number): Promise<Disturbed[]> {
  const found: Disturbed[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) found.push(await disturbOnce(ground, others));
  return found;
}

async function disturbOnce(ground: MeasureGround, others: number): Promise<Disturbed> {
  const genome = anchorGenome(ground.space, 'max', 'unmerged');
  const blind = await openMachine({ clock: systemClock, limits: gateLimitsOf({ quietWaitSeconds: 0 }) });
  const { measurement: quiet } = await ground.measure([genome], { entries: timesAlone });
  const loads = await startLoads(others);
  let withoutGate: Measurement;
  try {
    withoutGate = (await ground.measure([genome], { machine: blind, entries: timesAlone })).measurement;
  } finally {
    endLoads(loads);
  }
  const short = await startLoads(others);
  const timer = setTimeout(() => endLoads(short), LOAD_MS);
  try {
    const { measurement: withGate } = await ground.measure([genome], { entries: timesAlone });
    return { quiet, withoutGate, withGate };
  } finally {
    clearTimeout(timer);
    endLoads(short);
  }
}

/**
 * Keeps a core busy for as long as the process of the first argument lives. It is nobody's child:
 * the gate does not count what descends from the process that measures.
 */
const BURN = `
for (;;) {
  const until = performance.now() + 200;
  while (performance.now() < until);
  try { process.kill(Number(process.argv[1]), 0); } catch { process.exit(); }
}`;

/** @returns process ids */
async function startLoads(count: number): Promise<number[]> {
  const started: number[] = [];
  for (let load = 0; load < count; load++) {
    const command = ['-c', '"$0" -e "$1" "$2" >/dev/null 2>&1 & echo $!', process.execPath, BURN];
    const { stdout } = await promisify(execFile)('sh', [...command, String(process.pid)]);
    started.push(Number(stdout));
  }
  return started;
}

function endLoads(pids: readonly number[]): void {
  for (const pid of pids)
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
}
