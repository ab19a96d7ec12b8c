import { Command } from 'commander';
import { agentVersion } from '../config.js';
import type { CommandContext } from './command-context.js';
import { addEnroll } from './commands/enroll.js';
import { addMeasure } from './commands/measure.js';
import { addQualify } from './commands/qualify.js';
import { addReport } from './commands/report.js';
import { addRun } from './commands/run.js';
import { addStatus } from './commands/status.js';

/**
 * The whole command line. Parsing throws commander's CommanderError on bad usage (and after
 * --help and --version), and whatever a command throws.
 */
export function createProgram(context: CommandContext): Command {
  const { printer } = context;
  const program = new Command('fleetlora-agent')
    .description(
      'The device side of fleetlora: measures candidates of a low-rank super-adapter on this machine, installs\n' +
        'the signed releases its coordinator sends, and serves them to programs on this machine.',
    )
    .version(agentVersion, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .configureHelp({ helpWidth: 110 })
    .configureOutput({
      writeOut: printer.out,
      writeErr: printer.err,
      outputError: (text, write) => write(`fleetlora-agent: BAD_USAGE: ${text.replace(/^error: /, '')}`),
    })
    .exitOverride()
    .showHelpAfterError('(add --help for the options and examples)')
    .addHelpText(
      'after',
      `
On a new device:
  fleetlora code create                                   on the coordinator; prints URL and CODE
  fleetlora-agent enroll http://127.0.0.1:7410 CODE       makes the device's key and pins the release key
  fleetlora-agent run                                     measures, installs and serves until stopped
  curl 127.0.0.1:7412/v1/completions -H 'content-type: application/json' -d '{"prompt": "Once"}'

Without any coordinator:
  fleetlora-agent report                                  one file about this machine, to show to anyone
  fleetlora-agent measure --base base.safetensors --adapter adapter.safetensors --genome min

The data folder is --data, else FLEETLORA_AGENT_DATA, else ~/.fleetlora/agent (mode 0700). Waits before a
measurement are --cool-wait and --quiet-wait, else FLEETLORA_AGENT_COOL_WAIT_SECONDS and
FLEETLORA_AGENT_QUIET_WAIT_SECONDS.
Exit codes: 0 done, 1 failed, 2 used wrongly. NO_COLOR turns colours off; --json prints data for programs.`,
    );
  for (const add of [addEnroll, addRun, addStatus, addMeasure, addQualify, addReport]) add(program, context);
  return program;
}
