import type { Qualification } from '@fleetlora/shared/protocol';
import { describeMachine, flagLines, formatMsList, formatPercent, nameThreads } from './render-figures.js';

type Rows = (readonly [string, string])[];

/** The runs of a qualification and what they say, as rows of a table. */
export function qualificationRows(qualification: Qualification): Rows {
  const { runs, accepted, spreadPercent, limitPercent, threads } = qualification;
  const work = `the same work ${runs.length} times, ${nameThreads(threads)}`;
  return [
    ['work', `${work} (${qualification.standard})`],
    ['a token', formatMsList(runs.map(({ decodeMs }) => decodeMs))],
    ['first token', formatMsList(runs.map(({ prefillMs }) => prefillMs))],
    [
      'spread',
      `${formatPercent(spreadPercent)} of the median a token, at most ${limitPercent} % wanted: ${accepted ? 'steady' : 'UNSTEADY'}`,
    ],
  ];
}

/** Everything but the title. */
export function renderQualification(qualification: Qualification): { rows: Rows; notes: string[] } {
  const machine = describeMachine(qualification.machine);
  return {
    rows: [...qualificationRows(qualification), ...(machine ? [['machine', machine] as const] : [])],
    notes: flagLines(qualification.flags),
  };
}
