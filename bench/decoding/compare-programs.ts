import { createRandom } from '@fleetlora/shared/random';
import { encodeGenome, type Precision, uniformGenome } from '@fleetlora/shared/space';
import { peerScript } from '../lib/peer-folders.js';
import type { DecodeGround } from './decode-ground.js';
import type { DecodeAsk, OurDecoderSpec, PeerSpec } from './decode-messages.js';
import { type DecodeProgram, startDecodeProgram } from './decode-program.js';

/** What the programs do in one comparison. */
export type Setting = {
  readonly precision: Precision;
  readonly threads: number;
  /** Of the adapter; 0: none. */
  readonly rank: number;
};

/** How often the time of one kind of work was taken of both, in milliseconds, pair by pair. */
export interface Pairs {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

/** Times of one kind of work, round by round, in milliseconds. */
export interface Times {
  readonly ours: number[];
  readonly llama: number[];
  /** Empty where it takes no part. */
  readonly transformers: number[];
  /** The first token that each chose. */
  readonly firstIds: number[];
}

/** How the programs are compared. */
export interface Comparison {
  /** Lengths of the cache grow from one to the next. */
  readonly asks: readonly DecodeAsk[];
  readonly rounds: number;
  readonly chunk: number;
  /** Modules of the peers; transformers.js may stand aside. */
  readonly llama: string;
  readonly transformers: string | null;
}

type Whose = 'ours' | 'llama' | 'transformers';

/**
 * Runs the programs side by side and asks one after the other, in an order that changes from round to
 * round; what a busy machine does to one it does to the others. One more round comes first, to warm up.
 */
export async function comparePrograms(
  ground: DecodeGround,
  setting: Setting,
  { asks, rounds, chunk, llama, transformers }: Comparison,
): Promise<Times[]> {
  const starts: [Whose, () => Promise<DecodeProgram>][] = [
    ['ours', () => startOurs(ground, setting, chunk)],
    ['llama', () => startLlama(ground, setting, llama)],
  ];
  if (transformers !== null)
    starts.push(['transformers', () => startTransformers(ground, setting, transformers)]);
  const programs: [Whose, DecodeProgram][] = [];
  try {
    for (const [whose, start] of starts) programs.push([whose, await start()]);
    const random = createRandom(1);
    const all: Times[] = [];
    for (const ask of asks) {
      const times: Times = { ours: [], llama: [], transformers: [], firstIds: [] };
      for (let round = 0; round <= rounds; round++)
        for (const [whose, program] of random.shuffle(programs)) {
          const answer = await program.ask(ask);
          if (round > 0) times[whose].push(answer.ms);
          else times.firstIds.push(answer.ids[0] as number);
        }
      all.push(times);
    }
    return all;
  } finally {
    for (const [, program] of programs) await program.close();
  }
}

function startOurs(
  { folder, shape, bases, adapter }: DecodeGround,
  { precision, threads, rank }: Setting,
  chunk: number,
): Promise<DecodeProgram> {
  const genome = {
    ...uniformGenome(shape.layers, rank, shape.ffnWidth),
    ...(precision !== 'fp32' && { precision }),
  };
  const spec: OurDecoderSpec = {
    folder,
    base: made(bases, precision),
    adapter: rank === 0 ? null : adapter,
    genome: rank === 0 ? null : encodeGenome(genome),
    threads,
    chunk,
  };
  return startDecodeProgram(new URL('our-decode-child.js', import.meta.url), spec);
}

function startLlama(
  { ggufs, loraGguf }: DecodeGround,
  { precision, threads, rank }: Setting,
  entry: string,
): Promise<DecodeProgram> {
  const lora = rank === 0 ? null : loraGguf;
  const spec: PeerSpec = { entry, model: made(ggufs, precision), lora, threads };
  return startDecodeProgram(peerScript('llama-cpp-decode.mjs'), spec);
}

function startTransformers(
  { onnxFolder }: DecodeGround,
  { threads }: Setting,
  entry: string,
): Promise<DecodeProgram> {
  if (onnxFolder === null) throw new Error('the model was not made for transformers.js');
  const spec: PeerSpec = { entry, model: onnxFolder, lora: null, threads };
  return startDecodeProgram(peerScript('transformers-decode.mjs'), spec);
}

function made(files: Readonly<Partial<Record<Precision, string>>>, precision: Precision): string {
  const file = files[precision];
  if (file === undefined) throw new Error(`the model was not made in ${precision}`);
  return file;
}
