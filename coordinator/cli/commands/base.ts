import { stat } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import {
  type Calibration,
  defaultCalibrationRows,
  type Importance,
  importances,
} from '@fleetlora/shared/protocol';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../api-client.js';
import { integer, toName } from '../arguments.js';
import { listBaseFiles } from '../base-files.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { describeBaseFiles, renderBase } from '../render-base.js';
import { renderTable } from '../table.js';
import { uploadFile, uploadFolder } from '../upload-file.js';
import { addBasePrune } from './base-prune.js';
import { addBaseQuantise } from './base-quantise.js';

interface Options extends ConnectionOptions {
  readonly name?: string;
  readonly json?: boolean;
}

interface ImportOptions extends Options {
  readonly chatTemplate: boolean;
  readonly tokenizer?: string;
  readonly importance?: Importance;
  readonly calibration?: string;
  readonly calibrationRows?: number;
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );

/** @throws BAD_USAGE when the file is none by its name */
async function uploadGguf(
  context: CliContext,
  api: ApiClient,
  path: string,
  { tokenizer }: ImportOptions,
): Promise<Record<string, string>> {
  if (extname(path) !== '.gguf')
    throw new CodedError('BAD_USAGE', `${path} is a file, wanted a folder or a file that ends in .gguf`);
  return {
    'model.gguf': await uploadFile(context, api, path),
    ...(tokenizer !== undefined && { 'tokenizer.json': await uploadFile(context, api, tokenizer) }),
  };
}

/** What an import is told of sorting. @throws BAD_USAGE when importance and calibration do not go together */
function sortingOf({ importance, calibration: dataset, calibrationRows: rows }: ImportOptions): {
  readonly importance?: Importance;
  readonly calibration?: Calibration;
} {
  if ((importance === 'wanda') !== (dataset !== undefined))
    throw new CodedError(
      'BAD_USAGE',
      `--importance is ${importance ?? 'not given'} and --calibration ${dataset ?? 'not'}: wanda needs a data set, nothing else does`,
    );
  return {
    ...(importance && { importance }),
    ...(dataset !== undefined && { calibration: { dataset, ...(rows !== undefined && { rows }) } }),
  };
}

/** `fleetlora base import|quantise|prune|list`. */
export function addBase(program: Command, context: CliContext): void {
  const base = program
    .command('base')
    .summary('base models: import, quantise, prune, list')
    .description('Base models.')
    .helpCommand(false);

  withConnection(base.command('import'))
    .summary('import a Hugging Face folder or a GGUF file')
    .description(
      'Uploads a model and makes the one weight file from which every candidate is built. A folder has\n' +
        'config.json (Llama, Mistral or Qwen2), tokenizer.json, and model.safetensors or the shards of\n' +
        'model.safetensors.index.json, in fp32, fp16 or bf16. A chat template (chat_template.jinja, or that\n' +
        'of tokenizer_config.json or of the GGUF file) comes along for /v1/chat/completions.',
    )
    .argument('<path>', 'Hugging Face model folder, or GGUF file')
    .option('--name <name>', 'name of the base (the name of the folder or file)')
    .option('--tokenizer <file>', "tokenizer.json to use instead of a GGUF file's own")
    .option('--no-chat-template', 'leave the chat template out')
    .addOption(
      new Option(
        '--importance <kind>',
        'sort channels and groups of heads by it (channels alone, by l1)',
      ).choices([...importances]),
    )
    .option(
      '--calibration <dataset>',
      'imported data for --importance wanda: its train split, else all of it',
    )
    .option('--calibration-rows <n>', `rows of it (${defaultCalibrationRows})`, integer(1, 65536))
    .option('--json', 'print the base as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora base import ./models/tiny-llama-7m
  fleetlora base import ./SmolLM2-135M-Instruct-Q4_1.gguf --name smol --json`,
    )
    .action(async (path: string, options: ImportOptions) => {
      const sorting = sortingOf(options);
      const api = await connect(context, options);
      const files = (await isFile(path))
        ? await uploadGguf(context, api, path, options)
        : await uploadFolder(context, api, path, await listBaseFiles(path, options));
      say(context, 'sorting FFN channels and writing the weight file');
      const name = options.name ?? toName(basename(resolve(path), extname(path) === '.gguf' ? '.gguf' : ''));
      const body = {
        name,
        files,
        ...(!options.chatTemplate && { chatTemplate: false }),
        ...sorting,
      };
      const imported = await api.call('importBase', { body });
      printData(context, options.json, imported, (value) => renderBase(context, value));
    });

  addBaseQuantise(base, context);
  addBasePrune(base, context);

  withConnection(base.command('list'))
    .summary('list the bases')
    .option('--json', 'print them as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  fleetlora base list\n  fleetlora base list --json | jq -r ".[].name"',
    )
    .action(async (options: Options) => {
      const bases = await (await connect(context, options)).call('listBases');
      printData(context, options.json, bases, (rows) =>
        renderTable(
          context,
          [
            { title: 'name', value: (row) => row.name },
            { title: 'parameters M', align: 'right', value: (row) => (row.parameters / 1e6).toFixed(1) },
            { title: 'layers', align: 'right', value: (row) => row.layers },
            { title: 'hidden', align: 'right', value: (row) => row.hidden },
            { title: 'FFN', align: 'right', value: (row) => row.ffnWidth },
            { title: 'vocab', align: 'right', value: (row) => row.vocab },
            { title: 'files', value: describeBaseFiles },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no base yet: fleetlora base import PATH',
        ),
      );
    });
}
