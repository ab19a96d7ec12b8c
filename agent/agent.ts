import { rm } from 'node:fs/promises';
import { systemClock } from '@fleetlora/shared/clock';
import { CodedError, messageOf } from '@fleetlora/shared/errors';
import {
  createFileContentStore,
  createNodeRuntime,
  createPatience,
  sweepParts,
} from '@fleetlora/shared/node';
import type { Birth, ReleaseManifest } from '@fleetlora/shared/protocol';
import { createRandom } from '@fleetlora/shared/random';
import { ulid } from 'ulid';
import { type AgentStatus, releasesOf } from './agent-status.js';
import { createArtifacts, createContentKeeper } from './artifacts/index.js';
import { createTurns } from './child/index.js';
import { type AgentConfig, agentVersion } from './config.js';
import { lockFolder, openDataFolder, sweepScratch, writeJsonFile } from './folder/index.js';
import { gateLimitsOf, type Machine, openMachine } from './host/index.js';
import {
  createSessionKeeper,
  loadOrCreateDeviceKey,
  readDeviceFacts,
  readDeviceRecord,
} from './identity/index.js';
import {
  createInstaller,
  expandPackageFile,
  type InstalledRelease,
  listNeededContent,
  openInstallStore,
  readManifestText,
  verifyManifest,
} from './install/index.js';
import { createJobWork } from './job-work.js';
import { openLink, openOutbox } from './link/index.js';
import type { Log } from './log.js';
import { createJobRunner } from './measure/index.js';
import { findBaseSource, releaseSource } from './model-sources.js';
import {
  createSystemSensors,
  openPolicyWatch,
  readPolicyFile,
  type Sensors,
  writePolicyFile,
} from './policy/index.js';
import {
  createModelSlot,
  createServingActivity,
  type ModelProcess,
  startCompletionServer,
} from './serve/index.js';

export type { AgentStatus };

/** An agent that runs in this process. */
export interface RunningAgent {
  readonly deviceId: string;
  /** Where this machine's programs find the completion door. */
  readonly serveUrl: string;
  status(): AgentStatus;
  /** Tells the coordinator goodbye and ends all child processes. */
  stop(): Promise<void>;
}

/** What a test may put in the place of the real thing. */
export interface AgentSubstitutes {
  readonly sensors?: Sensors;
  readonly machine?: Machine;
  readonly checkPoliciesEveryMs?: number;
}

/**
 * Starts the agent of an enrolled data folder: takes the folder for itself, serves what is
 * installed, and keeps the line to the coordinator.
 * @throws STATE_CONFLICT when the folder is not enrolled, FOLDER_IN_USE, PORT_IN_USE
 */
export async function startAgent(
  config: AgentConfig,
  log: Log,
  substitutes: AgentSubstitutes = {},
): Promise<RunningAgent> {
  const folder = await openDataFolder(config.dataFolder);
  const record = await readDeviceRecord(folder);
  if (!record)
    throw new CodedError(
      'STATE_CONFLICT',
      `${folder.root} belongs to no coordinator yet; run: fleetlora-agent enroll URL CODE --data ${folder.root}`,
    );
  const lock = await lockFolder(folder.lock);
  const undo: (() => Promise<unknown>)[] = [lock.release];
  try {
    await sweepScratch(folder);
    await sweepParts(folder.content);
    const clock = systemClock;
    const random = createRandom((clock.nowMs() ^ process.pid) >>> 0);
    const newId = (prefix: string): string => `${prefix}_${ulid(clock.nowMs()).toLowerCase()}`;
    const facts = await readDeviceFacts(agentVersion, createNodeRuntime());
    const machine = substitutes.machine ?? (await openMachine({ clock, limits: gateLimitsOf(config) }));
    const key = await loadOrCreateDeviceKey(folder.keyFile);
    const session = createSessionKeeper({ ...record, key });
    const store = await createFileContentStore(folder.content);
    const patience = createPatience({
      onWait: ({ code, message }) => log.error({ code }, `${message}; waiting for space`),
      onGoOn: () => log.info({}, 'nothing waits for space any more'),
    });
    undo.push(async () => patience.close());
    const keeper = createContentKeeper({
      store,
      partialFolder: folder.partial,
      limitBytes: config.contentLimitBytes ?? null,
      needed: async () => [
        ...(await listNeededContent(store, installs.record)),
        ...runner.heldDigests(),
        ...artifacts.underWay(),
      ],
      clock,
      onDeleted: ({ digest, bytes }) => log.info({ digest, bytes }, 'content that nothing needs was deleted'),
    });
    const artifacts = createArtifacts({
      url: record.url,
      session,
      store,
      partialFolder: folder.partial,
      keeper,
      patience,
    });
    const outbox = await openOutbox({
      folder: folder.outbox,
      newId,
      patience,
      onWaiting: () => link.flush(),
      onUnreadable: (path, error) =>
        log.error({ path, reason: messageOf(error) }, 'an outbox file cannot be read'),
    });
    const installs = await openInstallStore(folder.installFile, patience);
    const turns = createTurns();
    const takeTurn = <T>(work: () => Promise<T>): Promise<T> => turns.take(() => keeper.during(work));
    const activity = createServingActivity();

    const sources = { store, artifacts, threads: config.serveThreads };
    const slot = createModelSlot({
      activity,
      findBase: () => findBaseSource(sources, installs.record.baseDigest),
      onRetireError: (error) =>
        log.error({ reason: messageOf(error) }, 'an old model process did not end cleanly'),
    });
    undo.push(slot.close);

    const server = await startCompletionServer({
      port: config.servePort,
      slot,
      status: () => ({ ...status() }),
      clock,
      random,
      newId,
      log,
    });
    undo.push(server.close);

    const runner = createJobRunner({
      ...createJobWork({
        clock,
        random,
        machine,
        activity,
        patience,
        artifacts,
        folder,
        contentFolder: store.folder,
        facts,
        policy: () => policy,
        link: () => link,
        takeTurn,
        async onBase(baseDigest) {
          if (installs.record.baseDigest !== baseDigest) await installs.change({ baseDigest });
        },
        log,
      }),
      deliver: (result) => link.send('result', result),
      onError: (jobId, error) => log.error({ jobId, reason: messageOf(error) }, 'a result could not be kept'),
    });

    const installer = createInstaller<ModelProcess>({
      store: installs,
      fetch: (digest, signal) => artifacts.ensure(digest, { signal }),
      readManifest: async (digest) =>
        verifyManifest(await readManifestText(store.pathOf(digest)), record.releaseKey),
      expand: (manifest, signal) =>
        patience.run(() => expandPackageFile(expansionOf(manifest, store.folder), signal), signal),
      load: (release) => releaseSource(sources, release).open(),
      serve: (release, loaded) => {
        slot.switchTo(releaseSource(sources, release), loaded);
        link.announce();
      },
      discard: async (digests) => {
        for (const digest of digests) await rm(store.pathOf(digest), { force: true });
      },
      report: async (report) => {
        log.info({ ...report }, `release ${report.releaseId}: ${report.state}`);
        await link.send('report', report);
      },
      exclusively: takeTurn,
      onError: (error) => log.error({ reason: messageOf(error) }, 'an installation ended without a report'),
    });

    const birth = (): Birth => ({
      facts,
      heldJobIds: [
        ...runner.heldJobIds(),
        ...outbox.entries().flatMap((entry) => (entry.kind === 'result' ? [entry.body.jobId] : [])),
      ].slice(-MAX_HELD),
      installedReleaseId: installs.record.installed?.releaseId ?? null,
      serveUrl: server.url,
      conditions: policy.conditions(),
    });

    const { installed } = installs.record;
    if (installed) serveInstalled(installed);

    // Nothing waits between this and the link, which it speaks through.
    const policy = await openPolicyWatch({
      order: await readPolicyFile(folder.policyFile),
      sensors: substitutes.sensors ?? createSystemSensors(clock),
      activity,
      clock,
      keep: (order) => writePolicyFile(folder.policyFile, order),
      tell: (conditions) => link.tell(conditions),
      log,
      checkEveryMs: substitutes.checkPoliciesEveryMs,
    });
    undo.push(policy.stop);
    const link = openLink({
      deviceId: record.deviceId,
      mqttUrl: record.mqttUrl,
      session,
      outbox,
      sessionFile: folder.sessionFile,
      birth,
      onConnection: () => runner.forgetFinished(),
      handlers: {
        job: (job) => runner.submit(job),
        cancel: ({ jobId }) => runner.cancel(jobId),
        desired: (desired) => installer.want(desired),
        policy: (order) => policy.obey(order),
      },
      newId,
      clock,
      random,
      log,
    });
    // Told first, then no longer patient: so a wait that ends now is no failed job or installation.
    const endWork = async (): Promise<void> => {
      const ending = [runner.stop(), installer.stop()];
      patience.close();
      await Promise.all(ending);
    };
    undo.push(link.stop, endWork);
    installer.resume();
    const tidyUp = (): void => {
      keeper
        .makeRoom(0)
        .catch((error: unknown) => log.error({ reason: messageOf(error) }, 'old content was not deleted'));
    };
    tidyUp();
    const tidying = setInterval(tidyUp, TIDY_EVERY_MS);
    undo.push(async () => clearInterval(tidying));

    await writeJsonFile(folder.endpointFile, { url: server.url, pid: process.pid });
    undo.push(() => rm(folder.endpointFile, { force: true }));

    /** Loads in the background; the first request waits for it, and tries again should it fail. */
    function serveInstalled(release: InstalledRelease): void {
      slot.switchTo(releaseSource(sources, release), null);
      slot.load().catch((error: unknown) => {
        log.error(
          { releaseId: release.releaseId, reason: messageOf(error) },
          'the installed release does not load',
        );
      });
    }

    function status(): AgentStatus {
      const { connected, lastError, droppedMessages } = link.state();
      return {
        deviceId: (record as { deviceId: string }).deviceId,
        version: agentVersion,
        connected,
        lastError,
        runningJobId: runner.runningJobId(),
        waitingMessages: outbox.entries().length,
        droppedMessages,
        waitingForSpace: patience.waitingWith()?.message ?? null,
        ...releasesOf(installs.record),
        conditions: policy.conditions(),
        policies: policy.order().policies,
      };
    }

    log.info({ deviceId: record.deviceId, serveUrl: server.url }, 'the agent runs');
    return { deviceId: record.deviceId, serveUrl: server.url, status, stop: () => undoAll(undo) };
  } catch (error) {
    await undoAll(undo);
    throw error;
  }
}

/** How often content that nobody used for long is looked for. */
const TIDY_EVERY_MS = 6 * 3_600_000;
/** Most ids a birth may hold. */
const MAX_HELD = 256;

/** Last come, first gone; one that fails does not keep the others. */
async function undoAll(undo: (() => Promise<unknown>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (let step = undo.pop(); step; step = undo.pop())
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
}

function expansionOf(manifest: ReleaseManifest, contentFolder: string) {
  const { packageDigest, genome, baseDigest } = manifest;
  return { contentFolder, packageDigest, genome, baseDigest };
}
