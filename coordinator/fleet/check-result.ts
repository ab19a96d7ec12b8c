import {
  completePlan,
  genomesOf,
  isQualifyJob,
  type JobResult,
  type MeasureJob,
  type Measurement,
  type Qualification,
  type QualifyJob,
  qualificationFits,
  qualificationLimitPercent,
} from '@fleetlora/shared/protocol';
import { decodeGenome } from '@fleetlora/shared/space';
import type { JobBody, StoredDevice } from './ports.js';

/** Percentage points by which a told spread may differ from that of its runs: both are rounded. */
const SPREAD_TOLERANCE = 0.1;

type Facts = Pick<StoredDevice, 'facts'>['facts'];

/**
 * Why a result does not answer its job, naming what was found and wanted; null when it does. A
 * figure taken by another plan would be ranked among those it cannot be compared with.
 */
export function findMismatch(body: JobBody, result: JobResult, facts: Facts): string | null {
  if (result.outcome === 'measured')
    return isQualifyJob(body)
      ? 'the device sent a measurement, wanted a qualification'
      : findWrongMeasurement(body, [result.measurement, ...(result.others ?? [])]);
  if (result.outcome === 'qualified')
    return isQualifyJob(body)
      ? findWrongQualification(body, result.qualification, facts)
      : 'the device sent a qualification, wanted a measurement';
  return null;
}

function findWrongMeasurement(
  job: Omit<MeasureJob, 'jobId'>,
  measurements: readonly Measurement[],
): string | null {
  const genomes = genomesOf(job);
  if (measurements.length !== genomes.length)
    return `the device measured ${measurements.length} candidates, wanted ${genomes.length}`;
  const wanted = completePlan(job.plan);
  for (const [index, measurement] of measurements.entries()) {
    const name = `candidate ${index + 1} of ${genomes.length}`;
    const found = completePlan(measurement.plan);
    const field = (Object.keys(wanted) as (keyof typeof wanted)[]).find((key) => found[key] !== wanted[key]);
    if (field !== undefined)
      return `${name} was measured with ${field} ${found[field]}, wanted ${wanted[field]}`;
    if (measurement.provider !== wanted.provider)
      return `${name} was measured with provider ${measurement.provider}, wanted ${wanted.provider}`;
    const { form } = decodeGenome(genomes[index] ?? '');
    if ((measurement.form ?? form) !== form)
      return `${name} was measured ${measurement.form}, wanted it ${form}`;
    const { size = 1, position = 0 } = measurement.batch ?? {};
    if (size !== genomes.length || position !== index)
      return `${name} was measured as ${position + 1} of ${size} in its batch`;
  }
  return null;
}

function findWrongQualification(
  { runs }: Omit<QualifyJob, 'jobId'>,
  qualification: Qualification,
  facts: Facts,
): string | null {
  if (qualification.runs.length !== runs)
    return `the device qualified by ${qualification.runs.length} runs, wanted ${runs}`;
  if (qualification.limitPercent !== qualificationLimitPercent)
    return `the device qualified within ${qualification.limitPercent} %, wanted ${qualificationLimitPercent} %`;
  if (!qualificationFits(qualification, facts)) {
    const name = ({ agentVersion, runtime, provider, cpuModel }: Omit<Facts, 'os'>): string =>
      `agent ${agentVersion}, ${runtime} (${provider}), ${cpuModel}`;
    return `the device qualified as ${name({ ...facts, ...qualification })}, wanted ${name(facts)}`;
  }
  const { accepted, spreadPercent, limitPercent } = qualification;
  if (accepted && spreadPercent > limitPercent)
    return `the device calls a spread of ${spreadPercent} % accepted, wanted at most ${limitPercent} %`;
  // In percent of the median, which lies between the smallest and the largest.
  const decode = qualification.runs.map(({ decodeMs }) => decodeMs);
  const [least, most] = [Math.min(...decode), Math.max(...decode)];
  const low = (100 * (most - least)) / most - SPREAD_TOLERANCE;
  const high = (100 * (most - least)) / least + SPREAD_TOLERANCE;
  if (!(spreadPercent >= low && spreadPercent <= high))
    return `the device tells a spread of ${spreadPercent} %, its runs have ${low.toFixed(1)} to ${high.toFixed(1)} %`;
  return null;
}
