import type { Device, Search } from '@fleetlora/shared/protocol';
import type { KillLedger } from './kill-ledger.js';
import type { KillModels } from './kill-models.js';
import { type KillableFleet, within } from './killable-fleet.js';
import type { StoreView } from './store-view.js';

/** Jobs of the search that the device holds or awaits, and how many of them must wait for a strike. */
const AHEAD = 12;
export const queuedAtLeast = 10;
/** Candidates of a job in every second search. */
const BATCH = 2;
/**
 * A device measures the sentinel once. The few and short samples of these plans would differ by
 * more than a steady device's, and a device in quarantine measures nothing that could be killed.
 */
const SENTINEL_EVERY = 1000;
/** Without a result, a step or an end for so long, something is stuck. */
export const stuckMs = 90_000;

/** One search after another, the first and every second one in batches, so that there is always one with enough jobs waiting. */
export interface KillSearches {
  /** Waits until the device measures and enough jobs wait; the id of the search. */
  busy(): Promise<string>;
  /** Waits for the end of the search under way. */
  finish(): Promise<void>;
  /** Searches so far. */
  count(): number;
}

/** Whether the device measures and enough jobs wait for it. */
export async function isBusy(fleet: KillableFleet): Promise<boolean> {
  const [device] = await fleet.call<Device[]>('GET /v1/devices');
  return device?.runningJobId != null && device.queuedJobs >= queuedAtLeast;
}

export function keepSearching(input: {
  readonly fleet: KillableFleet;
  readonly view: StoreView;
  readonly models: KillModels;
  readonly trials: number;
  readonly ledger: KillLedger;
  stick(text: string): void;
}): KillSearches {
  const { fleet, view, models, ledger, stick } = input;
  let under: Search | null = null;
  let count = 0;

  const start = (): Promise<Search> => {
    count++;
    // Candidates that differ in ranks alone, as many jobs of them as of single ones.
    const inBatches = count % 2 === 1;
    const space = { ...models.space, widthPercents: [100], forms: ['unmerged'] };
    return fleet.call<Search>('POST /v1/searches', {
      name: `kill-${count}`,
      adapter: models.adapter,
      dataset: models.dataset,
      deviceClass: fleet.deviceClass,
      strategy: 'nsga2',
      quality: 'loss',
      costs: ['decodeMs'],
      trials: inBatches ? BATCH * input.trials : input.trials,
      seed: count,
      scoreRows: 4,
      finalRows: 4,
      finalPoints: 2,
      require: [],
      plan: models.plan,
      maxTokens: 32,
      ahead: AHEAD,
      sentinelEvery: SENTINEL_EVERY,
      ...(inBatches ? { batch: BATCH, space } : { batch: 1 }),
    });
  };
  const show = ({ id }: Search): Promise<Search> => fleet.call<Search>(`GET /v1/searches/${id}`);
  const isOver = ({ state }: Search): boolean => state !== 'running' && state !== 'finalizing';

  /** As long as results come it is waited on. */
  async function finish(): Promise<void> {
    if (under === null) return;
    const search = under;
    under = null;
    let ended: Search | null = null;
    for (let seen = -1; ended === null && fleet.events.all.length !== seen; ) {
      seen = fleet.events.all.length;
      ended = await within(stuckMs, () => show(search), isOver, 200);
    }
    if (ended === null) stick(`search ${search.name} does not end`);
    else if (ended.state !== 'finished') stick(`search ${search.name} is ${ended.state}: ${ended.reason}`);
    ledger.close(search.id, await view.read(search.id));
  }

  return {
    count: () => count,
    finish,
    async busy() {
      for (;;) {
        under ??= await start();
        const search: Search = under;
        const found = await within(
          stuckMs,
          async () => ({ over: isOver(await show(search)), busy: await isBusy(fleet) }),
          ({ over, busy }) => over || busy,
        );
        if (found?.over === false) return search.id;
        if (!found) stick(`search ${search.name} has fewer than ${queuedAtLeast} jobs waiting`);
        await finish();
      }
    },
  };
}
