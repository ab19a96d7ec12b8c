import { join } from 'node:path';
import {
  type ExportCase,
  llamaGreedy,
  ownGreedy,
  transformersGreedy,
} from '@fleetlora/bench/figures/export-figures';
import {
  type CandidateName,
  candidateNames,
  exportCandidates,
  openRandomGround,
  randomPrompts,
} from '@fleetlora/bench/figures/export-grounds';
import { type NodePeer, nodePeer } from '@fleetlora/bench/lib/peer-folders';
import { type RandomModel, randomWindow } from '@fleetlora/bench/lib/random-hf-model';
import { isCoded } from '@fleetlora/shared/errors';
import { createNodeRuntime } from '@fleetlora/shared/node';
import t from 'tap';

// The peers are installed by the first run, outside the checkout, and kept.
t.setTimeout(600_000);

const PROMPT = 8;
const TOKENS = 24;
const cases: readonly [RandomModel, CandidateName][] = [
  ['qwen2', 'mixed'],
  ['qwen2', 'unequal'],
  ['mistral', 'merged'],
  ['llama3', 'unequal'],
  ['yarn', 'mixed'],
];

/** Why a peer cannot be asked, or false: without a package registry for example. */
function missingPeer(peer: NodePeer): string | false {
  Object.assign(process.env, { npm_config_fetch_retries: '1', npm_config_fetch_timeout: '30000' });
  try {
    nodePeer(peer);
    return false;
  } catch (error) {
    if (!isCoded(error, 'CHILD_FAILED')) throw error;
    return `${peer} cannot be installed here: ${error.message}`;
  }
}

const peers = [
  ['llama-cpp', 'llama.cpp', llamaGreedy],
  ['transformers-js', 'transformers.js', transformersGreedy],
] as const;

for (const [peer, name, greedy] of peers)
  t.test(`${name} loads what is exported for it`, { skip: missingPeer(peer) }, async (t) => {
    for (const [model, key] of cases) {
      // llama.cpp knows no window, so its text ends before one would slide.
      const tokens = model === 'mistral' && peer === 'llama-cpp' ? randomWindow - PROMPT : TOKENS;
      t.test(
        `${model}, ${candidateNames[key]}: ${tokens} greedy tokens after each of 2 prompts`,
        async (t) => {
          const ground = await openRandomGround(createNodeRuntime(), model, join(t.testdir({}), model));
          const rows = randomPrompts(ground.prepared.shape.vocab, 2, PROMPT);
          const one: ExportCase = { name: key, genome: exportCandidates(ground)[key], rows };
          const wanted = await ownGreedy(ground, one, tokens);
          t.ok(
            wanted.every((ids) => ids.length === tokens && new Set(ids).size > 3),
            'a text that is no loop',
          );
          t.same(await greedy(ground, one, tokens, 'exported'), wanted);
        },
      );
    }
  });
