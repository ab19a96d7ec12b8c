import type { Garbage, GarbageReport } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderTable } from '../table.js';

interface Options extends ConnectionOptions {
  readonly delete?: boolean;
  readonly json?: boolean;
}

/** More lines than a screen holds help nobody; `--json` has them all. */
const LINES_SHOWN = 40;

/** `fleetlora gc`. */
export function addGc(program: Command, context: CliContext): void {
  withConnection(program.command('gc'))
    .summary('show what is over its time, or delete it')
    .description(
      'Shows which raw samples, searches, checkpoints and stored files are over the time they are kept\n' +
        '(fleetlora retention show), and why; with --delete they go. What a base, an adapter, a data set,\n' +
        'a release, a running search or training or any device needs is never among them, nor is\n' +
        'anything written to in the last hour.',
    )
    .option('--delete', 'delete it; without this nothing is changed')
    .option('--json', 'print everything as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora gc
  fleetlora gc --delete
  fleetlora gc --json | jq -r '.items[] | [.kind, .id, .bytes] | @tsv'`,
    )
    .action(async (options: Options) => {
      const api = await connect(context, options);
      const report = await api.call('collectGarbage', { body: { dryRun: options.delete !== true } });
      printData(context, options.json, report, (value) => renderReport(context, value));
    });
}

/** The table of what goes (or went), and below it what that makes. */
export function renderReport(context: CliContext, report: GarbageReport): string {
  const { items, bytes, storedBytes, neededBytes, deleted } = report;
  const stored = `stored files: ${formatBytes(storedBytes)}${deleted ? ' before' : ''}, of which ${formatBytes(neededBytes)} are needed`;
  if (items.length === 0) return `nothing is over its time\n${stored}`;
  const shown = items.slice(0, LINES_SHOWN);
  const table = renderTable<Garbage>(
    context,
    [
      { title: 'kind', value: (row) => row.kind },
      { title: 'size', align: 'right', value: (row) => formatBytes(row.bytes) },
      { title: 'last used', value: (row) => new Date(row.lastUsedAtMs).toISOString().slice(0, 10) },
      { title: 'what', value: (row) => `${nameOf(row)}${row.what}` },
      { title: 'why', value: (row) => row.reason },
    ],
    shown,
    '',
  );
  const rest = items.slice(LINES_SHOWN);
  const lines = [table];
  if (rest.length > 0)
    lines.push(`and ${rest.length} more with ${formatBytes(bytesOf(rest))}; --json lists them all`);
  lines.push('', `${sumUp(items)}: ${formatBytes(bytes)}`, stored);
  lines.push(deleted ? 'deleted' : 'nothing was deleted yet: fleetlora gc --delete');
  return lines.join('\n');
}

/** Files have no other name than their digest; the rest is named in words already. */
function nameOf({ kind, id }: Garbage): string {
  if (kind === 'artifact') return `${id.slice(0, 12)}: `;
  return kind === 'partial' ? `${id}: ` : '';
}

/** "1 search, 3 artifacts". */
function sumUp(items: readonly Garbage[]): string {
  const counts = new Map<string, number>();
  for (const { kind } of items) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return [...counts].map(([kind, count]) => nounOf(kind as Garbage['kind'], count)).join(', ');
}

function nounOf(kind: Garbage['kind'], count: number): string {
  if (kind === 'samples') return `samples of ${count} ${count === 1 ? 'search' : 'searches'}`;
  if (kind === 'search') return `${count} ${count === 1 ? 'search' : 'searches'}`;
  const noun = { checkpoint: 'checkpoint', artifact: 'stored file', partial: 'half-written file' }[kind];
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

const bytesOf = (items: readonly Garbage[]): number => items.reduce((total, { bytes }) => total + bytes, 0);
