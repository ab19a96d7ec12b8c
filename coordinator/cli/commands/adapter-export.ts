import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import type { AdapterExport, AdapterExported } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../api-client.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { renderTable } from '../table.js';
import { writeFolder } from '../write-folder.js';

interface Options extends ConnectionOptions {
  readonly as: AdapterExport['as'];
  readonly candidate?: string;
  readonly dtype?: 'f32' | 'f16';
  readonly out: string;
  readonly json?: boolean;
}

/** `fleetlora adapter export`. */
export function addAdapterExport(adapter: Command, context: CliContext): void {
  withConnection(adapter.command('export'))
    .summary('export a candidate for other tools')
    .description(
      'Writes a candidate of a super-adapter, or all of it, for stock tools: peft (rank_pattern and\n' +
        'alpha_pattern), hf (a Hugging Face folder with the adapter merged), gguf (base and LoRA for\n' +
        'llama.cpp, or one merged file), onnx (a folder for transformers.js, merged or not). A whole\n' +
        'adapter that was imported comes back as peft with the same tensors, byte for byte.',
    )
    .argument('<adapter>', 'name or id of the super-adapter')
    .addOption(
      new Option('--as <format>', 'for which tools')
        .choices(['peft', 'hf', 'gguf', 'onnx'])
        .makeOptionMandatory(),
    )
    .requiredOption('--out <dir>', 'folder to write; must be empty or not there')
    .option('--candidate <candidate>', 'genome, or SEARCH:TRIAL (all of the super-adapter)')
    .addOption(
      new Option(
        '--dtype <type>',
        'number type of the weights (f32; of a whole adapter as peft its own)',
      ).choices(['f32', 'f16']),
    )
    .option('--json', 'print the files as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora adapter export intents --as peft --out ./intents-peft
  fleetlora adapter export intents --candidate intents-pi5:12 --as gguf --out ./intents-gguf`,
    )
    .action(async (id: string, options: Options) => {
      const api = await connect(context, options);
      const exported = await writeFolder(options.out, async (folder) => {
        const { as, dtype, candidate } = options;
        const genome = candidate === undefined ? undefined : await findGenome(api, candidate);
        say(context, 'writing the export');
        const answer = await api.call('exportAdapter', {
          id,
          body: { as, ...(dtype && { dtype }), ...(genome && { candidate: genome }) },
        });
        await downloadFiles(api, answer.files, folder);
        return answer;
      });
      printData(context, options.json, exported, ({ files }) =>
        renderTable(
          context,
          [
            { title: 'file', value: (row) => join(options.out, row.path) },
            { title: 'bytes', align: 'right', value: (row) => formatBytes(row.bytes) },
          ],
          files,
          'nothing was exported',
        ),
      );
    });
}

/** Names with slashes between them, none of which leads out of a folder. */
const PATH_BELOW = /^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/;

/** @throws MESSAGE_MALFORMED for a file that is not below the folder */
async function downloadFiles(api: ApiClient, files: AdapterExported['files'], folder: string): Promise<void> {
  for (const { path, digest } of files) {
    if (!PATH_BELOW.test(path))
      throw new CodedError(
        'MESSAGE_MALFORMED',
        `the coordinator names a file ${JSON.stringify(path)}, wanted one below the folder`,
      );
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await api.download(digest, target);
  }
}

/**
 * The genome that a text is, or that SEARCH:TRIAL (an id, a label or a number) names.
 * @throws BAD_USAGE, NOT_FOUND
 */
export async function findGenome(api: ApiClient, text: string): Promise<string> {
  if (/^g\d:/.test(text)) return text;
  const at = text.lastIndexOf(':');
  const [search, wanted] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || wanted === '')
    throw new CodedError('BAD_USAGE', `--candidate is "${text}", wanted a genome or SEARCH:TRIAL`);
  const trials = await api.call('listTrials', { id: search });
  const found =
    trials.find(({ id, label }) => id === wanted || label === wanted) ??
    trials.find(({ number }) => String(number) === wanted.replace(/^#/, ''));
  if (!found)
    throw new CodedError(
      'NOT_FOUND',
      `search "${search}" has no trial "${wanted}" among its ${trials.length}`,
    );
  return found.genome;
}
