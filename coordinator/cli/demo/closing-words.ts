import type { Device, Search } from '@fleetlora/shared/protocol';
import type { CliContext } from '../context.js';
import { renderTable } from '../table.js';
import type { Answer } from './ask-device.js';
import { coordinatorFolder, type Demo } from './demo.js';

/** What the device answered before and after, beside what is right. */
export function renderAnswers(
  context: CliContext,
  before: readonly Answer[],
  after: readonly Answer[],
): string {
  const short = (text: string, length: number): string =>
    text.length > length ? `${text.slice(0, length - 1)}…` : text;
  return renderTable(
    context,
    [
      { title: 'definition', value: (row) => short(row.query, 44) },
      { title: 'wanted', value: (row) => row.expected },
      {
        title: 'device before',
        value: (_row, index) => short((before[index]?.answer ?? '').replace(/\s+/g, ' '), 36),
      },
      { title: 'device after', value: (row) => short(row.answer.replace(/\s+/g, ' '), 24) },
    ],
    after,
    'no answer',
  );
}

/** What to try next; with `keep`, commands for what is left running. */
export function whereToLook(
  demo: Demo,
  api: { readonly url: string },
  search: Search,
  device: Device,
): string {
  if (!demo.options.keep)
    return [
      '',
      'Where to look next:',
      '  npm run demo -- --keep     leave coordinator and device running, to try the commands on them',
      '  npm run demo -- --train    train a super-adapter here first',
      '  README.md                  your own model, data and devices, step by step',
      '  ARCHITECTURE.md            how the parts work together',
    ].join('\n');
  const data = coordinatorFolder(demo);
  const command = `FLEETLORA_DATA=${data} npx fleetlora`;
  return [
    '',
    'Left running. Where to look next:',
    `  ${api.url}/docs                        every route of the API, to try out`,
    `  ${command} search front ${search.name}`,
    `  ${command} devices`,
    `  curl ${device.serveUrl ?? 'SERVE-URL'}/v1/completions -H 'content-type: application/json' \\`,
    `    -d '{"prompt": "Definition: a large sea bird\\nCategory:", "max_tokens": 12}'`,
    `  ${demo.folder}           data and logs of both`,
    `Stop them: kill ${demo.processes.pidOf('agent')} ${demo.processes.pidOf('coordinator')}; rm -r ${demo.folder}`,
  ].join('\n');
}
