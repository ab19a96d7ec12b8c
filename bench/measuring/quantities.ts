import type { SessionResult } from '@fleetlora/agent/measure';
import type { Measurement } from '@fleetlora/shared/protocol';
import { splitSessions } from '@fleetlora/shared/statistics';

/** The two times of a candidate: of a prompt, and of an output token. */
export const quantities = ['decode', 'prefill'] as const;
export type Quantity = (typeof quantities)[number];
export type Both<T> = Readonly<Record<Quantity, T>>;

export const both = <T>(of: (quantity: Quantity) => T): Both<T> => ({
  decode: of('decode'),
  prefill: of('prefill'),
});

/** Samples of each session of a measurement, in ms. */
export function sessionsOf(measurement: Measurement, quantity: Quantity): number[][] {
  const { samplesMs, sessionSizes = [samplesMs.length] } = measurement[quantity];
  return splitSessions(samplesMs, sessionSizes);
}

/** Samples of one entrant of a shared session. */
export function sharedOf(session: SessionResult, entrant: number, quantity: Quantity): readonly number[] {
  return session.shared[entrant]?.[quantity === 'decode' ? 'decodeMs' : 'prefillMs'] ?? [];
}
