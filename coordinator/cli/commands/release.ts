import type { Release } from '@fleetlora/shared/protocol';
import { formatBytes } from '@fleetlora/shared/units';
import type { Command } from 'commander';
import { collect, toName } from '../arguments.js';
import { type ConnectionOptions, connect, withConnection } from '../connection.js';
import { type CliContext, printData, say } from '../context.js';
import { describeGenome } from '../describe-genome.js';
import { renderFields, renderTable } from '../table.js';

interface Options extends ConnectionOptions {
  readonly search: string;
  readonly trial?: string;
  readonly name?: string;
  readonly prompt?: string[];
  readonly json?: boolean;
}

/** `fleetlora release create|show|list`. */
export function addRelease(program: Command, context: CliContext): void {
  const release = program
    .command('release')
    .summary('releases: create, show, list')
    .description('Releases: a chosen candidate, packaged and signed.')
    .helpCommand(false);

  withConnection(release.command('create'))
    .summary('package and sign a point of a front')
    .description(
      'Packages a point of a front (fp16), records what it answers to fixed prompts so that devices\n' +
        'can prove themselves healthy, and signs the manifest.',
    )
    .requiredOption('--search <search>', 'name or id of the search')
    .option('--trial <trial>', 'id of the trial (the chosen point)')
    .option('--name <name>', 'name of the release (the name of the search)')
    .option('--prompt <text>', "prompt of the health proof; repeat (some of the search's rows)", collect)
    .option('--json', 'print the release as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora release create --search intents
  fleetlora release create --search intents --trial tri_01j... --name intents-small --json`,
    )
    .action(async (options: Options) => {
      const api = await connect(context, options);
      say(context, 'packaging, and recording the answers that prove health');
      const created = await api.call('createRelease', {
        body: {
          name: options.name ?? toName(options.search),
          search: options.search,
          trial: options.trial,
          goldenPrompts: options.prompt,
        },
      });
      printData(
        context,
        options.json,
        created,
        (value) =>
          `${renderRelease(context, value)}\n\npush it: fleetlora rollout start --release ${value.name} --class CLASS`,
      );
    });

  withConnection(release.command('show'))
    .summary('show a release')
    .argument('<release>', 'name or id')
    .option('--json', 'print it as JSON, signed manifest included')
    .addHelpText('after', '\nExamples:\n  fleetlora release show intents --json')
    .action(async (id: string, options: Options) => {
      const shown = await (await connect(context, options)).call('showRelease', { id });
      printData(context, options.json, shown, (value) => renderRelease(context, value));
    });

  withConnection(release.command('list'))
    .summary('list the releases')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExamples:\n  fleetlora release list')
    .action(async (options: Options) => {
      const releases = await (await connect(context, options)).call('listReleases');
      printData(context, options.json, releases, (rows) =>
        renderTable(
          context,
          [
            { title: 'number', align: 'right', value: (row) => row.number },
            { title: 'name', value: (row) => row.name },
            { title: 'package', align: 'right', value: (row) => formatBytes(row.packageBytes) },
            { title: 'ranks, FFN widths', value: (row) => describeGenome(row.genome) },
            { title: 'id', value: (row) => row.id },
          ],
          rows,
          'no release yet: fleetlora release create --search SEARCH',
        ),
      );
    });
}

function renderRelease(context: CliContext, release: Release): string {
  return renderFields(context, [
    ['release', `${release.name}  ${release.id}  number ${release.number}`],
    ['candidate', describeGenome(release.genome)],
    ['genome', release.genome],
    ['package', `${formatBytes(release.packageBytes)}, sha256 ${release.packageDigest}`],
    ['manifest', `sha256 ${release.manifestDigest}, signed by key ${release.signed.keyId}`],
    ['search, trial', `${release.searchId}, ${release.trialId}`],
  ]);
}
