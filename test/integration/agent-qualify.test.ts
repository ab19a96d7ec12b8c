import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAs, Qualification } from '@fleetlora/shared/protocol';
import t from 'tap';
import { runAgentCommand } from '../lib/agent-process.js';
import { tempFolder } from '../lib/temp-folder.js';

t.test('qualify on a machine that never enrolled: kept, and shown by status', async (t) => {
  const data = join(await tempFolder(t), 'agent');
  const { code, stdout, stderr } = await runAgentCommand([
    'qualify',
    ...['--runs', '2', '--pause', '0', '--data', data, '--json'],
  ]);
  t.equal(code, 0, stderr);
  const qualification = parseAs(Qualification, JSON.parse(stdout), 'qualification');
  t.match(qualification, { standard: 'standard-1', threads: 1, limitPercent: 5, runs: { length: 2 } });
  t.strictSame(JSON.parse(await readFile(join(data, 'qualification.json'), 'utf8')), qualification);
  t.equal((await stat(join(data, 'qualification.json'))).mode & 0o077, 0);

  const status = await runAgentCommand(['status', '--data', data]);
  const verdict = qualification.accepted ? 'steady' : 'unsteady';
  t.match(
    status.stdout,
    new RegExp(`\nsteadiness +${verdict}, \\d+\\.\\d % between runs \\(\\d{4}-\\d\\d-\\d\\d\\)`),
  );
  const json = await runAgentCommand(['status', '--data', data, '--json']);
  const { accepted, spreadPercent } = qualification;
  t.match(JSON.parse(json.stdout), { enrolled: false, qualification: { accepted, spreadPercent } });
});
