import type { StoredSearch, StoredTrial } from '@fleetlora/coordinator/campaign';
import { defaultMeasurePlan } from '@fleetlora/shared/protocol';
import type { SearchSpaceFile } from '@fleetlora/shared/space';

/** A digest that is easy to tell from others. */
export const letterDigest = (letter: string): string => letter.repeat(64);

export const storedSpace: SearchSpaceFile = {
  version: 1,
  name: 'tiny',
  rankMax: 8,
  alpha: 16,
  ranks: { qkv: [8, 4], o: 'qkv', gateUp: 'qkv', down: 'qkv' },
  widthPercents: [100, 50],
  forms: ['unmerged', 'merged'],
};

/** A search that ended, `srch_NAME`, over adapter `adp_01` and data set `data_01`. */
export function storedSearch(
  name: string,
  changes: Partial<StoredSearch> = {},
  spec: Partial<StoredSearch['spec']> = {},
): StoredSearch {
  return {
    id: `srch_${name}`,
    name,
    state: 'finished',
    spec: {
      name,
      adapter: 'wide',
      dataset: 'rows',
      deviceClass: 'board',
      strategy: 'nsga2',
      quality: 'loss',
      costs: ['decodeMs'],
      trials: 4,
      seed: 1,
      scoreRows: 8,
      finalRows: 0,
      finalPoints: 0,
      require: [],
      plan: defaultMeasurePlan,
      maxTokens: 64,
      ...spec,
    },
    adapterId: 'adp_01',
    datasetId: 'data_01',
    space: storedSpace,
    spaceSize: 1,
    reason: null,
    chosenTrialId: null,
    chosenReason: null,
    createdAtMs: 10,
    endedAtMs: 1000,
    ...changes,
  };
}

/** A trial that waits; its id comes from search and number. */
export function storedTrial(
  searchId: string,
  number: number,
  changes: Partial<StoredTrial> = {},
): StoredTrial {
  return {
    id: `${searchId.replace('srch_', 'trl_')}_${number}`,
    searchId,
    number,
    label: null,
    genome: `g1:u:8.8.8.8.100/8.8.8.8.${number}`,
    genomeDigest: letterDigest('f'),
    state: 'pending',
    deviceId: null,
    score: null,
    finalScore: null,
    correction: null,
    measurement: null,
    reason: null,
    askedSequence: number,
    toldSequence: null,
    createdAtMs: 20,
    ...changes,
  };
}
