import type {
  Adapter,
  AdapterExport,
  AdapterExported,
  AdapterImport,
  Base,
  BaseImport,
  BaseQuantise,
  Dataset,
  DatasetImport,
} from '@fleetlora/shared/protocol';
import { adapter, base, dataset } from './example-models.js';
import { digests } from './example-names.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const notUploaded = `model.safetensors with digest ${digests.weights} was not uploaded`;
const broken = 'the coordinator could not do it in a process of its own';

export const modelDocs = {
  importBase: {
    tag: 'models',
    summary: 'Import a base model',
    description:
      'From uploads of a Hugging Face folder: `config.json` (Llama, Mistral or Qwen2), `tokenizer.json`, and ' +
      '`model.safetensors` or `model.safetensors.index.json` with the shards that it names; where they are there ' +
      '`generation_config.json`, `tokenizer_config.json` and `chat_template.jinja`. Or from one `model.gguf`, with ' +
      'a `tokenizer.json` to use instead of its own where you have one; `chatTemplate: false` leaves out its chat ' +
      'template. Makes the one weight file from which every candidate is built, its FFN channels, and with ' +
      '`importance` its groups of heads, in order of ' +
      'importance.',
    commands: ['base import'],
    body: exampleOf<BaseImport>({
      name: 'tiny-llama-7m',
      files: {
        'config.json': digests.config,
        'model.safetensors': digests.weights,
        'tokenizer.json': digests.tokenizer,
      },
    }),
    answer: base,
    errors: {
      NOT_FOUND: notUploaded,
      ALREADY_EXISTS: 'a base named "tiny-llama-7m" exists already',
      UNSUPPORTED_ARCHITECTURE:
        'config.json has architectures = "GPT2LMHeadModel", wanted LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM',
      MODEL_CONFIG: 'config.json has no "num_hidden_layers"',
      TOKENIZER: 'tokenizer.json has 5000 tokens, the model embeds 4096',
      WEIGHT_MISSING: 'tensor "model.norm.weight" is not in the file',
      WEIGHT_NOT_FINITE: 'layer 3: FFN channel 17 holds a weight that is not finite',
      SAFETENSORS_TRUNCATED: 'the file has 1000 bytes, its header promises 30408704',
      CHILD_FAILED: broken,
    },
  },
  quantiseBase: {
    tag: 'models',
    summary: 'Make the weight file of another precision',
    description:
      'Of the fp32 file, with its channels and heads in their order, so that every adapter of the base fits. ' +
      'A search over `precisions` needs it; devices fetch it with the first candidate that runs on it. A base ' +
      'that has it already is answered as it is.',
    commands: ['base quantise'],
    params: { id: 'Id or name of the base.' },
    body: exampleOf<BaseQuantise>({ precision: 'q4' }),
    answer: exampleOf<Base>({
      ...base,
      files: { ...base.files, q4: { digest: digests.baseQ4, bytes: 4_718_592 } },
    }),
    errors: {
      NOT_FOUND: 'no base has the id or name "tiny-llama-8m"',
      UNSUPPORTED_ARCHITECTURE: 'hidden of the model is 48, to be quantised it must be a multiple of 32',
      CHILD_FAILED: broken,
    },
  },
  listBases: {
    tag: 'models',
    summary: 'All base models',
    description: 'From the first imported to the last.',
    commands: ['base list'],
    answer: exampleOf<Base[]>([base]),
  },
  importAdapter: {
    tag: 'models',
    summary: 'Import a PEFT LoRA as super-adapter',
    description:
      'From uploads of `adapter_config.json` and `adapter_model.safetensors`, and of `channel_order.json` where ' +
      'it was trained on sorted FFN channels. Without `space` an eighth, half or all of its rank and three FFN widths are searched.',
    commands: ['adapter import'],
    body: exampleOf<AdapterImport>({ name: 'intents', base: 'tiny-llama-7m', files: adapter.files }),
    answer: adapter,
    errors: {
      NOT_FOUND: 'no base has the id or name "tiny-llama-7m"',
      ALREADY_EXISTS: 'a adapter named "intents" exists already',
      ADAPTER_CONFIG: 'adapter_config.json has "bias": "all", wanted "none"',
      ADAPTER_OTHER_BASE: 'the adapter has 12 layers, base "tiny-llama-7m" has 8',
      SPACE_INVALID: 'search space: rankMax is 64, the adapter has 32',
      WEIGHT_SHAPE: 'tensor "layers.0.q.lora_A" is [16, 512], wanted [16, 256]',
      CHILD_FAILED: broken,
    },
  },
  listAdapters: {
    tag: 'models',
    summary: 'All super-adapters',
    description: 'Imported and trained ones. `files` are their PEFT export, to be fetched as artifacts.',
    commands: ['adapter list', 'adapter tune', 'train'],
    answer: exampleOf<Adapter[]>([adapter]),
  },
  exportAdapter: {
    tag: 'models',
    summary: 'Export a candidate for other tools',
    description:
      'Stores the files and answers with their digests, to be fetched as artifacts until the next collection of ' +
      'garbage. A candidate that is cut in width, heads or layers brings the model it fits along, filled up with zeros ' +
      'to equal sizes. A whole super-adapter that was imported comes back as `peft` with the same tensors.',
    commands: ['adapter export'],
    params: { id: 'Id or name of the super-adapter.' },
    body: exampleOf<AdapterExport>({ as: 'peft' }),
    answer: exampleOf<AdapterExported>({
      genome: `g1:u:${Array(8).fill('32.32.32.32.768').join('/')}`,
      files: [
        { path: 'adapter_config.json', digest: digests.adapterConfig, bytes: 420 },
        { path: 'adapter_model.safetensors', digest: digests.adapterWeights, bytes: 5_001_216 },
      ],
    }),
    errors: {
      NOT_FOUND: 'no adapter has the id or name "intents"',
      GENOME_MALFORMED: 'genome "g3:u:32" does not start with g1:u: or g1:m:, or g2:u:q4: and the like',
      GENOME_OUTSIDE_SPACE: 'genome has 12 layers, the base 8',
      ADAPTER_CONFIG: 'the candidate has rank 0 everywhere, wanted one with an adapter',
      ADAPTER_OTHER_BASE: 'the adapter is masked by the zeros of its base in q4, found the base in fp32',
      WEIGHT_DTYPE: 'an ONNX export in f16 was asked for, f32 is possible',
      TOKENIZER: 'the tokenizer cannot be written into a GGUF file: its model is "WordPiece", wanted BPE',
      UNSUPPORTED_ARCHITECTURE: 'GGUF cannot say rope scaling "llama3" for qwen2, wanted linear or yarn',
      CHILD_FAILED: broken,
    },
  },
  importDataset: {
    tag: 'models',
    summary: 'Import a data set from CSV or JSONL',
    description:
      'Every row is read and checked. Splits are named by file, or made from one file by `split`: stratified by ' +
      'label, and no prompt in two of them. `report` in the answer tells classes, imbalance, duplicates and leaks.',
    commands: ['dataset import', 'adapter tune', 'train'],
    body: exampleOf<DatasetImport>({
      name: 'banking77',
      files: { train: digests.train, test: digests.test },
      format: 'csv',
      promptTemplate: 'Query: {text}\nIntent:',
      completionTemplate: ' {label|words}',
      labelColumn: 'label',
    }),
    answer: dataset,
    errors: {
      NOT_FOUND: `data file with digest ${digests.train} was not uploaded`,
      ALREADY_EXISTS: 'a data set named "banking77" exists already',
      DATA_LINE: 'line 17 of the data file is not JSON: {"prompt": "a',
      DATA_EMPTY: 'data file has no rows, wanted lines of {"prompt", "completion"}',
      DATA_COLUMN: 'the template names {query}, the file has the columns text, label',
      SCORER_INVALID: 'the pattern "(" is no regular expression',
      CHILD_FAILED: broken,
    },
  },
  listDatasets: {
    tag: 'models',
    summary: 'All data sets',
    description: 'From the first imported to the last.',
    commands: ['dataset list', 'dataset import', 'adapter tune', 'train'],
    answer: exampleOf<Dataset[]>([dataset]),
  },
  showDataset: {
    tag: 'models',
    summary: 'One data set with its report',
    description: 'As the import answered it.',
    commands: ['dataset show', 'adapter tune', 'train', 'search start'],
    params: { id: 'Id or name of the data set.' },
    answer: exampleOf<Dataset>(dataset),
    errors: { NOT_FOUND: 'no data set has the id or name "banking78"' },
  },
} as const satisfies Record<string, RouteDoc>;
