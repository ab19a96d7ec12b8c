import type {
  Device,
  DeviceFacts,
  MeasurePlan,
  Release,
  Rollout,
  Search,
  Trial,
} from '@fleetlora/shared/protocol';
import type { Arm64Board } from './arm64-boards.js';
import { importTinyModels, type KillModels } from './kill-models.js';
import { type LocalFleet, startLocalFleet, until } from './local-fleet.js';

/** What an emulated board did, beside a device of this machine's own processor. */
export interface BoardVisit {
  readonly cpu: string;
  readonly facts: DeviceFacts;
  /** Every trial of a search on the board. */
  readonly trials: readonly Trial[];
  readonly search: Search;
  /** Of a release of one of them, to the board and to the other device. */
  readonly rollout: Rollout;
  /** What both then answer to the same prompts. */
  readonly answers: readonly { readonly prompt: string; readonly native: string; readonly board: string }[];
}

/** Few and short samples: emulated figures say nothing of speed. */
const plan: MeasurePlan = {
  promptTokens: 8,
  kvTokens: 8,
  prefillRepeats: 2,
  decodeRepeats: 4,
  threads: 1,
  sessions: 2,
};
/** The four baselines: one is merged, three are of one shape and compared in one job. */
const TRIALS = 4;
const BATCH = 3;
const prompts = ['ab', 'what is 7 and 7?', 'Zebra'];
const ANSWER_TOKENS = 24;

/**
 * The whole path on an emulated board: it enrols with a coordinator of this machine, measures the
 * candidates of a search, installs a release and serves it.
 */
export async function visitBoard(
  board: Arm64Board,
  workFolder: string,
  say: (text: string) => void,
): Promise<BoardVisit> {
  const fleet = await startLocalFleet(workFolder, board.node);
  try {
    const models = await importTinyModels(fleet, workFolder);
    say(`${board.cpu} is enrolled, a search measures ${TRIALS} candidates on it`);
    const search = await finishSearch(fleet, models);
    const trials = await fleet.call<Trial[]>(`GET /v1/searches/${search.id}/trials`);
    say(`${board.cpu}: the search is ${search.state}, a release is rolled out`);
    const native = await fleet.addAgent('native');
    const rollout = await finishRollout(fleet, search);
    const device = (await fleet.call<Device[]>('GET /v1/devices')).find(({ name }) => name === 'agent');
    const nativeNow = await fleet.call<Device>(`GET /v1/devices/${native.id}`);
    const answers = [];
    for (const prompt of prompts)
      answers.push({ prompt, native: await ask(nativeNow, prompt), board: await ask(device, prompt) });
    return { cpu: board.cpu, facts: (device as Device).facts, trials, search, rollout, answers };
  } finally {
    await fleet.stop();
  }
}

async function finishSearch(fleet: LocalFleet, models: KillModels): Promise<Search> {
  const search = await fleet.call<Search>('POST /v1/searches', {
    name: 'search',
    adapter: models.adapter,
    dataset: models.dataset,
    deviceClass: fleet.deviceClass,
    strategy: 'nsga2',
    quality: 'loss',
    costs: ['decodeMs'],
    trials: TRIALS,
    seed: 1,
    scoreRows: 4,
    finalRows: 4,
    finalPoints: 1,
    require: [],
    plan,
    maxTokens: 32,
    space: { ...models.space, widthPercents: [100] },
    batch: BATCH,
    // An emulated processor drifts with whatever else its host does.
    sentinelEvery: 0,
  });
  return until(
    () => fleet.call<Search>(`GET /v1/searches/${search.id}`),
    ({ state }) => state !== 'running' && state !== 'finalizing',
  );
}

/** Of the merged baseline: it is expanded on the board, which the graph of no other candidate needs. */
async function finishRollout(fleet: LocalFleet, search: Search): Promise<Rollout> {
  const release = await fleet.call<Release>('POST /v1/releases', {
    name: 'release',
    search: search.id,
    trial: 'maxMerged',
    goldenPrompts: prompts,
  });
  const devices = ['agent', 'native'];
  const started = await fleet.call<Rollout>('POST /v1/rollouts', { release: release.id, devices });
  return until(
    () => fleet.call<Rollout>(`GET /v1/rollouts/${started.id}`),
    ({ state }) => state !== 'running',
  );
}

/** A greedy completion of the device's own door; the refusal in words when there is none. */
async function ask(device: Device | undefined, prompt: string): Promise<string> {
  const response = await fetch(new URL('/v1/completions', device?.serveUrl ?? undefined), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, max_tokens: ANSWER_TOKENS }),
  });
  const text = await response.text();
  if (!response.ok) return `HTTP ${response.status}: ${text}`;
  return (JSON.parse(text) as { choices: { text: string }[] }).choices[0]?.text ?? '';
}
