import type { Dataset, DatasetImport, SplitName } from '@fleetlora/shared/protocol';
import { splitNames } from '@fleetlora/shared/protocol';
import { type Command, Option } from 'commander';
import type { ApiClient } from '../api-client.js';
import { integer } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import {
  type DatasetOptions,
  defaultMaxNewTokens,
  filesOf,
  nameOfFiles,
  splitParts,
  taskOf,
  templateText,
} from '../dataset-options.js';
import { datasetColumns, renderDataset, type SampleRow } from '../dataset-table.js';
import { renderTable } from '../table.js';
import { uploadFile } from '../upload-file.js';

interface ImportOptions extends ConnectionOptions, DatasetOptions {
  readonly json?: boolean;
}
interface ShowOptions extends ConnectionOptions {
  readonly classes?: boolean;
  readonly json?: boolean;
}

/**
 * Registers uploads; those that are splits already (the same bytes under the same name) are
 * registered once.
 */
async function registerDataset(api: ApiClient, body: DatasetImport): Promise<Dataset> {
  const { name, files, promptTemplate, labelColumn, split, task } = body;
  if (
    promptTemplate === undefined &&
    labelColumn === undefined &&
    split === undefined &&
    task === undefined
  ) {
    const known = (await api.call('listDatasets')).find(
      (dataset) =>
        dataset.name === name &&
        splitNames.every((wanted) => dataset.splits[wanted]?.digest === files[wanted]),
    );
    if (known) return known;
  }
  return api.call('importDataset', { body });
}

/** Uploads a JSONL file of prompts and completions and registers it. */
export async function importDataset(
  context: CliContext,
  api: ApiClient,
  file: string,
  name = nameOfFiles({ all: file }),
): Promise<Dataset> {
  return registerDataset(api, { name, files: { all: await uploadFile(context, api, file) } });
}

/** `fleetlora dataset import|list|show`. */
export function addDataset(program: Command, context: CliContext): void {
  const dataset = program
    .command('dataset')
    .summary('data: import, list, show')
    .description('Data for training and scoring.')
    .helpCommand(false);

  withConnection(dataset.command('import'))
    .summary('import CSV or JSONL files')
    .description(
      'Uploads data and reports what is in it: splits, classes, duplicates, rows that splits share.\n' +
        'A row is a CSV line under its header, or a JSON object a line. Without templates it has "prompt"\n' +
        'and "completion"; with them, {column} is replaced by the text of the column and {column|words} by\n' +
        'the same with _ and - as spaces. \\n and \\t stand for a new line and a tab, {{ and }} for braces.',
    )
    .argument('[file]', 'one file; --split makes splits of it')
    .option('--train <file>', 'rows to train on')
    .option('--validation <file>', 'rows to compare candidates on')
    .option('--test <file>', 'rows of the final scores')
    .option('--name <name>', 'name of the data (the name of the file)')
    .addOption(
      new Option('--format <format>', 'of the files (seen from their first line)').choices(['csv', 'jsonl']),
    )
    .option(
      '--prompt-template <text>',
      'what the model reads, such as "Message: {text}\\nIntent:"',
      templateText,
    )
    .option(
      '--completion-template <text>',
      'what it should answer (" {LABEL|words}" with --label-column LABEL)',
      templateText,
    )
    .option('--label-column <column>', 'column of the class: reported, and dealt out evenly to splits')
    .option('--split <parts>', 'percent of train/validation/test to make, such as 80/10/10', splitParts)
    .option('--seed <n>', 'of --split; the same seed deals the same rows out (1)', integer(0, 2 ** 32 - 1))
    .option(
      '--scorer <scorer>',
      'the model writes an answer, judged by: exact, regex, or a module FILE.mjs with\n' +
        'export function score({ prompt, expected, answer }) that returns true or false',
    )
    .option(
      '--pattern <regex>',
      "its last match is the answer (group 1 if it has one); as '####\\s*(-?[\\d,.]+)'",
    )
    .option('--ignore-case', 'with --scorer exact')
    .option('--max-new-tokens <n>', `longest answer with --scorer (${defaultMaxNewTokens})`, integer(1, 1024))
    .option('--json', 'print the record as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora dataset import ./test.jsonl --name intents-test
  fleetlora dataset import tickets.csv --split 80/10/10 --label-column category \\
    --prompt-template 'Message: {text}\\nIntent:'
  fleetlora dataset import --train train.csv --test test.csv --label-column intent \\
    --prompt-template 'Message: {text}\\nIntent:' --completion-template ' {intent|words}'
  fleetlora dataset import gsm8k.jsonl --split 0/50/50 --scorer regex --pattern '####\\s*(-?[\\d,.]+)' \\
    --prompt-template 'Question: {question}\\nAnswer:' --completion-template ' {answer}'`,
    )
    .action(async (file: string | undefined, options: ImportOptions) => {
      const paths = filesOf(file, options);
      const connecting = () => connect(context, options);
      const task = await taskOf(options, async (path) => uploadFile(context, await connecting(), path));
      const api = await connecting();
      const body = { ...bodyOf(options), name: options.name ?? nameOfFiles(paths), task };
      const files: DatasetImport['files'] = {};
      for (const split of splitNames) {
        const path = paths[split];
        if (path !== undefined) files[split] = await uploadFile(context, api, path);
      }
      const imported = await sayWhenSlow(
        context,
        'reading every row',
        registerDataset(api, { ...body, files }),
      );
      const sample = options.json ? null : await readSample(api, imported);
      printData(context, options.json, imported, (row) => renderDataset(context, row, { sample }));
      if (!options.json) say(context, `\n${nextStep(imported)}`);
    });

  withConnection(dataset.command('list'))
    .summary('list the data')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora dataset list')
    .action(async (options: ShowOptions) => {
      const datasets = await (await connect(context, options)).call('listDatasets');
      printData(context, options.json, datasets, (rows) =>
        renderTable(context, datasetColumns, rows, 'no data yet: fleetlora dataset import FILE'),
      );
    });

  withConnection(dataset.command('show'))
    .summary('show one data set with its report')
    .argument('<dataset>', 'name or id')
    .option('--classes', 'list all classes')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora dataset show banking77 --classes')
    .action(async (id: string, options: ShowOptions) => {
      const api = await connect(context, options);
      const shown = await api.call('showDataset', { id });
      const sample = options.json ? null : await readSample(api, shown);
      printData(context, options.json, shown, (row) =>
        renderDataset(context, row, { sample, allClasses: options.classes ?? false }),
      );
    });
}

/** Says what is going on when it takes longer than a second. */
async function sayWhenSlow<T>(context: CliContext, what: string, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => say(context, what), 1000);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

function bodyOf(options: DatasetOptions): Omit<DatasetImport, 'name' | 'files'> {
  const { format, promptTemplate, completionTemplate, labelColumn, split, seed = 1 } = options;
  return {
    format,
    promptTemplate,
    completionTemplate,
    labelColumn,
    split: split && { ...split, seed },
  };
}

/** Enough for the first row of nearly all data; a longer one is not shown. */
const SAMPLE_BYTES = 64 * 1024;

/** The first row of the first split, null when it is longer than what is fetched. */
async function readSample(api: ApiClient, { splits }: Dataset): Promise<SampleRow | null> {
  const split = splitNames.find((name): name is SplitName => splits[name] !== undefined);
  if (split === undefined) return null;
  const start = await api.readStart(splits[split]?.digest ?? '', SAMPLE_BYTES);
  const line = start.replace(/^\ufeff/, '').split('\n', 1)[0] ?? '';
  try {
    const row = JSON.parse(line) as Partial<SampleRow>;
    return { prompt: String(row.prompt), completion: String(row.completion) };
  } catch {
    return null;
  }
}

function nextStep({ name, splits }: Dataset): string {
  const shown = /^[\w.-]+$/.test(name) ? name : `'${name}'`;
  return splits.train || splits.all
    ? `next: fleetlora train --base BASE --dataset ${shown} --space lonas --out ./adapter`
    : `next: fleetlora search start --adapter ADAPTER --dataset ${shown} --wait`;
}
