import type { AdapterMerge, Base, BasePrune } from '@fleetlora/shared/protocol';
import { base } from './example-models.js';
import { digests } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const broken = 'the coordinator could not do it in a process of its own';
const candidate = `g1:u:${Array(8).fill('32.32.32.32.768').join('/')}`;

/** Bases made of other bases. */
export const compressionDocs = {
  pruneBase: {
    tag: 'models',
    summary: 'Make a sparse base',
    description:
      'Sets the least important weights of each output of every linear module to 0 (Wanda: the weight times the ' +
      'norm of its input on the calibration rows) and records the result as a base of its own. It takes as long as an import. ' +
      'An adapter that is trained on it with `masked` can be merged without filling the zeros.',
    commands: ['base prune'],
    params: { id: 'Id or name of the base.' },
    body: exampleOf<BasePrune>({
      name: 'tiny-llama-7m-half',
      sparsity: 0.5,
      calibration: { dataset: 'banking77', rows: 128 },
    }),
    answer: exampleOf<Base>({
      ...base,
      name: 'tiny-llama-7m-half',
      pruning: {
        method: 'wanda',
        sparsity: 0.5,
        baseDigest: base.digest,
        datasetDigest: digests.train,
        rows: 128,
        tokens: 3072,
      },
    }),
    errors: {
      NOT_FOUND: 'no base has the id or name "tiny-llama-7m"',
      ALREADY_EXISTS: 'a base named "tiny-llama-7m-half" exists already',
      DATA_LINE:
        'row "Query: …" has 0 prompt and 4 target tokens; all targets and at least one prompt token must fit into 256',
      WEIGHT_NOT_FINITE: 'layer 3: input 17 of down became NaN on the calibration rows',
      CHILD_FAILED: broken,
    },
  },
  mergeAdapter: {
    tag: 'models',
    summary: 'Merge a candidate into its base',
    description:
      'Adds the adapter of a candidate to the weights and records the result as a base of its own, which alone ' +
      'computes what the candidate does. Channels, heads and layers that it leaves out become zeros. An adapter that was ' +
      'trained `masked` leaves every zero of a sparse base a zero. `into` q8 or q4: the numbers of the quantised base ' +
      'change and its scales stay, which needs an adapter that was trained masked in that precision.',
    commands: ['adapter merge'],
    params: { id: 'Id or name of the super-adapter.' },
    body: exampleOf<AdapterMerge>({ name: 'intents-merged', candidate, into: 'fp32' }),
    answer: exampleOf<Base>({
      ...base,
      name: 'intents-merged',
      merged: { baseDigest: base.digest, adapterDigest: digests.adapter, genome: candidate },
    }),
    errors: {
      NOT_FOUND: 'no adapter has the id or name "intents"',
      ALREADY_EXISTS: 'a base named "intents-merged" exists already',
      GENOME_MALFORMED: 'genome "g3:u:32" does not start with g1:u: or g1:m:, or g2:u:q4: and the like',
      GENOME_OUTSIDE_SPACE: 'genome has 12 layers, the base 8',
      ADAPTER_CONFIG: 'the adapter was trained beside floats, wanted one that was trained masked in q4',
      ADAPTER_OTHER_BASE: 'the adapter is masked by the zeros of its base in q4, found the base in fp32',
      UNSUPPORTED_ARCHITECTURE: 'hidden of the model is 48, to be quantised it must be a multiple of 32',
      CHILD_FAILED: broken,
    },
  },
} as const satisfies Record<string, RouteDoc>;
