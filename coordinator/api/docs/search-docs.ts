import type { Search, Trial } from '@fleetlora/shared/protocol';
import { comparison, front, search, start, trial } from './example-searches.js';
import { exampleOf, type RouteDoc } from './route-doc.js';

const id = { id: 'Id or name of the search.' };
const unknown = { NOT_FOUND: 'there is no search "intents-pi6"' };
const running: Search = {
  ...search,
  state: 'running',
  finishedTrials: 0,
  infeasibleTrials: 0,
  pendingTrials: 1,
  elapsedSeconds: 0,
};

export const searchDocs = {
  startSearch: {
    tag: 'searches',
    summary: 'Start a search on a device class',
    description:
      'Proposes candidates, has free devices of the class measure them, scores them, and keeps the Pareto front ' +
      'of `quality` against `costs`. The full network (merged and not), the middle and the smallest are always ' +
      'measured first. At the end the front is scored again on rows the search never saw, and the best point ' +
      'that meets `require` is chosen. Survives restarts of the coordinator and of devices. A space over ' +
      '`precisions` needs the base in each of them (`POST /v1/bases/{id}/quantise`).',
    commands: ['search start'],
    body: start,
    answer: running,
    errors: {
      NOT_FOUND: 'no adapter has the id or name "intents"',
      ALREADY_EXISTS: 'a search named "intents-pi5" exists already',
      SPACE_INVALID: 'search space: rankMax is 64, adapter "intents" was trained with 32',
      BAD_REQUEST: 'require "accuracy>=best" is no limit, wanted one such as accuracy>=max-1.0',
    },
  },
  listSearches: {
    tag: 'searches',
    summary: 'All searches',
    description: 'Running and past ones, from the first to the last.',
    commands: ['search list'],
    answer: exampleOf<Search[]>([search]),
  },
  showSearch: {
    tag: 'searches',
    summary: 'One search and its progress',
    description: '`reason` says what a running search waits for, and why one failed.',
    commands: ['search show', 'search start'],
    params: id,
    answer: search,
    errors: unknown,
  },
  listTrials: {
    tag: 'searches',
    summary: 'Every trial of a search',
    description:
      'In the order in which they were proposed, with every raw sample in milliseconds for as long as the ' +
      'retention keeps them.',
    commands: ['adapter export', 'adapter merge', 'search trials'],
    params: id,
    answer: exampleOf<Trial[]>([trial]),
    errors: unknown,
  },
  showFront: {
    tag: 'searches',
    summary: 'The Pareto front and the baselines',
    description:
      'No other trial is better than a point of the front in every objective. `notices` says what a reader should ' +
      'know, such as an accuracy that no candidate has.',
    commands: ['search front', 'search start'],
    params: id,
    answer: front,
    errors: unknown,
  },
  stopSearch: {
    tag: 'searches',
    summary: 'Stop a search',
    description: 'Jobs under way are canceled; results so far, the front and the chosen point stay.',
    commands: ['search stop'],
    params: id,
    answer: exampleOf<Search>({ ...search, state: 'stopped' }),
    errors: { ...unknown, STATE_CONFLICT: 'search "intents-pi5" is finished, wanted a running one' },
  },
  compareTrials: {
    tag: 'searches',
    summary: 'Two trials side by side',
    description:
      'By how many percent the costs of `b` are above those of `a`, times with their 95 % interval: a difference ' +
      'whose interval includes 0 is not established. Candidates of one batch are compared round by round ' +
      '(`paired`), others by the medians of their sessions. Trials are comparable only when plan, provider, ' +
      'runtime, base model, device class, device, memory method and kind of processor are the same; trials of ' +
      'two devices also when their search has corrected both by its sentinel. Everything that differs is named.',
    commands: ['trial compare'],
    params: {
      a: 'A trial as SEARCH:TRIAL; search by id or name, trial by number, label or id.',
      b: 'The other one, in the same form.',
    },
    answer: comparison,
    errors: {
      BAD_REQUEST: '"17" names no trial, wanted SEARCH:TRIAL such as intents-pi5:17',
      NOT_FOUND: 'search "intents-pi5" has no trial with id, label or number "99"',
      STATE_CONFLICT: 'trial intents-pi5:9 is infeasible, wanted one that was measured',
      NOT_COMPARABLE:
        'trials intents-pi5:1 and intents-pi4:1 were not measured in the same way: device class ' +
        'raspberry-pi-5 and raspberry-pi-4; threads 4 and 1',
    },
  },
} as const satisfies Record<string, RouteDoc>;
