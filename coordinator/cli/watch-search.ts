import { CodedError } from '@fleetlora/shared/errors';
import { completePlan, type Search, type SearchStart } from '@fleetlora/shared/protocol';
import { formatSeconds } from '@fleetlora/shared/units';
import type { ApiClient } from './api-client.js';
import type { CliContext } from './context.js';
import { follow } from './follow.js';
import { startProgress } from './progress.js';
import { renderFields } from './table.js';
import { waitFor } from './wait-for.js';

/** Follows a search until it ends; says what goes on when Ctrl-C ends the following. */
export const followSearch = (context: CliContext, api: ApiClient, id: string): Promise<Search> =>
  follow(
    context,
    watchSearch(context, api, id),
    `the search goes on: fleetlora search show ${id} --wait, fleetlora search stop ${id}`,
  );

/**
 * Follows a search until it ends.
 * @throws CHILD_FAILED when it failed
 */
export async function watchSearch(context: CliContext, api: ApiClient, id: string): Promise<Search> {
  const { spec } = await api.call('showSearch', { id });
  const progress = startProgress(context, {
    title: 'search',
    total: spec.trials,
    unit: 'trials',
    lineEveryMs: 10_000,
  });
  try {
    const ended = await waitFor(
      () => api.call('showSearch', { id }),
      ({ state }) => state !== 'running' && state !== 'finalizing',
      {
        signal: context.signal,
        everyMs: 1000,
        onAnswer: (search) =>
          progress.update(search.finishedTrials + search.infeasibleTrials, describeSearch(search)),
      },
    );
    if (ended.state === 'failed')
      throw new CodedError(
        'CHILD_FAILED',
        `search ${ended.name} failed: ${ended.reason ?? 'no reason given'}`,
      );
    if (ended.state === 'finished') progress.finish();
    return ended;
  } finally {
    progress.abandon();
  }
}

function describeSearch(search: Search): string {
  if (search.state === 'finalizing') return 'scoring the front on held-out rows';
  const { finishedTrials: done, spec } = search;
  const infeasible = search.infeasibleTrials > 0 ? `, ${search.infeasibleTrials} infeasible` : '';
  if (done === 0) return `${search.reason ?? 'waiting for the first result'}${infeasible}`;
  const left = (search.elapsedSeconds / done) * Math.max(0, spec.trials - done);
  return `${formatSeconds(left)} left${infeasible}`;
}

/** "1 thread, prompt 128, cache 256, 15 + 65 samples in 5 sessions; sentinel every 8 jobs". */
function describePlan({
  plan,
  batch,
  sentinelEvery = 8,
  besideSentinel = true,
  qualifiedOnly,
}: SearchStart): string {
  const { threads, promptTokens, kvTokens, prefillRepeats, decodeRepeats, sessions, sustainedSeconds } =
    completePlan(plan);
  const samples = `${prefillRepeats} + ${decodeRepeats} samples in ${sessions} sessions`;
  return [
    `${threads} ${threads === 1 ? 'thread' : 'threads'}, prompt ${promptTokens}, cache ${kvTokens}, ${samples}`,
    ...(sustainedSeconds > 0 ? [`${sustainedSeconds} s on end`] : []),
    ...(batch === undefined ? [] : [`batches of ${batch}`]),
    sentinelEvery === 0
      ? 'no sentinel'
      : `sentinel every ${sentinelEvery} jobs${besideSentinel ? ' and beside every candidate' : ''}`,
    ...(qualifiedOnly ? ['qualified devices only'] : []),
  ].join('; ');
}

/** A search in detail. */
export function renderSearch(context: CliContext, search: Search): string {
  const { spec } = search;
  return renderFields(context, [
    ['search', `${search.name}  ${search.id}`],
    ['state', search.reason === null ? search.state : `${search.state}: ${search.reason}`],
    [
      'trials',
      `${search.finishedTrials} of ${spec.trials} finished, ${search.pendingTrials} pending, ${search.infeasibleTrials} infeasible`,
    ],
    ['space', `${search.spaceSize.toExponential(2)} genomes`],
    ['objectives', `${spec.quality} and ${spec.costs.join(', ')}, by ${spec.strategy}, seed ${spec.seed}`],
    ['rows', `${spec.scoreRows} to compare on, ${spec.finalRows} held out for the front`],
    ['require', spec.require.join(', ') || null],
    ['plan', describePlan(spec)],
    ['device class', spec.deviceClass],
    ['time', formatSeconds(search.elapsedSeconds)],
  ]);
}
