import type { Front, Release, RolloutDevice, Score, Trial } from '@fleetlora/shared/protocol';
import { decodeGenome } from '@fleetlora/shared/space';
import type { Answer } from './ask-device.js';

/** A trial in one flat row: accuracy in percent with its interval, medians in ms, sizes in bytes. */
export interface ReportRow {
  readonly trial: number;
  readonly label: string | null;
  readonly form: 'unmerged' | 'merged';
  readonly genome: string;
  /** The cheap score that guided the search, and the one on held-out rows. */
  readonly searchScore: Score | null;
  readonly accuracy: number | null;
  readonly accuracyLow: number | null;
  readonly accuracyHigh: number | null;
  readonly rows: number | null;
  readonly decodeP50Ms: number | null;
  readonly decodeP90Ms: number | null;
  readonly prefillP50Ms: number | null;
  readonly coldLoadMs: number | null;
  readonly peakBytes: number | null;
  readonly shippedBytes: number | null;
}

export interface DemoReport {
  /** Distinct genomes measured and scored. */
  readonly trials: number;
  /** Whole run, from the first process to the last answer. */
  readonly seconds: number;
  readonly searchSeconds: number;
  readonly spaceSize: number;
  readonly front: readonly ReportRow[];
  readonly baselines: Readonly<Record<'max' | 'maxMerged' | 'middle' | 'min', ReportRow | null>>;
  readonly chosen: ReportRow & { readonly reason: string };
  readonly served: {
    readonly deviceId: string;
    readonly url: string | null;
    readonly releaseId: string;
    readonly packageBytes: number;
    readonly genome: string;
    readonly state: RolloutDevice['state'];
    readonly healthy: number | null;
    readonly checked: number | null;
  };
  readonly answersBefore: readonly Answer[];
  readonly answersAfter: readonly Answer[];
}

export function toReportRow(trial: Trial): ReportRow {
  const score = trial.finalScore ?? trial.score;
  const { measurement } = trial;
  return {
    trial: trial.number,
    label: trial.label,
    form: decodeGenome(trial.genome).form,
    genome: trial.genome,
    searchScore: trial.score,
    accuracy: score?.accuracy ?? null,
    accuracyLow: score?.accuracyLow ?? null,
    accuracyHigh: score?.accuracyHigh ?? null,
    rows: score?.rows ?? null,
    decodeP50Ms: measurement?.decode.p50Ms ?? null,
    decodeP90Ms: measurement?.decode.p90Ms ?? null,
    prefillP50Ms: measurement?.prefill.p50Ms ?? null,
    coldLoadMs: measurement?.coldLoadMs ?? null,
    peakBytes: measurement?.peakBytes ?? null,
    shippedBytes: measurement?.shippedBytes ?? null,
  };
}

/** The baselines by name; one that the space does not have is null. */
export function baselineRows(front: Front): DemoReport['baselines'] {
  const row = (label: string): ReportRow | null => {
    const trial = [...front.baselines, ...front.points].find((candidate) => candidate.label === label);
    return trial ? toReportRow(trial) : null;
  };
  return { max: row('max'), maxMerged: row('maxMerged'), middle: row('middle'), min: row('min') };
}

export function servedOf(
  device: { readonly id: string; readonly serveUrl: string | null },
  release: Release,
  rollout: RolloutDevice | undefined,
): DemoReport['served'] {
  return {
    deviceId: device.id,
    url: device.serveUrl,
    releaseId: release.id,
    packageBytes: release.packageBytes,
    genome: release.genome,
    state: rollout?.state ?? 'waiting',
    healthy: rollout?.healthy ?? null,
    checked: rollout?.checked ?? null,
  };
}
