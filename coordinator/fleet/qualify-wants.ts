import type { Clock } from '@fleetlora/shared/clock';

/** Minutes until a device that did not qualify may be asked again; the last one from then on. */
const PAUSES_MINUTES = [1, 5, 15, 60] as const;

/** Until when a device is asked: until it answered, or until it was accepted. */
export type Until = 'answered' | 'accepted';

/**
 * Which devices are to be asked whether they are steady, and since when they are not to be asked
 * for a while because they failed. Not stored: each birth says anew what is needed.
 */
export interface QualifyWants {
  /** Asks the device once its pause is over. */
  add(deviceId: string, until: Until): void;
  /** Devices whose time has come. */
  due(): string[];
  /** The device cannot be asked at present: not before the next `add`. */
  rest(deviceId: string): void;
  /** It did not qualify, for this reason. One that must be accepted is asked again after a pause. */
  failed(deviceId: string, reason: string): void;
  /** It put the question off: asked again as soon as it may be. */
  postponed(deviceId: string, reason: string): void;
  /** It qualified, or need not any more. */
  settled(deviceId: string): void;
  /** Why it did not the last time, null when it did or was not asked. */
  failureOf(deviceId: string): string | null;
}

interface Want {
  until: Until | null;
  wanted: boolean;
  failures: number;
  notBeforeMs: number;
  failure: string | null;
}

export function createQualifyWants(clock: Clock): QualifyWants {
  const wants = new Map<string, Want>();
  const wantOf = (deviceId: string): Want => {
    const want = wants.get(deviceId) ?? {
      until: null,
      wanted: false,
      failures: 0,
      notBeforeMs: Number.NEGATIVE_INFINITY,
      failure: null,
    };
    wants.set(deviceId, want);
    return want;
  };
  return {
    add: (deviceId, until) => void Object.assign(wantOf(deviceId), { until, wanted: true }),
    due() {
      const nowMs = clock.monotonicMs();
      return [...wants].filter(([, want]) => want.wanted && want.notBeforeMs <= nowMs).map(([id]) => id);
    },
    rest: (deviceId) => void Object.assign(wantOf(deviceId), { wanted: false }),
    failed(deviceId, failure) {
      const want = wantOf(deviceId);
      const minutes = PAUSES_MINUTES[Math.min(want.failures, PAUSES_MINUTES.length - 1)] ?? 0;
      want.failures++;
      want.failure = failure;
      want.notBeforeMs = clock.monotonicMs() + minutes * 60_000;
      want.wanted = want.until === 'accepted';
    },
    postponed(deviceId, failure) {
      const want = wantOf(deviceId);
      want.failure = failure;
      want.wanted = want.until !== null;
    },
    settled: (deviceId) => void wants.delete(deviceId),
    failureOf: (deviceId) => wants.get(deviceId)?.failure ?? null,
  };
}
