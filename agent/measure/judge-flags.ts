import type { MachineState, Measurement, MeasurementFlag } from '@fleetlora/shared/protocol';

/** Sessions that the protocol wants at least: fewer do not establish the spread between them. */
const ENOUGH_SESSIONS = 5;
/**
 * Share of outliers above which a measurement says so. Outliers are slow samples, nearly all: a fifth
 * of them moves the median by a third of the others' standard deviation. A virtual machine whose
 * neighbours take turns at its processor has an eighth of them all the time.
 */
const MANY_OUTLIERS = 0.2;

export interface Doubts {
  readonly emulated: boolean;
  readonly machine: MachineState;
  readonly sessions: number;
  /** Of any session that counts. */
  readonly hot: boolean;
  readonly busy: boolean;
  readonly duplicateDiffers: boolean;
}

/** What a reader must know before trusting a figure, in the order of `measurementFlags`. */
export function judgeFlags(
  { prefill, decode }: Pick<Measurement, 'prefill' | 'decode'>,
  { emulated, machine, sessions, hot, busy, duplicateDiffers }: Doubts,
): MeasurementFlag[] {
  const outliers = (prefill.outliers ?? 0) + (decode.outliers ?? 0);
  const found: Readonly<Record<MeasurementFlag, boolean>> = {
    emulated,
    throttled: machine.throttled === true,
    hot,
    busy,
    onBattery: machine.onMains === false,
    fewSessions: sessions < ENOUGH_SESSIONS,
    duplicateDiffers,
    outliers: outliers > MANY_OUTLIERS * (prefill.n + decode.n),
  };
  return (Object.keys(found) as MeasurementFlag[]).filter((flag) => found[flag]);
}
