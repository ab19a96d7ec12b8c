import { basename, resolve } from 'node:path';
import type { Base } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { toName } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderFields, renderTable } from '../table.js';
import { baseFiles, uploadFolder } from '../upload-file.js';

interface Options extends ConnectionOptions {
  readonly name?: string;
  readonly json?: boolean;
}

interface ImportOptions extends Options {
  readonly chatTemplate: boolean;
}

const plainOptional = baseFiles.optional.filter((name) => name === 'generation_config.json');

/** `fleetlora base import|list`. */
export function addBase(program: Command, context: CliContext): void {
  const base = program
    .command('base')
    .summary('base models: import, list')
    .description('Base models.')
    .helpCommand(false);

  withConnection(base.command('import'))
    .summary('import a Hugging Face Llama folder')
    .description(
      'Uploads DIR/config.json, DIR/model.safetensors and DIR/tokenizer.json (LlamaForCausalLM; fp32,\n' +
        'fp16 or bf16) and makes the one weight file from which every candidate is built. A chat template\n' +
        '(chat_template.jinja, or that of tokenizer_config.json) comes along for /v1/chat/completions.',
    )
    .argument('<dir>', 'Hugging Face model folder')
    .option('--name <name>', 'name of the base (the name of the folder)')
    .option('--no-chat-template', 'leave the chat template out')
    .option('--json', 'print the base as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora base import ./models/tiny-llama-7m
  fleetlora base import ./SmolLM2-135M --name smol --json`,
    )
    .action(async (dir: string, options: ImportOptions) => {
      const api = await connect(context, options);
      const wanted = options.chatTemplate ? baseFiles : { ...baseFiles, optional: plainOptional };
      const files = await uploadFolder(context, api, dir, wanted);
      say(context, 'sorting FFN channels and writing the weight file');
      const body = { name: options.name ?? toName(basename(resolve(dir))), files };
      const imported = await api.call('importBase', { body });
      printData(context, options.json, imported, (value) => renderBase(context, value));
    });

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
            { title: 'file', align: 'right', value: (row) => formatBytes(row.bytes) },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no base yet: fleetlora base import DIR',
        ),
      );
    });
}

function renderBase(context: CliContext, base: Base): string {
  return renderFields(context, [
    ['base', `${base.name}  ${base.id}`],
    ['parameters', `${(base.parameters / 1e6).toFixed(2)} M`],
    ['shape', `${base.layers} layers, hidden ${base.hidden}, FFN ${base.ffnWidth}, vocabulary ${base.vocab}`],
    ['weight file', `${formatBytes(base.bytes)}, sha256 ${base.digest}`],
  ]);
}
