import { createProgram } from '@fleetlora/coordinator/cli';
import type { Command } from 'commander';
import t from 'tap';
import { memoryContext } from '../lib/memory-context.js';

/** Every command below `command` with its full name. */
function commandsOf(command: Command, path: readonly string[] = []): { name: string; command: Command }[] {
  return command.commands.flatMap((child) => {
    const name = [...path, child.name()];
    return [{ name: name.join(' '), command: child }, ...commandsOf(child, name)];
  });
}

/** A group of commands does nothing by itself; `devices` lists them, and has commands of its own. */
const isRunnable = (command: Command): boolean =>
  command.commands.length === 0 || command.registeredArguments.length > 0;

const commands = commandsOf(createProgram(memoryContext())).filter(({ name }) => name !== 'help');

t.test('all commands are there', async (t) => {
  t.strictSame(
    commands.filter(({ command }) => isRunnable(command)).map(({ name }) => name),
    [
      'up',
      'demo',
      'base import',
      'base quantise',
      'base prune',
      'base list',
      'train',
      'training list',
      'training show',
      'training stop',
      'adapter import',
      'adapter list',
      'adapter export',
      'adapter tune',
      'adapter merge',
      'dataset import',
      'dataset list',
      'dataset show',
      'code create',
      'devices',
      'devices label',
      'devices qualify',
      'policy list',
      'policy set',
      'policy remove',
      'search start',
      'search show',
      'search front',
      'search trials',
      'search stop',
      'search list',
      'trial compare',
      'release create',
      'release show',
      'release list',
      'rollout start',
      'rollout show',
      'rollout list',
      'retention show',
      'retention set',
      'gc',
      'backup',
      'restore',
      'store move',
    ],
  );
});

for (const { name, command } of commands.filter(({ command }) => isRunnable(command))) {
  t.test(
    `fleetlora ${name} --help has a summary, explains each option, gives an example, offers --json`,
    async (t) => {
      const context = memoryContext();
      await t.rejects(createProgram(context).parseAsync([...name.split(' '), '--help'], { from: 'user' }), {
        code: 'commander.helpDisplayed',
        exitCode: 0,
      });
      t.ok(command.summary(), 'summary');
      for (const option of command.options) t.ok(option.description, `${option.flags} is explained`);
      t.match(context.out(), new RegExp(`Examples:\n  fleetlora ${name}`));
      t.ok(
        command.options.some(({ long }) => long === '--json'),
        '--json',
      );
      t.strictSame(
        context
          .out()
          .split('\n')
          .filter((line) => line.length > 118),
        [],
        'no line is too long',
      );
      t.equal(context.err(), '');
    },
  );
}

t.test('--help names every command; a wrong one is told in one line', async (t) => {
  const context = memoryContext();
  await t.rejects(createProgram(context).parseAsync(['--help'], { from: 'user' }), {
    code: 'commander.helpDisplayed',
  });
  for (const { name } of commands) t.match(context.out(), name.split(' ')[0] ?? '', name);
  const wrong = memoryContext();
  await t.rejects(createProgram(wrong).parseAsync(['serach'], { from: 'user' }), {
    code: 'commander.unknownCommand',
  });
  t.match(wrong.err(), /^fleetlora: BAD_USAGE: unknown command 'serach'\n\(Did you mean search\?\)/);
});
