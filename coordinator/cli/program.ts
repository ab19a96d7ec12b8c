import { readFileSync } from 'node:fs';
import { Command, Help, type Option } from 'commander';
import { addAdapter } from './commands/adapter.js';
import { addBackup } from './commands/backup.js';
import { addBase } from './commands/base.js';
import { addCode } from './commands/code.js';
import { addDataset } from './commands/dataset.js';
import { addDemo } from './commands/demo.js';
import { addDevices } from './commands/devices.js';
import { addGc } from './commands/gc.js';
import { addPolicy } from './commands/policy.js';
import { addRelease } from './commands/release.js';
import { addRestore } from './commands/restore.js';
import { addRetention } from './commands/retention.js';
import { addRollout } from './commands/rollout.js';
import { addSearch } from './commands/search.js';
import { addStore } from './commands/store.js';
import { addTrain, addTraining } from './commands/train.js';
import { addTrial } from './commands/trial.js';
import { addUp } from './commands/up.js';
import { connectionHeading } from './connection.js';
import type { CliContext } from './context.js';

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * The whole command line. Parsing throws commander's CommanderError on bad usage (and after
 * --help and --version), and whatever a command throws.
 */
export function createProgram(context: CliContext): Command {
  const program = new Command('fleetlora')
    .summary('coordinator')
    .description(
      'Finds, for each kind of edge device, the sub-network of a low-rank super-adapter that runs best\n' +
        'on it, by measuring on the devices themselves, and pushes the chosen one to them.',
    )
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureHelp({ helpWidth: 110, groupItems: groupConnectionLast })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: (text, write) => write(`fleetlora: BAD_USAGE: ${text.replace(/^error: /, '')}`),
    })
    .exitOverride()
    .showHelpAfterError('(add --help for the options and examples)')
    .addHelpText(
      'after',
      `
A first search, from nothing:
  fleetlora up                                             in one terminal; the rest in another
  fleetlora base import ./tiny-llama-7m
  fleetlora train --base tiny-llama-7m --data train.jsonl --space lonas --out ./adapter
  fleetlora dataset import test.jsonl
  fleetlora code create                                    then enroll and run fleetlora-agent on a device
  fleetlora search start --adapter adapter --dataset test --require 'accuracy>=max-1.0' --wait
  fleetlora release create --search SEARCH
  fleetlora rollout start --release RELEASE --class CLASS --wait
Or see all of it in a few minutes:
  fleetlora demo

Exit codes: 0 done, 1 failed, 2 used wrongly. NO_COLOR turns colours off; --json prints data for programs.`,
    );
  for (const add of [
    addUp,
    addDemo,
    addBase,
    addTrain,
    addTraining,
    addAdapter,
    addDataset,
    addCode,
    addDevices,
    addPolicy,
    addSearch,
    addTrial,
    addRelease,
    addRollout,
    addRetention,
    addGc,
    addBackup,
    addRestore,
    addStore,
  ])
    add(program, context);
  return program;
}

/** A command's own options stand above those that find the coordinator. */
function groupConnectionLast<T extends Command | Option>(
  all: T[],
  visible: T[],
  groupOf: (item: T) => string,
): Map<string, T[]> {
  const isLast = (item: T): number => Number(groupOf(item) === connectionHeading);
  const sorted = (items: T[]): T[] => [...items].sort((a, b) => isLast(a) - isLast(b));
  return new Help().groupItems(sorted(all), sorted(visible), groupOf);
}
