import {
  completePlan,
  type Front,
  type MeasurePlan,
  type Search,
  type Trial,
  type TrialComparison,
} from '@fleetlora/shared/protocol';
import { decodeGenome, type SearchSpaceFile, shapeOf } from '@fleetlora/shared/space';
import t from 'tap';
import { runCli } from '../lib/run-cli.js';
import { openHostAgent, openTinyCoordinator } from '../lib/tiny-coordinator.js';

t.setTimeout(300_000);
const plan: MeasurePlan = {
  promptTokens: 8,
  kvTokens: 8,
  prefillRepeats: 4,
  decodeRepeats: 8,
  threads: 1,
  sessions: 2,
};
/** 3 ranks for attention and 3 for the FFN in each of two layers; no widths. */
const space: SearchSpaceFile = {
  version: 1,
  name: 'ranks alone',
  rankMax: 4,
  alpha: 8,
  ranks: { qkv: [1, 2, 4], o: 'qkv', gateUp: [1, 2, 4], down: 'gateUp' },
  widthPercents: [100],
  forms: ['unmerged'],
};

t.test(
  'a search over ranks on a real device: the sentinel first, then batches of 3, told apart by compare',
  async (t) => {
    const coordinator = await openTinyCoordinator(t);
    const { call } = coordinator;
    await openHostAgent(t, coordinator, 'one');
    const { id } = await call<Search>('POST /v1/searches', {
      name: 'ranks',
      adapter: 'lora',
      dataset: 'rows',
      deviceClass: 'board',
      strategy: 'nsga2',
      quality: 'loss',
      costs: ['decodeMs'],
      trials: 6,
      seed: 1,
      scoreRows: 4,
      finalRows: 4,
      finalPoints: 1,
      require: [],
      space,
      plan,
      batch: 3,
      maxTokens: 16,
    });
    let search: Search;
    do {
      await new Promise((resolve) => setTimeout(resolve, 50));
      search = await call<Search>(`GET /v1/searches/${id}`);
    } while (search.state === 'running' || search.state === 'finalizing');
    t.match(search, { state: 'finished', reason: null, finishedTrials: 6 });

    const trials = await call<Trial[]>(`GET /v1/searches/${id}/trials`);
    t.same(
      trials.map(({ measurement }) => [measurement?.batch?.position, measurement?.batch?.size]),
      [
        [0, 3],
        [1, 3],
        [2, 3],
        [0, 3],
        [1, 3],
        [2, 3],
      ],
    );
    t.equal(new Set(trials.map(({ genome }) => shapeOf(decodeGenome(genome)))).size, 1);
    const seeds = trials.map(({ measurement }) => measurement?.batch?.seed);
    t.equal(new Set(seeds).size, 2, 'each batch has an order of its own');
    const sentinels = new Set(trials.map(({ correction }) => correction?.sentinelJobId));
    t.equal(sentinels.size, 1);
    const firsts = [trials[0], trials[3]].map((trial) => trial?.measurement?.beside);
    t.ok(
      firsts.every((beside) => beside && beside.decode.ratio > 0),
      'the first of each batch ran beside the sentinel',
    );
    t.equal(new Set(firsts.map((beside) => beside?.sentinel)).size, 1);
    for (const [index, { correction, measurement }] of trials.entries()) {
      t.equal(correction?.beside, true);
      t.same(correction, trials[3 * Math.floor(index / 3)]?.correction, 'a batch is corrected by one ratio');
      t.same(measurement && completePlan(measurement.plan), completePlan(plan));
    }

    const compare = async (a: string, b: string) =>
      (await coordinator.request(`GET /v1/trials/compare?a=${a}&b=${b}`)).json() as Promise<TrialComparison>;
    const within = await compare('ranks:1', 'ranks:3');
    t.match(within, { paired: true, a: { number: 1 }, b: { number: 3 } });
    t.ok(within.decode.low <= within.decode.percent && within.decode.percent <= within.decode.high);
    const [, , third] = trials;
    const told = third?.measurement?.batch?.difference.decode;
    // Kept samples are rounded to 0.1 µs, and a step takes some 50.
    t.ok(
      Math.abs(within.decode.percent - (told?.percent ?? 1e9)) < 0.3,
      `${within.decode.percent} %, the device told ${told?.percent} %`,
    );
    t.match(await compare('ranks:1', 'ranks:4'), { paired: false });
    t.match(await compare('ranks:1', 'ranks'), { code: 'BAD_REQUEST' });

    const at = { FLEETLORA_URL: coordinator.url, FLEETLORA_TOKEN: coordinator.token };
    const { code, stdout } = await runCli('fleetlora', ['trial', 'compare', 'ranks:max', 'ranks:3'], at);
    t.equal(code, 0);
    t.match(stdout, /^ranks:3 against ranks:max:\nms\/token +[-+]\d+\.\d\d % \[/m);
    t.match(stdout, /^by +rounds of one batch$/m);
    const front = await call<Front>(`GET /v1/searches/${id}/front`);
    t.match(
      front.notices.find((notice) => notice.includes('sessions')),
      /^measured in 2 sessions: fewer than 5/,
    );
    t.match(
      front.notices.find((notice) => notice.includes('qualified')),
      /^not qualified: one;/,
    );
  },
);
