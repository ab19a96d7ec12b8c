import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeRandomModel } from '@fleetlora/bench/lib/random-hf-model';
import { createProgram } from '@fleetlora/coordinator/cli';
import type { Adapter, AdapterTune, Front, Search, Training, Trial } from '@fleetlora/shared/protocol';
import { decodeGenome, type SearchSpaceFile } from '@fleetlora/shared/space';
import t, { type Test } from 'tap';
import { killChild } from '../lib/child-processes.js';
import { coded } from '../lib/coded.js';
import { memoryContext } from '../lib/memory-context.js';
import { runCoordinator, type TestCoordinator, temporaryFolder } from '../lib/running-coordinator.js';
import { openHostAgent, openTinyCoordinator } from '../lib/tiny-coordinator.js';

t.setTimeout(120_000);

/** Every axis of the random model's 4 layers, 96 channels and 4 key/value heads, at two ends. */
const everyAxis: SearchSpaceFile = {
  version: 1,
  name: 'every axis',
  rankMax: 8,
  alpha: 16,
  ranks: { qkv: [2, 8], o: 'qkv', gateUp: [2, 8], down: 'gateUp' },
  widthPercents: [100, 50],
  kvHeads: 'half',
  skippable: 'alternate',
  forms: ['unmerged'],
};
const candidate = 'g2:u:fp32:2.2.8.8.48.2/-/8.8.2.2.96/2.2.2.2.48';
const twoEnds = ['--steps', '6', '--batch-rows', '4', '--threads', '1', '--learning-rate', '0.01'];

/** The command line in this process; an answer in JSON. */
function openCommands({ url, token }: TestCoordinator) {
  return async <T>(...args: string[]): Promise<T> => {
    const context = memoryContext();
    const program = createProgram(context);
    await program.parseAsync([...args, '--url', url, '--token', token, '--json'], { from: 'user' });
    return JSON.parse(context.out()) as T;
  };
}

/** A coordinator with a random base "base" of every axis and the rows "rows", and a folder for files. */
async function openRandomBase(t: Test) {
  const coordinator = await runCoordinator(t);
  const fleetlora = openCommands(coordinator);
  const folder = await temporaryFolder(t);
  const { base } = await writeRandomModel(folder, 'llama3');
  const rows = Array.from(
    { length: 12 },
    (_, row) => `{"prompt":"${row}+${row}?","completion":" ${2 * row}"}`,
  );
  await writeFile(join(folder, 'rows.jsonl'), rows.join('\n'));
  await writeFile(join(folder, 'space.json'), JSON.stringify(everyAxis));
  await fleetlora('base', 'import', base);
  await fleetlora('dataset', 'import', join(folder, 'rows.jsonl'));
  return { coordinator, fleetlora, folder };
}

const readConfig = async (folder: string): Promise<unknown> =>
  JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));

t.test(
  'train --distil --precision q8 over ranks, widths, heads and layers, then adapter tune of one candidate',
  async (t) => {
    const { fleetlora, folder } = await openRandomBase(t);
    const [out, tunedOut] = [join(folder, 'wide'), join(folder, 'small')];
    const source = ['--dataset', 'rows', ...twoEnds];
    const space = ['--space', join(folder, 'space.json')];
    const trained = await fleetlora<Training>(
      ...['train', '--base', 'base', ...space, '--out', out, ...source],
      ...['--distil', '0.5', '--precision', 'q8'],
    );
    t.match(trained, {
      name: 'wide',
      state: 'finished',
      step: 6,
      error: null,
      options: { distil: 0.5, precision: 'q8', sampling: 'sandwich', batchRows: 4 },
    });
    t.ok(Number.isFinite(trained.loss));
    t.match(await readConfig(out), { r: 8, lora_alpha: 16 });

    const tuned = await fleetlora<Training>(
      ...['adapter', 'tune', 'wide', '--candidate', candidate, '--name', 'small', '--out', tunedOut],
      ...source,
    );
    t.match(tuned, { state: 'finished', step: 6, options: { sampling: 'uniform', randomSubnets: 1 } });
    t.equal(tuned.options.precision, undefined, 'the candidate runs on the base of floats');
    const adapters = await fleetlora<Adapter[]>('adapter', 'list');
    const [wide, small] = ['wide', 'small'].map((name) => adapters.find((adapter) => adapter.name === name));
    t.equal(tuned.options.from, wide?.id);
    t.match(small, { id: tuned.adapterId, rankMax: 8, alpha: 16, space: { candidate } });
    t.match(await readConfig(tunedOut), { r: 8, lora_alpha: 16 });
    t.not(small?.digest, wide?.digest);
  },
);

t.test(
  'a space of one quantised precision is trained beside such a base; several are beside floats',
  async (t) => {
    const { coordinator, fleetlora, folder } = await openRandomBase(t);
    const train = async (name: string, precisions: SearchSpaceFile['precisions']) => {
      const space = join(folder, `${name}.json`);
      await writeFile(space, JSON.stringify({ ...everyAxis, widthPercents: [100], precisions }));
      const out = join(folder, name);
      return fleetlora<Training>(
        ...['train', '--base', 'base', '--dataset', 'rows', '--space', space, '--out', out, ...twoEnds],
      );
    };
    const quantised = await train('quantised', ['q4']);
    const any = await train('any', ['q4', 'fp32']);
    t.same([quantised.options.precision, any.options.precision], ['q4', undefined]);
    t.not(quantised.loss, any.loss);
    const genome = 'g2:u:q4:2.2.8.8.96/-/8.8.2.2.96/2.2.2.2.96.2';
    const { options } = await fleetlora<Training>(
      ...['adapter', 'tune', 'quantised', '--candidate', genome, '--dataset', 'rows', ...twoEnds],
    );
    t.equal(options.precision, 'q4');
    const adapters = await coordinator.call<Adapter[]>('GET /v1/adapters');
    const tuned = adapters.find(({ name }) => name === 'quantised-tuned');
    t.match(tuned, { space: { precisions: ['q4'], candidate: genome } });
  },
);

t.test('what cannot be trained or tuned is told before anything runs', async (t) => {
  const { coordinator, fleetlora, folder } = await openRandomBase(t);
  const space = join(folder, 'space.json');
  const train = (...args: string[]) =>
    fleetlora('train', '--base', 'base', '--dataset', 'rows', '--space', space, '--out', folder, ...args);
  await t.rejects(train('--distil', '1.5'), { message: /--distil <share>.*0 to 1/ });
  await t.rejects(train('--precision', 'q5'), { message: /--precision <precision>.*q8/ });
  await t.rejects(
    train('--distil', '0.5', '--sampling', 'uniform'),
    coded('BAD_REQUEST', 'uniform', 'sandwich'),
  );
  await t.rejects(
    fleetlora('adapter', 'tune', 'nobody', '--candidate', candidate, '--dataset', 'rows'),
    coded('NOT_FOUND', 'nobody'),
  );
  await t.rejects(fleetlora('adapter', 'tune', 'nobody', '--dataset', 'rows'), {
    message: /--candidate <genome>/,
  });
  t.same(await coordinator.call('GET /v1/trainings'), []);
});

/** Looks every millisecond: a step takes not much more. */
async function untilTraining(
  coordinator: TestCoordinator,
  id: string,
  isDone: (training: Training) => boolean,
): Promise<Training> {
  for (;;) {
    const training = await coordinator.call<Training>(`GET /v1/trainings/${id}`);
    if (isDone(training)) return training;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

t.test(
  'a tune whose process is killed twice and whose coordinator is started again ends with the same file',
  { skip: process.platform === 'linux' ? false : 'looks for processes in /proc' },
  async (t) => {
    const folder = await temporaryFolder(t);
    const first = await runCoordinator(t, { folder });
    const { base } = await writeRandomModel(folder, 'llama3');
    const fleetlora = openCommands(first);
    await writeFile(
      join(folder, 'rows.jsonl'),
      '{"prompt":"1+1?","completion":" 2"}\n{"prompt":"3?","completion":" 4"}',
    );
    await writeFile(join(folder, 'space.json'), JSON.stringify(everyAxis));
    await fleetlora('base', 'import', base);
    await fleetlora('dataset', 'import', join(folder, 'rows.jsonl'));
    const space = join(folder, 'space.json');
    await fleetlora(
      ...[
        'train',
        '--base',
        'base',
        '--dataset',
        'rows',
        '--space',
        space,
        '--out',
        join(folder, 'wide'),
        ...twoEnds,
      ],
    );
    const tune = (coordinator: TestCoordinator, name: string): Promise<Training> =>
      coordinator.call<Training>('POST /v1/adapters/wide/tune', {
        name,
        candidate,
        dataset: 'rows',
        options: { steps: 120, batchRows: 2, threads: 1, checkpointEverySteps: 5 },
      } satisfies AdapterTune);
    const isOver = ({ state }: Training): boolean => state !== 'running';
    const whole = await tune(first, 'whole');
    t.match(await untilTraining(first, whole.id, isOver), { state: 'finished' });

    const killed = await tune(first, 'killed');
    for (const step of [10, 30]) {
      const seen = await untilTraining(first, killed.id, (run) => run.step >= step || isOver(run));
      t.equal(seen.state, 'running', `still running after step ${step}`);
      await killChild(process.pid, 'training-child.js');
    }
    await untilTraining(first, killed.id, ({ step }) => step >= 50);
    await first.stop();
    const second = await runCoordinator(t, { folder, token: first.token });
    t.match(await second.call<Training>(`GET /v1/trainings/${killed.id}`), { state: 'running' });
    t.match(await untilTraining(second, killed.id, isOver), { state: 'finished', step: 120, error: null });
    const adapters = await second.call<Adapter[]>('GET /v1/adapters');
    const digests = ['whole', 'killed'].map(
      (name) => adapters.find((adapter) => adapter.name === name)?.digest,
    );
    t.equal(digests[1], digests[0], 'byte for byte');
    t.ok(digests[0]);
  },
);

/** Nine genomes; one step from a uniform one a single layer differs. */
const ranks: SearchSpaceFile = {
  version: 1,
  name: 'ranks alone',
  rankMax: 4,
  alpha: 8,
  ranks: { qkv: [1, 2, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100],
  forms: ['unmerged'],
};

t.test('search start --strategy heuristic, hillClimbing and nsga2 on a real device', async (t) => {
  const coordinator = await openTinyCoordinator(t);
  await openHostAgent(t, coordinator, 'one');
  const fleetlora = openCommands(coordinator);
  const file = join(await temporaryFolder(t), 'ranks.json');
  await writeFile(file, JSON.stringify(ranks));
  for (const strategy of ['heuristic', 'hillClimbing', 'nsga2']) {
    const front = await fleetlora<Front>(
      ...['search', 'start', '--adapter', 'lora', '--dataset', 'rows', '--name', strategy, '--space', file],
      ...[
        '--strategy',
        strategy,
        '--trials',
        '6',
        '--score-rows',
        '4',
        '--final-rows',
        '4',
        '--final-points',
        '1',
      ],
      ...[
        '--prompt-tokens',
        '8',
        '--kv-tokens',
        '8',
        '--threads',
        '1',
        '--sessions',
        '1',
        '--max-tokens',
        '16',
      ],
      ...['--sentinel-every', '0', '--no-beside-sentinel', '--batch', '3', '--wait'],
    );
    t.ok(front.chosenTrialId !== null, strategy);
    const search = await coordinator.call<Search>(`GET /v1/searches/${strategy}`);
    t.match(search, { state: 'finished', finishedTrials: 6, spec: { strategy } });
    const genomes = (await coordinator.call<Trial[]>(`GET /v1/searches/${strategy}/trials`)).map(
      ({ genome }) => genome,
    );
    t.equal(new Set(genomes).size, 6);
    t.same(
      genomes.slice(0, 3).map((genome) => decodeGenome(genome).layers.map(({ ranks }) => ranks.qkv)),
      [
        [4, 4],
        [2, 2],
        [1, 1],
      ],
      'max, middle and min',
    );
    // The baselines are all that is uniform; one gene by one step from there is a single layer.
    if (strategy === 'hillClimbing')
      t.ok(genomes.slice(3).every((genome) => isOneStep(genome, genomes.slice(0, 3))));
  }
});

/** Whether a genome is one rank by one step away from one of these. */
function isOneStep(genome: string, from: readonly string[]): boolean {
  const steps = (text: string): number[] =>
    decodeGenome(text).layers.map(({ ranks }) => Math.log2(ranks.qkv));
  const own = steps(genome);
  return from.some((other) => {
    const distance = steps(other).reduce(
      (sum, step, layer) => sum + Math.abs(step - (own[layer] as number)),
      0,
    );
    return distance === 1;
  });
}
