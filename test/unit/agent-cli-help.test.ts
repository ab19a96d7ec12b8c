import { createProgram } from '@fleetlora/agent/cli';
import t from 'tap';

/** The agent's program, and all it printed. */
function openProgram() {
  let text = '';
  const add = (more: string): void => {
    text += more;
  };
  const printer = { data: () => {}, say: add, out: add, err: add, bold: String, isTerminal: false };
  const program = createProgram({ printer, env: {}, signal: new AbortController().signal });
  return { program, text: () => text };
}

const names = openProgram().program.commands.map((command) => command.name());

t.test('all commands are there', async (t) => {
  t.strictSame(names, ['enroll', 'run', 'status', 'measure', 'qualify', 'report']);
});

for (const name of ['', ...names])
  t.test(
    `fleetlora-agent ${name} --help explains each option, gives an example, fits 118 columns`,
    async (t) => {
      const { program, text } = openProgram();
      const command = program.commands.find((found) => found.name() === name) ?? program;
      await t.rejects(program.parseAsync([...(name ? [name] : []), '--help'], { from: 'user' }), {
        code: 'commander.helpDisplayed',
        exitCode: 0,
      });
      for (const option of command.options) t.ok(option.description, `${option.flags} is explained`);
      t.match(text(), new RegExp(`\n  fleetlora-agent ${name || 'report'}`));
      if (name) {
        t.ok(command.summary(), 'summary');
        t.ok(
          command.options.some(({ long }) => long === '--json'),
          '--json',
        );
      }
      t.strictSame(
        text()
          .split('\n')
          .filter((line) => line.length > 118),
        [],
        'no line is too long',
      );
    },
  );
