import type { Clock } from '@fleetlora/shared/clock';
import { messageOf } from '@fleetlora/shared/errors';
import type { Conditions, PolicyOrder } from '@fleetlora/shared/protocol';
import type { Log } from '../log.js';
import { formatMinuteOfDay } from './clock-range.js';
import { judgePolicies, type Readings } from './judge-policies.js';
import { createSensing } from './sensing.js';
import type { Sensors } from './sensors.js';
import { createServingCalm } from './serving-calm.js';
import { worthTelling } from './worth-telling.js';

/** What the agent does for a job: downloads disturb nobody, so only policies stop them. */
export type JobStep = 'fetch' | 'measure';

/** Leave to do something, until it is withdrawn or given back. */
export interface Permit {
  /** Aborted when leave is withdrawn; at once when it was never given. */
  readonly signal: AbortSignal;
  /** Why it was withdrawn. */
  reasons(): readonly string[];
  /** Gives it back. */
  end(): void;
}

/** Knows whether this device may measure, and stops what it may not. */
export interface PolicyWatch {
  /** Obeys these policies from now on, also after a restart; answers with the conditions. */
  obey(order: PolicyOrder): void;
  order(): PolicyOrder;
  conditions(): Conditions;
  /** Asks for leave. A refusal is told to the coordinator, so that it offers no other job meanwhile. */
  permit(step: JobStep): Permit;
  /** A measurement ran to its end. */
  finished(): void;
  /** Senses and judges now; otherwise it happens every few seconds. */
  check(): Promise<void>;
  /** Ends the checks and waits for what is being written. */
  stop(): Promise<void>;
}

export interface PolicyWatchDoors {
  readonly order: PolicyOrder;
  readonly sensors: Sensors;
  readonly activity: {
    requestsInFlight(): number;
    /** Calls the listener when a request begins or ends. */
    onChange(listener: () => void): () => void;
  };
  readonly clock: Clock;
  /** Makes an order outlast this process. */
  readonly keep: (order: PolicyOrder) => Promise<void>;
  /** Says the conditions to the coordinator, should it be connected. */
  readonly tell: (conditions: Conditions) => void;
  readonly log: Log;
  readonly checkEveryMs?: number;
}

const CHECK_EVERY_MS = 5_000;
/** Most reasons that a message holds. */
const MAX_REASONS = 8;

/**
 * Watches from now on; the first readings are taken when this resolves.
 *
 * Invariants:
 * - While a served request runs, no permit to measure is given or stays given.
 * - A permit is withdrawn within one check of the reading that forbids it.
 * - The coordinator hears of a refusal before it hears that the job was postponed.
 */
export async function openPolicyWatch(doors: PolicyWatchDoors): Promise<PolicyWatch> {
  const { sensors, activity, clock, log } = doors;
  let order = doors.order;
  let unkept = false;
  let keeping: Promise<void> = Promise.resolve();
  let requests = activity.requestsInFlight();
  let lastRequestEndMs: number | null = null;
  let tooHot: ReadonlySet<string> = new Set();
  let checking: Promise<void> | null = null;
  const calm = createServingCalm();
  const sensing = createSensing({ sensors, clock, log });
  const permits = new Map<AbortController, { step: JobStep; reasons: readonly string[] }>();

  const readings = (): Readings => ({
    ...sensing.latest(),
    localTime: sensors.localTime(),
    requestsInFlight: requests,
    quietSeconds: lastRequestEndMs === null ? null : (clock.monotonicMs() - lastRequestEndMs) / 1000,
  });

  /** What the policies say, and then what serving says. */
  function judge(): { ofPolicies: readonly string[]; all: readonly string[] } {
    const now = readings();
    const judgement = judgePolicies(order.policies, now, tooHot);
    tooHot = judgement.tooHot;
    const calmSeconds = calm.waitingForSeconds(now);
    // Where a policy says of serving why not, that is said once.
    const ofServing =
      calmSeconds === null || !judgement.isQuiet
        ? []
        : [`it serves requests; waits for ${calmSeconds} s without one`];
    return { ofPolicies: judgement.reasons, all: [...judgement.reasons, ...ofServing] };
  }

  function conditions(): Conditions {
    const { all } = judge();
    return {
      mayMeasure: all.length === 0,
      reasons:
        all.length <= MAX_REASONS
          ? [...all]
          : [...all.slice(0, MAX_REASONS - 1), `and ${all.length - MAX_REASONS + 1} more`],
      ...sensing.latest(),
      localTime: formatMinuteOfDay(sensors.localTime().minuteOfDay),
    };
  }

  function tell(when: 'always' | 'news'): void {
    const now = conditions();
    const atMs = clock.monotonicMs();
    if (when === 'news' && !worthTelling(told.conditions, now, atMs - told.atMs)) return;
    told = { conditions: now, atMs };
    doors.tell(now);
  }

  function withdraw(permit: AbortController, reasons: readonly string[]): void {
    const held = permits.get(permit);
    if (held) held.reasons = reasons;
    permit.abort();
  }

  /** Withdraws what is no longer allowed, and tells it. */
  function enforce(): void {
    const { ofPolicies, all } = judge();
    let withdrew = false;
    for (const [permit, { step }] of permits) {
      const against = step === 'measure' ? all : ofPolicies;
      if (against.length === 0 || permit.signal.aborted) continue;
      withdraw(permit, against);
      withdrew = true;
    }
    tell(withdrew ? 'always' : 'news');
  }

  const stopListening = activity.onChange(() => {
    const before = requests;
    requests = activity.requestsInFlight();
    if (requests < before) lastRequestEndMs = clock.monotonicMs();
    const measures = [...permits].some(([permit, { step }]) => step === 'measure' && !permit.signal.aborted);
    // A device that has nothing to measure says nothing of its requests: that would be a message for each.
    if (requests === 0 || !measures) return;
    calm.disturbed();
    enforce();
  });

  const sense = (): Promise<void> => {
    const measures = [...permits.values()].some(({ step }) => step === 'measure');
    return sensing.refresh(order.policies, measures ? 'measuring' : 'idle');
  };

  function check(): Promise<void> {
    checking ??= sense()
      .then(() => {
        enforce();
        if (unkept) keep();
      })
      .finally(() => {
        checking = null;
      });
    return checking;
  }

  /** Writes the order; one that cannot be written holds all the same, and is tried again. */
  function keep(): void {
    const kept = order;
    unkept = false;
    keeping = keeping
      .then(() => doors.keep(kept))
      .catch((error: unknown) => {
        unkept = true;
        log.error(
          { reason: messageOf(error) },
          'the policies could not be written; they hold until a restart',
        );
      });
  }

  await sense();
  // Whoever connects says these first.
  let told = { conditions: conditions(), atMs: clock.monotonicMs() };
  const failed = (error: unknown): void =>
    log.error({ reason: messageOf(error) }, 'the policies could not be checked');
  const timer = setInterval(() => void check().catch(failed), doors.checkEveryMs ?? CHECK_EVERY_MS);
  timer.unref();
  return {
    obey(wanted) {
      const changed = JSON.stringify(wanted) !== JSON.stringify(order);
      order = wanted;
      if (changed) {
        log.info({ policies: wanted.policies }, `${wanted.policies.length} policies apply to this device`);
        sensing.askNetworkAgain();
        keep();
      }
      enforce();
      // Told in any case, so that the coordinator sees the order obeyed.
      check()
        .then(() => tell('always'))
        .catch(failed);
    },
    order: () => order,
    conditions,
    permit(step) {
      const permit = new AbortController();
      if (step === 'measure' && requests > 0) calm.disturbed();
      const { ofPolicies, all } = judge();
      const against = step === 'measure' ? all : ofPolicies;
      const held = { step, reasons: against };
      permits.set(permit, held);
      if (against.length > 0) {
        permit.abort();
        tell('always');
      }
      return {
        signal: permit.signal,
        reasons: () => held.reasons,
        end: () => void permits.delete(permit),
      };
    },
    finished: () => calm.finished(),
    check,
    async stop() {
      clearInterval(timer);
      stopListening();
      await checking;
      await keeping;
    },
  };
}
