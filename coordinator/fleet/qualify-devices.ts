import { CodedError } from '@fleetlora/shared/errors';
import { qualificationFits, qualificationRuns } from '@fleetlora/shared/protocol';
import { isCurrent, refusalByAge } from './agent-age.js';
import type { FleetContext } from './context.js';
import { dispatch } from './dispatch.js';
import { mayMeasure } from './may-measure.js';
import type { FleetRepositories, JobBody, StoredDevice, StoredJob } from './ports.js';
import { refusalOf } from './postpone-jobs.js';
import type { Until } from './qualify-wants.js';
import { queueJob } from './queue-job.js';

/** When devices are asked whether they are steady: at a birth that needs it, or on request alone. */
export const qualifyTimes = ['atBirth', 'onRequest'] as const;
export type QualifyTime = (typeof qualifyTimes)[number];

/** Between two runs: what an idle machine needs to clock down, so that each run begins alike. */
const PAUSE_MS = 5000;
/** Five runs of the standard candidate take a minute on a slow board. */
const TIMEOUT_MS = 15 * 60_000;
/** Ended qualifications that are kept of a device: enough to see what became of it. */
const KEPT = 8;

const body: JobBody = { kind: 'qualify', runs: qualificationRuns, pauseMs: PAUSE_MS, timeoutMs: TIMEOUT_MS };

/** Until when a device has to be asked, given what is known of it; null when it need not be. Pure. */
export function qualifyingNeed(
  { facts, qualification, quarantine }: Pick<StoredDevice, 'facts' | 'qualification' | 'quarantine'>,
  time: QualifyTime,
): Until | null {
  if (!isCurrent(facts)) return null;
  if (quarantine !== null) return 'accepted';
  const fits = qualification !== null && qualificationFits(qualification, facts);
  return time === 'atBirth' && !fits ? 'answered' : null;
}

/** Notes that the device is to be asked, when it has to be; `askDue` does it. */
export function wantQualification(
  { wants, qualify }: Pick<FleetContext, 'wants' | 'qualify'>,
  device: StoredDevice,
): void {
  const until = qualifyingNeed(device, qualify);
  if (until !== null) wants.add(device.id, until);
}

/**
 * Queues the question for every device whose time has come. One that is away or may not measure
 * rests until its next birth or word; one that put off its last job is left alone for a while.
 */
export async function askDue(context: FleetContext): Promise<void> {
  const { store, wants, postponements, qualify } = context;
  let asked = false;
  for (const deviceId of wants.due()) {
    const verdict = await store.transact(async (repositories) => {
      const device = await repositories.devices.find(deviceId);
      if (device === null || qualifyingNeed(device, qualify) === null) return 'needless';
      // Its birth, its next word and the end of that job each bring it back here.
      if (!mayMeasure(device) || (await findUnfinished(repositories, deviceId)) !== null) return 'resting';
      if (postponements.of(deviceId) !== null) return 'paused';
      await insertQualification(context, repositories, deviceId);
      return 'asked';
    });
    if (verdict === 'needless') wants.settled(deviceId);
    else if (verdict !== 'paused') wants.rest(deviceId);
    asked ||= verdict === 'asked';
  }
  if (asked) await dispatch(context);
}

/**
 * Asks a device now, whatever it said before. One that is being asked already is not asked twice.
 * @returns its id
 * @throws NOT_FOUND, DEVICE_OFFLINE, STATE_CONFLICT when it may not measure or is too old
 */
export async function requestQualification(context: FleetContext, idOrName: string): Promise<string> {
  const { store, postponements } = context;
  const id = await store.transact(async (repositories) => {
    const device = await repositories.devices.findByIdOrName(idOrName);
    if (device === null) throw new CodedError('NOT_FOUND', `no device with id or name "${idOrName}"`);
    const { id, name, facts, online } = device;
    if (!online) throw new CodedError('DEVICE_OFFLINE', `device "${name}" is offline`);
    const refusal = refusalByAge(facts, body) ?? refusalOf(device) ?? postponements.of(id)?.reason;
    if (refusal !== undefined)
      throw new CodedError('STATE_CONFLICT', `device "${name}" cannot qualify at present: ${refusal}`);
    if ((await findUnfinished(repositories, id)) === null)
      await insertQualification(context, repositories, id);
    return id;
  });
  await dispatch(context);
  return id;
}

/** Hears of every end of a qualification, after its commit, and decides when the device is asked again. */
export function takeQualificationEnd({ wants }: Pick<FleetContext, 'wants'>, job: StoredJob): void {
  if (job.kind !== 'qualification') return;
  const { deviceId, state, result, reason } = job;
  const found = state === 'SUCCEEDED' && result?.outcome === 'qualified' ? result.qualification : null;
  if (found?.accepted) wants.settled(deviceId);
  else if (state === 'POSTPONED') wants.postponed(deviceId, reason ?? 'postponed');
  else if (found === null) wants.failed(deviceId, reason ?? 'it did not answer');
  else
    wants.failed(
      deviceId,
      `its runs differ by ${found.spreadPercent} %, at most ${found.limitPercent} % is accepted`,
    );
}

async function findUnfinished({ jobs }: FleetRepositories, deviceId: string): Promise<StoredJob | null> {
  return (await jobs.listUnfinished(deviceId)).find(({ kind }) => kind === 'qualification') ?? null;
}

async function insertQualification(
  context: FleetContext,
  repositories: FleetRepositories,
  deviceId: string,
): Promise<void> {
  await repositories.jobs.deleteQualifications(deviceId, KEPT - 1);
  const id = context.newId('job');
  await queueJob(context, repositories, {
    id,
    kind: 'qualification',
    searchId: '',
    trialIds: [],
    deviceId,
    body,
  });
}
