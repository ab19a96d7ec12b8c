import type { energySources } from '@fleetlora/shared/protocol';

/** What the machine says of itself at this moment; null where it cannot tell. */
export interface MachineReading {
  /** Degrees Celsius of the hottest zone. */
  readonly temperatureC: number | null;
  readonly onMains: boolean | null;
  /** Governor of cpufreq: of all cores when they agree, else joined by commas. */
  readonly governor: string | null;
}

export interface CoolWait {
  readonly waitedMs: number;
  /** It was still too warm when the wait ended: measure and flag. */
  readonly hot: boolean;
}

export interface QuietWait {
  readonly waitedMs: number;
  /** Cores that others kept busy in the last window; null when not looked at, or not known. */
  readonly otherCores: number | null;
  /** They were more than `GateLimits.maxOtherShare` allows when the wait ended: measure and flag. */
  readonly busy: boolean;
}

/** What a watch saw from its begin to its end. */
export interface WatchReport {
  /** Heat or power made the processor slower; null when nothing on this machine can tell. */
  readonly throttled: boolean | null;
  /** Mean of the cores that others kept busy; null when not known, or the time was too short to tell. */
  readonly otherCores: number | null;
  /** `otherCores` is more than `GateLimits.maxOtherShare` allows. */
  readonly busy: boolean;
}

export interface MachineWatch {
  /** Ends it. Later calls resolve to the first one's report. */
  end(): Promise<WatchReport>;
}

export interface WatchOptions {
  /** Called once, when throttling is first seen; the session may be cut short. */
  readonly onThrottled?: () => void;
}

/** Bounds of the gates. */
export interface GateLimits {
  /** Longest wait until it is cool; 0 looks once and does not wait. */
  readonly coolWaitMs: number;
  /**
   * Longest wait until others are quiet; 0 does not even look, and `busy` of a watch is then a
   * matter for a flag, not for another try.
   */
  readonly quietWaitMs: number;
  /** Share of all cores that others may keep busy. */
  readonly maxOtherShare: number;
}

export type EnergySource = (typeof energySources)[number];

export interface EnergyReading {
  /** Gross: of the whole package or device. */
  readonly joules: number;
  /** Time over which they were counted. */
  readonly seconds: number;
}

export interface EnergyRun {
  /** Null when the sensor fell silent, was plugged in meanwhile, or gave too few values. */
  stop(): Promise<EnergyReading | null>;
}

export interface EnergyMeter {
  readonly source: EnergySource;
  /** Counts from the moment this resolves. */
  start(): Promise<EnergyRun>;
}

/** The machine under a measurement: gates before a session, a watch during it. Nothing here throws but `signal`'s reason. */
export interface Machine {
  /** The processor is emulated: times, memory and energy are no hardware's. */
  readonly emulated: boolean;
  readonly limits: GateLimits;
  state(): Promise<MachineReading>;
  /** @throws the signal's reason once it is aborted */
  waitUntilCool(signal?: AbortSignal): Promise<CoolWait>;
  /** @throws the signal's reason once it is aborted */
  waitUntilQuiet(signal?: AbortSignal): Promise<QuietWait>;
  /** Watches from the moment this resolves; always end it. */
  watch(options?: WatchOptions): Promise<MachineWatch>;
  /** The best source that answers now (a battery does so while it discharges alone); null without any. */
  energyMeter(): Promise<EnergyMeter | null>;
}
