import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type GateWaits, gateLimitsOf, type Machine, openMachine } from '@fleetlora/agent/host';
import { type ChildEntries, type Measured, measureJob, type SessionResult } from '@fleetlora/agent/measure';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import type { WeightFile } from '@fleetlora/shared/graph';
import { defaultMeasurePlan, type MeasurePlan } from '@fleetlora/shared/protocol';
import { createRandom, type Random } from '@fleetlora/shared/random';
import {
  bindSearchSpace,
  encodeGenome,
  type Genome,
  parseSearchSpace,
  type SearchSpace,
} from '@fleetlora/shared/space';
import { type PreparedBase, prepareAdapter, prepareBase } from '../lib/prepare-model.js';
import { checkout } from '../lib/reference.js';
import { type SessionTwist, twisted } from './session-twist.js';

/** What every part of the bench measures on: the demo's model, by the agent's own code. */
export interface MeasureGround {
  readonly prepared: PreparedBase;
  readonly adapter: WeightFile;
  /** Of the demo: ranks, widths and both forms. */
  readonly space: SearchSpace;
  readonly plan: MeasurePlan;
  readonly random: Random;
  readonly machine: Machine;
  /** Measures candidates as a job of a search does. @throws CHILD_FAILED when it does not come to a measurement */
  measure(genomes: readonly Genome[], options?: MeasureOptions): Promise<Measured>;
  /** The same with a twist in its sessions; also what each session found. */
  measureTwisted(
    genomes: readonly Genome[],
    twist: Omit<SessionTwist, 'file'>,
  ): Promise<Measured & { readonly sessions: readonly SessionResult[] }>;
}

export interface MeasureOptions {
  readonly machine?: Machine;
  /** What the first candidate is timed in turns with. */
  readonly sentinel?: Genome;
  readonly plan?: MeasurePlan;
  readonly entries?: Partial<ChildEntries>;
}

/** For measurements of which the times alone are looked at. */
export const timesAlone: Partial<ChildEntries> = {
  memory: new URL('./unweighed-child.js', import.meta.url),
};

const TIMEOUT_MS = 600_000;
/** Nobody asks the bench for completions. */
const activity = { startedRequests: () => 0, whenIdle: async () => {} };
const comparedEntry = new URL('./compared-session-child.js', import.meta.url);

/** @param waits of the gates; those of an agent without options where none are named */
export async function openMeasureGround(
  workFolder: string,
  seed: number,
  waits: GateWaits = {},
): Promise<MeasureGround> {
  const demo = join(checkout, 'deploy', 'demo');
  const prepared = await prepareBase(join(demo, 'base'), join(workFolder, 'weights'));
  const adapter = await prepareAdapter(join(demo, 'adapter'), prepared);
  const spaceFile = parseSearchSpace(JSON.parse(await readFile(join(demo, 'space.json'), 'utf8')));
  const machine = await openMachine({ clock: systemClock, limits: gateLimitsOf(waits) });
  const random = createRandom(seed);
  const sessionsFile = join(workFolder, 'sessions.jsonl');

  const measure: MeasureGround['measure'] = async (genomes, { sentinel, plan, ...options } = {}) => {
    const [genome = '', ...others] = genomes.map(encodeGenome);
    const outcome = await measureJob(
      {
        folder: prepared.folder,
        base: prepared.base.fileName,
        adapter: adapter.fileName,
        baseDigest: prepared.base.fileName,
        adapterDigest: adapter.fileName,
        genome,
        ...(others.length > 0 && { others }),
        ...(sentinel && { sentinel: encodeGenome(sentinel) }),
        plan: plan ?? defaultMeasurePlan,
        scratch: join(workFolder, 'scratch'),
        timeoutMs: TIMEOUT_MS,
      },
      { clock: systemClock, random, machine, activity, ...options },
    );
    if (outcome.outcome !== 'measured')
      throw new CodedError('CHILD_FAILED', `${genome} was not measured: ${outcome.reason}`);
    return outcome;
  };

  return {
    prepared,
    adapter,
    space: bindSearchSpace(spaceFile, {
      layerCount: prepared.shape.layers,
      ffnWidth: prepared.shape.ffnWidth,
    }),
    plan: defaultMeasurePlan,
    random,
    machine,
    measure,
    async measureTwisted(genomes, twist) {
      await rm(sessionsFile, { force: true });
      const measured = await twisted({ ...twist, file: sessionsFile }, () =>
        measure(genomes, { entries: { ...timesAlone, session: comparedEntry } }),
      );
      return { ...measured, sessions: await readSessions(sessionsFile) };
    },
  };
}

/** The sessions that count: of one that was taken anew, the last. */
async function readSessions(file: string): Promise<SessionResult[]> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  const last = new Map<number, SessionResult>();
  for (const line of lines) {
    const { session, result } = JSON.parse(line) as { session: number; result: SessionResult };
    last.set(session, result);
  }
  return [...last.entries()].sort(([a], [b]) => a - b).map(([, result]) => result);
}
