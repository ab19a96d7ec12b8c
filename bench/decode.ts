import { isCoded } from '@fleetlora/shared/errors';
import { type Precision, precisions } from '@fleetlora/shared/space';
import { comparePrograms, type Pairs, type Setting } from './decoding/compare-programs.js';
import { adapterRank, makeDecodeGround, smolShape } from './decoding/decode-ground.js';
import type { DecodeAsk } from './decoding/decode-messages.js';
import { summarisePairs } from './decoding/summarise-pairs.js';
import { atLeast, type Bench, type BenchResult, type FigureValue, skip } from './lib/bench.js';
import { type NodePeer, nodePeer } from './lib/peer-folders.js';

const PROMPT = 128;
/** Tokens of one run of ours: what the agent's chunks grow to. */
const CHUNK = 8;

/** Our decoding and prefill against llama.cpp and transformers.js: one model, in pairs. */
export const decodeBench: Bench = {
  name: 'bench:decode',
  summary:
    'time of a written token and of a prompt against llama.cpp (same bits) and transformers.js, in pairs',
  options: {
    precision: 'only this one (fp32, q8, q4)',
    threads: 'only so many (1 and 2)',
    rank: `only this rank of the adapter (0 and ${adapterRank})`,
    kv: 'lengths before the written tokens (2,256,448)',
    rounds: 'pairs of each kind of work (10; quick 3)',
    tokens: 'written tokens of a pair (16; quick 8)',
    chunk: `tokens of one run of ours (${CHUNK})`,
  },
  async run({ quick, options, workFolder, say }): Promise<BenchResult> {
    const llama = installed('llama-cpp');
    if ('missing' in llama) return skip(`llama.cpp cannot be fetched: ${llama.missing}`);
    const transformers = installed('transformers-js');
    const rounds = Number(options.rounds ?? (quick ? 3 : 10));
    const tokens = Number(options.tokens ?? (quick ? 8 : 16));
    const chunk = Number(options.chunk ?? CHUNK);
    const lengths = (options.kv ?? '2,256,448').split(',').map(Number);
    const settings = allSettings().filter(
      ({ precision, threads, rank }) =>
        (options.precision ?? precision) === precision &&
        Number(options.threads ?? threads) === threads &&
        Number(options.rank ?? rank) === rank,
    );
    const wanted = precisions.filter((one) => settings.some(({ precision }) => precision === one));
    say(`making the model in ${wanted.join(', ')}`);
    const ground = await makeDecodeGround(workFolder, smolShape, {
      precisions: wanted,
      onnx: 'entry' in transformers && settings.some(isPlain),
    });
    const asks: DecodeAsk[] = [
      // Lengths that grow, so that a cache is filled once.
      ...lengths.toSorted((a, b) => a - b).map((kv): DecodeAsk => ({ kind: 'decode', kv, tokens })),
      { kind: 'prefill', tokens: PROMPT },
    ];

    const figures: Record<string, Record<string, FigureValue>[]> = {
      decodeRatio: [],
      prefillRatio: [],
      transformersDecodeRatio: [],
      transformersPrefillRatio: [],
    };
    const rows: string[][] = [];
    const note = (
      peer: 'llama.cpp' | 'transformers.js',
      setting: Setting,
      ask: DecodeAsk,
      pairs: Pairs,
    ): void => {
      const isDecode = ask.kind === 'decode';
      const summary = summarisePairs(pairs, isDecode ? ask.tokens : 1);
      const name = peer === 'llama.cpp' ? ask.kind : isDecode ? 'transformersDecode' : 'transformersPrefill';
      figures[`${name}Ratio`]?.push({ ...setting, ...(isDecode && { kv: ask.kv }), ...summary });
      rows.push([
        peer,
        isDecode ? `decode after ${ask.kv}` : `prefill of ${ask.tokens}`,
        setting.precision,
        ...[setting.threads, setting.rank, summary.ratio, summary.median, summary.ourMs, summary.theirMs].map(
          String,
        ),
      ]);
    };
    let equal = 0;
    let compared = 0;
    for (const setting of settings) {
      say(`${setting.precision}, threads ${setting.threads}, rank ${setting.rank}`);
      const plain = isPlain(setting) && 'entry' in transformers;
      const found = await comparePrograms(ground, setting, {
        asks,
        rounds,
        chunk,
        llama: llama.entry,
        transformers: plain ? transformers.entry : null,
      });
      asks.forEach((ask, index) => {
        const { ours, llama, transformers, firstIds } = found[index] as (typeof found)[number];
        note('llama.cpp', setting, ask, { ours, theirs: llama });
        if (transformers.length > 0) note('transformers.js', setting, ask, { ours, theirs: transformers });
        if (setting.precision !== 'fp32') return;
        compared++;
        if (new Set(firstIds).size === 1) equal++;
      });
    }
    const columns = [
      'against',
      'work',
      'precision',
      'threads',
      'rank',
      'ratio',
      'median',
      'ours ms',
      'theirs ms',
    ];
    return {
      figures,
      table: { columns, rows },
      checks:
        compared === 0 ? [] : [atLeast('fp32 prompts after which all write the same token', equal, compared)],
    };
  },
};

function allSettings(): Setting[] {
  return precisions.flatMap((precision: Precision) =>
    [1, 2].flatMap((threads) => [0, adapterRank].map((rank): Setting => ({ precision, threads, rank }))),
  );
}

/** What transformers.js's standard export holds: the model itself, in F32. */
function isPlain({ precision, rank }: Setting): boolean {
  return precision === 'fp32' && rank === 0;
}

/** A peer's module, or why there is none. */
function installed(peer: NodePeer): { readonly entry: string } | { readonly missing: string } {
  try {
    return { entry: nodePeer(peer) };
  } catch (error) {
    if (!isCoded(error, 'CHILD_FAILED')) throw error;
    return { missing: error.message };
  }
}
