import { formatSeconds } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData } from '../context.js';
import { renderFront, renderTrials } from '../front-table.js';
import { renderTable } from '../table.js';
import { followSearch, renderSearch } from '../watch-search.js';
import { addSearchStart } from './search-start.js';

interface ShowOptions extends ConnectionOptions {
  readonly wait?: boolean;
  readonly json?: boolean;
}

/** `fleetlora search start|show|front|trials|stop|list`. */
export function addSearch(program: Command, context: CliContext): void {
  const search = program
    .command('search')
    .summary('searches: start, show, front, trials, stop, list')
    .description('Searches: candidates are proposed, measured on devices of one class, and scored.')
    .helpCommand(false);
  addSearchStart(search, context);

  withConnection(search.command('show'))
    .summary('show how far a search is')
    .argument('<search>', 'name or id')
    .option('--wait', 'follow it until it ends')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  fleetlora search show intents\n  fleetlora search show intents --wait',
    )
    .action(async (id: string, options: ShowOptions) => {
      const api = await connect(context, options);
      const shown = options.wait
        ? await followSearch(context, api, id)
        : await api.call('showSearch', { id });
      printData(context, options.json, shown, (value) => renderSearch(context, value));
    });

  withConnection(search.command('front'))
    .summary('show the Pareto front and the baselines')
    .description(
      'Shows the points that no other point beats in everything, the baselines (the full network\n' +
        'unmerged and merged, the middle and the smallest), and which point is chosen and why.\n' +
        'Accuracy stands with its 95 % interval; times are medians on the device, ± the 95 % interval of\n' +
        'the spread between sessions, and ÷ what they were corrected by where the device had drifted.',
    )
    .argument('<search>', 'name or id')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  fleetlora search front intents\n  fleetlora search front intents --json',
    )
    .action(async (id: string, options: ShowOptions) => {
      const front = await (await connect(context, options)).call('showFront', { id });
      printData(
        context,
        options.json,
        front,
        (value) => `${renderFront(context, value)}\n\n→ ${value.chosenReason}`,
      );
    });

  withConnection(search.command('trials'))
    .summary('list every trial of a search')
    .argument('<search>', 'name or id')
    .option('--json', 'print them as JSON, all raw samples included')
    .addHelpText(
      'after',
      '\nExamples:\n  fleetlora search trials intents\n  fleetlora search trials intents --json > trials.json',
    )
    .action(async (id: string, options: ShowOptions) => {
      const trials = await (await connect(context, options)).call('listTrials', { id });
      printData(context, options.json, trials, (rows) => renderTrials(context, rows));
    });

  withConnection(search.command('stop'))
    .summary('stop a search, keeping its results')
    .argument('<search>', 'name or id')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora search stop intents')
    .action(async (id: string, options: ShowOptions) => {
      const stopped = await (await connect(context, options)).call('stopSearch', { id });
      printData(context, options.json, stopped, (value) => renderSearch(context, value));
    });

  withConnection(search.command('list'))
    .summary('list the searches')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora search list')
    .action(async (options: ShowOptions) => {
      const searches = await (await connect(context, options)).call('listSearches');
      printData(context, options.json, searches, (rows) =>
        renderTable(
          context,
          [
            { title: 'name', value: (row) => row.name },
            { title: 'state', value: (row) => row.state },
            { title: 'strategy', value: (row) => row.spec.strategy },
            { title: 'device class', value: (row) => row.spec.deviceClass },
            { title: 'trials', align: 'right', value: (row) => `${row.finishedTrials}/${row.spec.trials}` },
            { title: 'time', align: 'right', value: (row) => formatSeconds(row.elapsedSeconds) },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no search yet: fleetlora search start',
        ),
      );
    });
}
