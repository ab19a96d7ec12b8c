import type {
  Adapter,
  BaseFiles,
  BaseMerged,
  BasePruning,
  Conditions,
  Dataset,
  DatasetReport,
  DatasetTask,
  DeviceFacts,
  DevicePolicy,
  JobResult,
  PolicyScope,
  Quarantine,
  Release,
  RolloutDevice,
  Search,
  Training,
  TrainingStart,
  Trial,
} from '@fleetlora/shared/protocol';
import type { Precision, SearchSpaceFile } from '@fleetlora/shared/space';
import type { JobBody, JobKind, JobState, StoredQualification } from '../../fleet/ports.js';
import type { TableKit } from './kit.js';

/**
 * Every table, described once. Called with the SQLite kit and with the PostgreSQL kit; a test holds
 * the two schemas equal. Columns are not null unless the type of their row says otherwise.
 */
export function defineTables(kit: TableKit) {
  const { table, text, int, real, json, index, uniqueIndex } = kit;

  /** Facts about the coordinator itself, such as the hash of the admin token. */
  const settings = table('settings', {
    key: text('key').primaryKey(),
    value: text('value').notNull(),
  });

  // -- identity and fleet ------------------------------------------------------------------
  const codes = table('codes', {
    /** SHA-256 of the normalised code: the code itself is never kept. */
    hash: text('hash').primaryKey(),
    deviceClass: text('device_class'),
    createdAtMs: int('created_at_ms').notNull(),
    expiresAtMs: int('expires_at_ms').notNull(),
    /** The device that used the code; null while it can be used. */
    deviceId: text('device_id'),
  });

  const devices = table(
    'devices',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      deviceClass: text('device_class').notNull(),
      /** P-256 SPKI DER, base64. */
      publicKey: text('public_key').notNull(),
      facts: json<DeviceFacts>('facts').notNull(),
      enrolledAtMs: int('enrolled_at_ms').notNull(),
      online: int('online').notNull(),
      /** Session of the last birth; a death counts only for this one. */
      session: int('session'),
      lastSeenAtMs: int('last_seen_at_ms'),
      installedReleaseId: text('installed_release_id'),
      serveUrl: text('serve_url'),
      labels: json<string[]>('labels'),
      conditions: json<Conditions>('conditions'),
      qualification: json<StoredQualification>('qualification'),
      quarantine: json<Quarantine>('quarantine'),
    },
    (row) => [
      uniqueIndex('devices_name').on(row.name),
      uniqueIndex('devices_public_key').on(row.publicKey),
      index('devices_class').on(row.deviceClass),
    ],
  );

  const policies = table('policies', {
    /** Kind and name, joined by a slash. */
    key: text('key').primaryKey(),
    kind: text('kind').$type<PolicyScope['kind']>().notNull(),
    name: text('name').notNull(),
    policy: json<DevicePolicy>('policy').notNull(),
    updatedAtMs: int('updated_at_ms').notNull(),
  });

  const jobs = table(
    'jobs',
    {
      id: text('id').primaryKey(),
      /** "" for a qualification, which belongs to no search. */
      searchId: text('search_id').notNull(),
      /** Null in rows of before 0.3, which are all of a trial. */
      kind: text('kind').$type<JobKind>(),
      /** Of its first candidate; "" for a job of no trial. */
      trialId: text('trial_id').notNull(),
      otherTrialIds: json<string[]>('other_trial_ids'),
      deviceId: text('device_id').notNull(),
      state: text('state').$type<JobState>().notNull(),
      body: json<JobBody>('body').notNull(),
      /** How often the job was handed to the device. */
      sends: int('sends').notNull(),
      createdAtMs: int('created_at_ms').notNull(),
      sentAtMs: int('sent_at_ms'),
      endedAtMs: int('ended_at_ms'),
      result: json<JobResult>('result'),
      reason: text('reason'),
    },
    (row) => [
      index('jobs_device_state').on(row.deviceId, row.state),
      index('jobs_state').on(row.state),
      index('jobs_search').on(row.searchId),
    ],
  );

  // -- models ------------------------------------------------------------------------------
  const bases = table(
    'bases',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      digest: text('digest').notNull(),
      bytes: int('bytes').notNull(),
      parameters: int('parameters').notNull(),
      layers: int('layers').notNull(),
      hidden: int('hidden').notNull(),
      ffnWidth: int('ffn_width').notNull(),
      /** Null in rows of before 0.4, as `files` is. */
      kvHeads: int('kv_heads'),
      vocab: int('vocab').notNull(),
      tokenizerDigest: text('tokenizer_digest').notNull(),
      files: json<BaseFiles>('files'),
      /** Null where no weight was pruned, or no adapter merged. */
      pruning: json<BasePruning>('pruning'),
      merged: json<BaseMerged>('merged'),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('bases_name').on(row.name)],
  );

  const adapters = table(
    'adapters',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      baseId: text('base_id')
        .notNull()
        .references(() => bases.id),
      digest: text('digest').notNull(),
      bytes: int('bytes').notNull(),
      rankMax: int('rank_max').notNull(),
      alpha: real('alpha').notNull(),
      /** Null where the adapter counts everywhere. */
      masked: text('masked').$type<Precision>(),
      space: json<SearchSpaceFile>('space').notNull(),
      files: json<Adapter['files']>('files').notNull(),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('adapters_name').on(row.name)],
  );

  const datasets = table(
    'datasets',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      digest: text('digest').notNull(),
      rows: int('rows').notNull(),
      /** Null in rows of the first version: one split `all`, task `completion`, no report. */
      splits: json<Dataset['splits']>('splits'),
      task: json<DatasetTask>('task'),
      report: json<DatasetReport>('report'),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('datasets_name').on(row.name)],
  );

  const trainings = table(
    'trainings',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      baseId: text('base_id')
        .notNull()
        .references(() => bases.id),
      datasetId: text('dataset_id')
        .notNull()
        .references(() => datasets.id),
      state: text('state').$type<Training['state']>().notNull(),
      space: json<TrainingStart['space']>('space').notNull(),
      options: json<Training['options']>('options').notNull(),
      step: int('step').notNull(),
      loss: real('loss'),
      tokensPerSecond: real('tokens_per_second'),
      etaSeconds: real('eta_seconds'),
      adapterId: text('adapter_id'),
      error: text('error'),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('trainings_name').on(row.name), index('trainings_state').on(row.state)],
  );

  // -- search ------------------------------------------------------------------------------
  const searches = table(
    'searches',
    {
      id: text('id').primaryKey(),
      name: text('name').notNull(),
      state: text('state').$type<Search['state']>().notNull(),
      spec: json<Search['spec']>('spec').notNull(),
      adapterId: text('adapter_id')
        .notNull()
        .references(() => adapters.id),
      datasetId: text('dataset_id')
        .notNull()
        .references(() => datasets.id),
      space: json<SearchSpaceFile>('space').notNull(),
      spaceSize: real('space_size').notNull(),
      reason: text('reason'),
      chosenTrialId: text('chosen_trial_id'),
      chosenReason: text('chosen_reason'),
      createdAtMs: int('created_at_ms').notNull(),
      endedAtMs: int('ended_at_ms'),
    },
    (row) => [uniqueIndex('searches_name').on(row.name), index('searches_state').on(row.state)],
  );

  const trials = table(
    'trials',
    {
      id: text('id').primaryKey(),
      searchId: text('search_id')
        .notNull()
        .references(() => searches.id),
      number: int('number').notNull(),
      label: text('label'),
      genome: text('genome').notNull(),
      genomeDigest: text('genome_digest').notNull(),
      state: text('state').$type<Trial['state']>().notNull(),
      deviceId: text('device_id'),
      score: json<Trial['score']>('score'),
      finalScore: json<Trial['finalScore']>('final_score'),
      measurement: json<Trial['measurement']>('measurement'),
      correction: json<Trial['correction']>('correction'),
      reason: text('reason'),
      askedSequence: int('asked_sequence').notNull(),
      toldSequence: int('told_sequence'),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('trials_search_number').on(row.searchId, row.number)],
  );

  // -- releases and rollouts ---------------------------------------------------------------
  const releases = table(
    'releases',
    {
      id: text('id').primaryKey(),
      number: int('number').notNull(),
      name: text('name').notNull(),
      searchId: text('search_id')
        .notNull()
        .references(() => searches.id),
      trialId: text('trial_id')
        .notNull()
        .references(() => trials.id),
      genome: text('genome').notNull(),
      packageDigest: text('package_digest').notNull(),
      packageBytes: int('package_bytes').notNull(),
      manifestDigest: text('manifest_digest').notNull(),
      signed: json<Release['signed']>('signed').notNull(),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [uniqueIndex('releases_name').on(row.name), uniqueIndex('releases_number').on(row.number)],
  );

  const rollouts = table(
    'rollouts',
    {
      id: text('id').primaryKey(),
      releaseId: text('release_id')
        .notNull()
        .references(() => releases.id),
      state: text('state').$type<'running' | 'succeeded' | 'failed'>().notNull(),
      manifestDigest: text('manifest_digest').notNull(),
      createdAtMs: int('created_at_ms').notNull(),
    },
    (row) => [index('rollouts_state').on(row.state)],
  );

  const rolloutDevices = table(
    'rollout_devices',
    {
      /** Rollout and device, joined by a slash: one row for each pair. */
      key: text('key').primaryKey(),
      rolloutId: text('rollout_id')
        .notNull()
        .references(() => rollouts.id),
      deviceId: text('device_id').notNull(),
      name: text('name').notNull(),
      state: text('state').$type<RolloutDevice['state']>().notNull(),
      reason: text('reason'),
      healthy: int('healthy'),
      checked: int('checked'),
      updatedAtMs: int('updated_at_ms').notNull(),
      sentAtMs: int('sent_at_ms'),
    },
    (row) => [index('rollout_devices_rollout').on(row.rolloutId)],
  );

  return {
    settings,
    codes,
    devices,
    policies,
    jobs,
    bases,
    adapters,
    datasets,
    trainings,
    searches,
    trials,
    releases,
    rollouts,
    rolloutDevices,
  };
}

export type Tables = ReturnType<typeof defineTables>;
