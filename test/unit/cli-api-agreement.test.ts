import { routeDocs } from '@fleetlora/coordinator/api';
import { createProgram } from '@fleetlora/coordinator/cli';
import { routes } from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import t from 'tap';
import { readCliCalls } from '../lib/cli-calls.js';
import { memoryContext } from '../lib/memory-context.js';

/** Commands that work on this machine's files and processes, and ask no coordinator. */
const localCommands = ['up', 'demo', 'restore', 'store move'];
/** Routes that agents call, and the one for programs that watch. */
const withoutCommand = ['health', 'enroll', 'challenge', 'openSession'];

const calls = readCliCalls();
const routeNames = Object.keys(routes) as (keyof typeof routes)[];

/** Every command with an action; `devices` has one and a command below it as well. */
function actionsOf(command: Command, path: readonly string[] = []): string[] {
  return command.commands
    .filter((child) => child.name() !== 'help')
    .flatMap((child) => {
      const name = [...path, child.name()];
      const own = '_actionHandler' in child && child._actionHandler ? [name.join(' ')] : [];
      return [...own, ...actionsOf(child, name)];
    });
}

t.test('the calls of every command were found in its source', async (t) => {
  t.same([...calls.keys()].sort(), actionsOf(createProgram(memoryContext())).sort());
});

t.test('every command calls declared routes, but for the local ones', async (t) => {
  for (const [command, names] of calls) {
    const unknown = names.filter((name) => !Object.hasOwn(routes, name));
    t.same(unknown, [], command);
    t.equal(
      names.length === 0,
      localCommands.includes(command),
      `${command} calls ${names.join(', ') || 'none'}`,
    );
  }
});

for (const name of routeNames) {
  const { commands } = routeDocs[name];
  t.test(`${routes[name]} is used by ${commands.join(', ') || 'no command'}`, async (t) => {
    const users = [...calls].filter(([, names]) => names.includes(name)).map(([command]) => command);
    t.same([...commands].sort(), users.sort(), 'as its documentation says');
    t.equal(users.length === 0, withoutCommand.includes(name));
  });
}
