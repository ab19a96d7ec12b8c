import { type CommandContext, createProgram as createAgentProgram } from '@fleetlora/agent/cli';
import { createProgram } from '@fleetlora/coordinator/cli';
import { type ErrorCode, errorTable } from '@fleetlora/shared/errors';
import {
  downKinds,
  downTopic,
  limits,
  messageCeiling,
  routes,
  upKinds,
  upTopic,
} from '@fleetlora/shared/protocol';
import { presets } from '@fleetlora/shared/space';
import type { Command } from 'commander';
import { type ImportRule, importTable } from './import-table.js';
import { memoryContext } from './memory-context.js';

/** Documents that hold generated blocks: `<!-- generated: NAME -->` to `<!-- end -->`. */
export const documents = ['README.md', 'ARCHITECTURE.md'] as const;

/** When each error occurs. */
const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  SAFETENSORS_TRUNCATED: 'a safetensors file ends before its header or its data do',
  SAFETENSORS_HEADER: 'its header is too large, not JSON, or says nonsense',
  SAFETENSORS_OVERLAP: 'two of its tensors share bytes',
  GGUF_TRUNCATED: 'a GGUF file ends before its head or its data do; the offset is named',
  GGUF_HEADER: 'its head is too large, of another version, or says nonsense',
  GGUF_OVERLAP: 'two of its tensors share bytes',
  WEIGHT_DTYPE: 'a tensor has an element type that cannot be used there',
  WEIGHT_MISSING: 'a tensor that is needed is not in the file',
  WEIGHT_SHAPE: 'a tensor has other dimensions than the model',
  WEIGHT_NOT_FINITE: 'a tensor holds NaN or infinity',
  LAYOUT_VERSION: 'a weight file of ours has a layout this release does not read',
  UNSUPPORTED_ARCHITECTURE: 'config.json names an architecture that cannot be imported',
  MODEL_CONFIG: 'config.json lacks a field or has one that does not fit',
  TOKENIZER: 'tokenizer.json or the chat template cannot be used',
  ADAPTER_CONFIG: 'adapter_config.json is not that of a LoRA we can import',
  ADAPTER_OTHER_BASE: 'the adapter was made for another base',
  SPACE_INVALID: 'a search-space file does not fit its schema or the model',
  GENOME_MALFORMED: 'a genome text is not canonical',
  GENOME_OUTSIDE_SPACE: 'a genome is not in the search space',
  DATA_LINE: 'a line of a data file is not a row; the line is named',
  DATA_EMPTY: 'a data file has no rows',
  DATA_COLUMN: 'a template or option names a column that the data file does not have',
  SCORER_INVALID: 'a scorer cannot be used: its pattern, or its module',
  MESSAGE_MALFORMED: 'a message does not fit its schema',
  MESSAGE_TOO_LARGE: 'a message or file is over its ceiling',
  MESSAGE_VERSION: 'a message is of another protocol version',
  DIGEST_MISMATCH: 'downloaded bytes are not the ones asked for',
  SIGNATURE_INVALID: 'a signature does not hold under the expected key',
  BAD_REQUEST: 'a request does not fit the schema of its route',
  RANGE_INVALID: 'a download asks for bytes behind the end',
  BAD_USAGE: 'a command is used wrongly (exit code 2)',
  BACKUP_INVALID: 'a backup is cut short, damaged, or not one of ours',
  NOT_LOOPBACK: 'a listener is asked to serve other machines',
  NODE_TOO_OLD: 'Node.js is older than the oldest supported one',
  UNAUTHENTICATED: 'no token, or one that is not known',
  FORBIDDEN: 'the token is known but not allowed to do this',
  CODE_UNKNOWN: 'an enrolment code was never made here',
  CODE_EXPIRED: 'its time is over',
  CODE_USED: 'another device has used it',
  NOT_FOUND: 'nothing has this id, name, digest or path',
  ALREADY_EXISTS: 'the name is taken',
  STATE_CONFLICT: 'what is asked for is not possible in the present state',
  NOT_COMPARABLE: 'two trials were not measured in the same way; what differs is named',
  PORT_IN_USE: 'something else listens on the port',
  FOLDER_IN_USE: 'another process runs on the data folder',
  COORDINATOR_UNREACHABLE: 'no coordinator answers',
  STORE_UNAVAILABLE: 'the database cannot be reached; what was asked can be asked again',
  DISK_FULL: 'no space is left on the disk; nothing half-written stays',
  DEVICE_OFFLINE: 'the device is not connected',
  JOB_TIMED_OUT: 'a device did not deliver in time',
  NOTHING_INSTALLED: 'the device has nothing to answer with yet',
  BUSY: 'the device does something else at the moment',
  CHILD_FAILED: 'a process that works for us ended badly',
  RELEASE_UNHEALTHY: 'a release did not prove healthy on a device',
  BUG: 'an error of ours; the log has the details',
};

type Row = readonly (string | number)[];

function table(head: readonly string[], rows: readonly Row[]): string {
  const line = (cells: Row): string =>
    `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Every command that does something, with its summary. */
function commandRows(program: Command, path = program.name()): Row[] {
  return program.commands
    .filter((command) => command.name() !== 'help')
    .flatMap((command) => {
      const name = `${path} ${command.name()}`;
      const below = commandRows(command, name);
      // A group that takes arguments is a command too.
      if (below.length > 0 && command.registeredArguments.length === 0) return below;
      const args = command.registeredArguments.map((arg) =>
        arg.required ? `<${arg.name()}>` : `[${arg.name()}]`,
      );
      return [[`\`${[name, ...args].join(' ')}\``, command.summary()], ...below];
    });
}

function agentProgram(): Command {
  const printer: CommandContext['printer'] = {
    data: () => {},
    say: () => {},
    out: () => {},
    err: () => {},
    bold: String,
    isTerminal: false,
  };
  return createAgentProgram({ printer, env: {}, signal: new AbortController().signal });
}

const list = (names: readonly string[] = []): string => names.join(', ').replaceAll('*', 'all') || '-';

function importRows(): Row[] {
  // Areas with the same rule share a line.
  const areas = new Map<string, { names: string[]; rule: ImportRule }>();
  for (const [area, rule] of Object.entries(importTable)) {
    const key = JSON.stringify(rule);
    areas.set(key, { names: [...(areas.get(key)?.names ?? []), area], rule });
  }
  return [...areas.values()].map(({ names, rule }) => [
    names.join(', '),
    list([
      ...(rule.siblings ?? []),
      ...(rule.rootFiles ?? []).map((file) => `${file === '*' ? 'root files' : `${file}.ts`}`),
    ]),
    list(rule.siblingTypes),
    list(rule.packages),
  ]);
}

const blocks: Readonly<Record<string, () => string>> = {
  commands: () =>
    table(['command', ''], [...commandRows(createProgram(memoryContext())), ...commandRows(agentProgram())]),
  presets: () =>
    table(
      ['preset', ''],
      Object.entries(presets).map(([name, space]) => [`\`${name}\``, space.description ?? '']),
    ),
  errors: () =>
    table(
      ['code', 'kind', 'when'],
      Object.entries(errorTable).map(([code, kind]) => [
        `\`${code}\``,
        kind,
        errorMeanings[code as ErrorCode],
      ]),
    ),
  topics: () =>
    table(
      ['topic', 'at most'],
      [
        ...upKinds.map((kind) => [`\`${upTopic('<device>', kind)}\``, `${messageCeiling(kind) / 1024} KiB`]),
        ...downKinds.map((kind) => [
          `\`${downTopic('<device>', kind)}\``,
          `${messageCeiling(kind) / 1024} KiB`,
        ]),
      ],
    ),
  routes: () =>
    table(
      ['route', 'name'],
      Object.entries(routes).map(([name, route]) => [`\`${route}\``, name]),
    ),
  limits: () =>
    table(
      ['ceiling', 'value'],
      Object.entries(limits).map(([name, value]) => [`\`${name}\``, value.toLocaleString('en-US')]),
    ),
  imports: () => table(['who', 'folders and files beside it', 'their types only', 'packages'], importRows()),
};

const BLOCK = /(<!-- generated: (\w+) -->\n)(?:(?!<!-- )[\s\S])*?(<!-- end -->)/g;

/** A document with its generated blocks as the code has them now. @throws when a block has no source */
export function fillBlocks(text: string): string {
  return text.replace(BLOCK, (_whole, start: string, name: string, end: string) => {
    const block = blocks[name];
    if (!block)
      throw new Error(`no generated block is named "${name}", wanted ${Object.keys(blocks).join(', ')}`);
    return `${start}${block()}\n${end}`;
  });
}

/** Names of the generated blocks in a document. */
export function blockNames(text: string): string[] {
  return [...text.matchAll(BLOCK)].map(([, , name]) => name ?? '');
}
