import { peerScript } from '../lib/peer-folders.js';
import { runPeer } from '../lib/run-peer.js';
import type { TokenWindow } from './perplexity-figures.js';

export interface ScoreTask {
  /** Module of node-llama-cpp. */
  readonly entry: string;
  /** Path of a GGUF file. */
  readonly model: string;
  readonly threads: number;
  /** To be made tokens, special ones by their names. */
  readonly texts: readonly string[];
  readonly windows: readonly TokenWindow[];
  readonly prompts: readonly number[][];
  readonly answerTokens: number;
}

export interface ScoreAnswer {
  /** Of each text. */
  readonly tokens: number[][];
  /** Of the predicted tokens of each window together, nats. */
  readonly nlls: number[];
  /** Greedy continuations of the prompts. */
  readonly answers: number[][];
}

/** Longest run: 40 windows of 512 tokens take minutes on two busy cores. */
const SCORE_MS = 1_800_000;

/** What llama.cpp says of texts, in a process of its own. @throws CHILD_FAILED */
export async function askLlamaCpp(task: ScoreTask): Promise<ScoreAnswer> {
  const out = await runPeer(process.execPath, [peerScript('llama-cpp-score.mjs')], task, SCORE_MS);
  return JSON.parse(out) as ScoreAnswer;
}
