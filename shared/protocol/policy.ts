import { type Static, Type } from 'typebox';
import { closed, Name, Nullable, ShortText, TimeMs } from './fields.js';

/** "22:00-06:00": from the first minute up to, not including, the second; equal ones are the whole day. */
export const clockRangePattern = '^([01]\\d|2[0-3]):[0-5]\\d-([01]\\d|2[0-3]):[0-5]\\d$';

/**
 * When a device may measure. All that is named must hold; what a device cannot sense (a board
 * without a battery or a thermometer) holds.
 */
export const DevicePolicy = Type.Object(
  {
    /** Ranges in the device's local time, "22:00-06:00"; one of them must hold. */
    hours: Type.Optional(
      Type.Array(Type.String({ pattern: clockRangePattern }), { minItems: 1, maxItems: 8 }),
    ),
    mainsPower: Type.Optional(Type.Literal(true)),
    /** Forbidden above it, and then until it has cooled by `coolingC` below it. */
    maxTemperatureC: Type.Optional(Type.Number({ minimum: 20, maximum: 150 })),
    unmetered: Type.Optional(Type.Literal(true)),
    /** Seconds since the last served request; a request under way always forbids to measure. */
    quietSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
  },
  closed,
);
export type DevicePolicy = Static<typeof DevicePolicy>;

/** A device that was too hot measures again this far below its limit, so that a jitter changes nothing. */
export const coolingC = 2;

/** Whom a policy is for: every device of a class, or every device with a label. */
export const PolicyScope = Type.Object({ kind: Type.Enum(['class', 'label']), name: Name }, closed);
export type PolicyScope = Static<typeof PolicyScope>;
export const PolicySet = Type.Object({ scope: PolicyScope, policy: DevicePolicy }, closed);
export type PolicySet = Static<typeof PolicySet>;
export const ScopedPolicy = Type.Object({ ...PolicySet.properties, updatedAtMs: TimeMs });
export type ScopedPolicy = Static<typeof ScopedPolicy>;

/** Down: every policy that applies to the device; all of them must hold. */
export const PolicyOrder = Type.Object({ policies: Type.Array(PolicySet, { maxItems: 33 }) }, closed);
export type PolicyOrder = Static<typeof PolicyOrder>;

/** Up: whether the device may measure now, and what it senses (null: it cannot). */
export const Conditions = Type.Object(
  {
    mayMeasure: Type.Boolean(),
    /** Why not, for people, each naming its policy; empty when it may. */
    reasons: Type.Array(ShortText, { maxItems: 8 }),
    onMains: Nullable(Type.Boolean()),
    temperatureC: Nullable(Type.Number({ minimum: -100, maximum: 300 })),
    metered: Nullable(Type.Boolean()),
    /** "HH:MM" on the device. */
    localTime: Type.String({ pattern: '^([01]\\d|2[0-3]):[0-5]\\d$' }),
  },
  closed,
);
export type Conditions = Static<typeof Conditions>;

/** "policy of class pi5". */
export function policyTitle({ kind, name }: PolicyScope): string {
  return `policy of ${kind} ${name}`;
}

/**
 * Why a policy forbids to measure, without what changes every minute: a device says it again only
 * when it is another reason. `explainReason` adds that back for people.
 */
export const policyReasons = {
  outsideHours: (hours: readonly string[]): string => `outside ${hours.join(', ')}`,
  tooHot: (maxTemperatureC: number): string => `above ${maxTemperatureC} °C`,
  onBattery: 'not on mains power',
  metered: 'on a metered network',
  notQuiet: (seconds: number): string =>
    seconds === 0 ? 'it is serving a request' : `it served a request less than ${seconds} s ago`,
} as const;
