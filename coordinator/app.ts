import { mkdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { createFileContentStore, makeFolder, sweepParts, writeFileDurably } from '@fleetlora/shared/node';
import type { DestinationStream, Logger } from 'pino';
import { ulid } from 'ulid';
import { type ApiDomains, createApiServer } from './api/index.js';
import { createBackups } from './backup/index.js';
import { type Broker, createBroker } from './broker/index.js';
import { createCampaign } from './campaign/index.js';
import { type CoordinatorConfig, requireLoopback } from './config.js';
import { checkScorer, createEvaluation } from './evaluation/index.js';
import { createFleet } from './fleet/index.js';
import { createHostLease } from './host/index.js';
import { openIdentity } from './identity/index.js';
import { createLogger } from './logger.js';
import { createCatalog, createReleases } from './models/index.js';
import { createContentGate, createRetention, holdDuring } from './retention/index.js';
import { createRollouts } from './rollout/index.js';
import { lockFolder, openFolderStore, type Store } from './store/index.js';
import { createTrainer } from './training/index.js';
import { createTrialLookup } from './trial-lookup.js';

export { type MovedStore, moveStore, type Restored, restoreBackup } from './backup/index.js';
export {
  type CoordinatorConfig,
  databaseUrlOf,
  defaultConfig,
  parseArguments,
  qualifyTimeOf,
  requireLoopback,
  requireNode,
} from './config.js';

export interface RunningCoordinator {
  /** Address of the API, for example http://127.0.0.1:7410. */
  readonly url: string;
  /** Address of MQTT over TCP, for example mqtt://127.0.0.1:7411. */
  readonly mqttUrl: string;
  /** The admin token when this start made it, else null. */
  readonly adminToken: string | null;
  /** Resolves, with the reason, when it cannot go on and has to be stopped; else never. */
  readonly failed: Promise<Error>;
  /** Ends everything in order; what is unfinished goes on at the next start. */
  stop(): Promise<void>;
}

/** What a test may put in the place of the real thing. */
export interface Substitutes {
  readonly clock?: Clock;
  readonly logStream?: DestinationStream;
}

const DEADLINE_CHECK_MS = 1000;
/** How often it is looked whether garbage is to be collected; that is done once a day. */
const RETENTION_CHECK_MS = 10 * 60_000;

/**
 * Starts a coordinator over a data folder: opens what it remembers, wires the domains together,
 * listens, and goes on with what was unfinished.
 * @param signal once aborted the database is not waited for: a start that waits for it ends
 * @throws NOT_LOOPBACK, FOLDER_IN_USE, PORT_IN_USE, STATE_CONFLICT (another store than the folder's),
 *   STORE_UNAVAILABLE, DISK_FULL; then nothing is left running
 */
export async function startCoordinator(
  config: CoordinatorConfig,
  { clock = systemClock, logStream }: Substitutes = {},
  signal?: AbortSignal,
): Promise<RunningCoordinator> {
  requireLoopback(config.host);
  const log = createLogger(config.logLevel, logStream);
  /** How to undo what was opened, in the order of opening. */
  const closers: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        log.error({ err: error }, 'something could not be closed');
      }
    }
  };
  try {
    return { ...(await open(config, clock, log, closers, signal)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function open(
  config: CoordinatorConfig,
  clock: Clock,
  log: Logger,
  closers: (() => unknown)[],
  signal: AbortSignal | undefined,
): Promise<Omit<RunningCoordinator, 'stop'>> {
  const folder = config.dataFolder;
  const newId = (prefix: string): string => `${prefix}_${ulid(clock.nowMs()).toLowerCase()}`;
  const incomingFolder = join(folder, 'incoming');
  const endpointPath = join(folder, 'endpoint.json');

  // -- what is remembered ------------------------------------------------------------------
  await makeFolder(folder);
  const lock = await lockFolder(folder);
  closers.push(() => lock.release());
  await rm(incomingFolder, { recursive: true, force: true });
  await mkdir(incomingFolder, { mode: 0o700 });
  let fail: (reason: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const store = await openFolderStore(folder, config.databaseUrl ?? null, {
    clock,
    log,
    signal,
    onLost(reason) {
      log.fatal({ err: reason }, 'the database is lost, the coordinator cannot go on');
      fail(reason);
    },
  });
  closers.push(() => store.close());
  const files = await createFileContentStore(join(folder, 'content'));
  await sweepParts(files.folder);
  const identity = await openIdentity({
    store: store.identity,
    clock,
    newId,
    releaseKeyPath: join(folder, 'secrets', 'release-key.pem'),
    handOverToken: (token) => writeFileDurably(join(folder, 'admin-token'), `${token}\n`, 0o600),
  });

  // -- the domains -------------------------------------------------------------------------
  const stopping = new AbortController();
  const host = createHostLease({ bootId: await readBootId(), stopping: stopping.signal });
  // Broker and fleet speak to each other: the fleet is handed a downlink that is only used once
  // both stand, since no device is connected before.
  const fleet = createFleet({
    store: store.fleet,
    downlink: { send: (deviceId, kind, body) => broker.send(deviceId, kind, body) },
    clock,
    newId,
    log,
    host: host.measuring,
    qualify: config.qualify,
  });
  const broker: Broker = await createBroker({
    clock,
    newId,
    log,
    deviceOf: identity.sessions.deviceOf,
    receive: fleet.receive,
  });
  closers.push(() => broker.close());
  await fleet.start();
  const gate = createContentGate();
  const catalog = holdDuring(
    gate,
    createCatalog({
      store: files,
      incomingFolder,
      repository: store.catalog,
      checkScorer: (task, rows, where) => checkScorer(task, { contentFolder: files.folder, rows, where }),
      host,
      stopping: stopping.signal,
      clock,
      newId,
    }),
    {
      importBase: 'the import of a base',
      importAdapter: 'the import of an adapter',
      exportAdapter: 'the export of an adapter',
      pruneBase: 'the pruning of a base',
      mergeAdapter: 'the merging of an adapter',
      registerAdapter: 'the end of a training',
      importDataset: 'the import of a data set',
    },
  );
  closers.push(() => catalog.close());
  const evaluation = createEvaluation({ contentFolder: files.folder, threads: availableParallelism() });
  closers.push(() => evaluation.close());
  const campaign = createCampaign({
    repository: store.campaign,
    fleet: fleet.forCampaign,
    evaluation,
    models: catalog,
    clock,
    newId,
    host,
    log,
  });
  closers.push(() => campaign.close());
  const releases = holdDuring(
    gate,
    createReleases({
      catalog,
      store: files,
      repository: store.releases,
      trials: createTrialLookup(campaign),
      signer: identity.releaseKey,
      host,
      stopping: stopping.signal,
      clock,
      newId,
    }),
    { create: 'the making of a release' },
  );
  closers.push(() => releases.close());
  const rollouts = createRollouts({
    repository: store.rollouts,
    fleet: fleet.forRollout,
    releases: { findRelease: releases.find },
    clock,
    newId,
    log,
  });
  closers.push(() => rollouts.close());
  const trainer = createTrainer({
    catalog,
    repository: store.trainings,
    contentFolder: files.folder,
    trainingFolder: join(folder, 'training'),
    host,
    clock,
    newId,
    onError: (trainingId, error) => log.error({ err: error, trainingId }, 'state of a training not stored'),
    onWait: (trainingId, reason) => {
      if (reason === null) log.info({ trainingId }, 'the training goes on');
      else log.error({ trainingId, code: 'DISK_FULL' }, `${reason}; the training waits for space`);
    },
  });
  closers.push(() => trainer.close());
  const retention = createRetention({ repository: store.retention, gate, dataFolder: folder, clock, log });

  // -- the listeners -----------------------------------------------------------------------
  const version = await readVersion();
  const startedAtMs = clock.nowMs();
  let url = '';
  let mqttUrl = '';
  const countOnline = createOnlineCount(store);
  const backups = createBackups({
    store,
    dataFolder: folder,
    contentFolder: files.folder,
    incomingFolder,
    version,
    clock,
    hold: gate.hold,
  });
  const domains: ApiDomains = {
    identity,
    fleet,
    files: holdDuring(gate, files, { putFile: 'an upload' }),
    catalog,
    trainings: trainer,
    searches: campaign,
    releases,
    rollouts,
    retention,
    incomingFolder,
    urls: () => ({ url, mqttUrl }),
    store,
    backups,
    async health() {
      const devicesOnline = await countOnline();
      return {
        version,
        startedAtMs,
        devicesOnline,
        droppedMessages: broker.droppedMessages,
        store: store.state().available ? 'available' : 'unavailable',
      };
    },
  };
  const api = await createApiServer({ domains, log, version });
  closers.push(() => api.close());
  broker.attach(api.server);
  // Closed first of all, and harmlessly again above: the web server waits for its WebSockets to end.
  closers.push(() => broker.close());
  const mqttPort = await broker.listen(config.host, config.mqttPort);
  const urlHost = config.host.includes(':') ? `[${config.host}]` : config.host;
  mqttUrl = `mqtt://${urlHost}:${mqttPort}`;
  try {
    await api.listen({ host: config.host, port: config.webPort });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    throw new CodedError('PORT_IN_USE', `web port ${config.webPort} of ${config.host} is in use`, { cause });
  }
  const address = api.server.address();
  url = `http://${urlHost}:${typeof address === 'object' && address !== null ? address.port : config.webPort}`;
  await writeFileDurably(endpointPath, `${JSON.stringify({ url, mqttUrl, pid: process.pid })}\n`, 0o600);
  closers.push(() => rm(endpointPath, { force: true }));

  // -- what was unfinished -----------------------------------------------------------------
  await campaign.resume();
  await rollouts.resume();
  await trainer.resume();
  const deadlines = setInterval(() => {
    // They would only pile up, and run all at once when the store is back.
    if (!store.state().available) return fleet.restartDeadlines();
    fleet.checkDeadlines().catch((error: unknown) => log.error({ err: error }, 'job deadlines not checked'));
  }, DEADLINE_CHECK_MS);
  closers.push(() => clearInterval(deadlines));
  const collect = (): void => {
    retention
      .runIfDue()
      .catch((error: unknown) => log.error({ err: error }, 'garbage could not be collected'));
  };
  collect();
  const collecting = setInterval(collect, RETENTION_CHECK_MS);
  closers.push(() => clearInterval(collecting));
  log.info({ url, mqttUrl, dataFolder: folder, version }, 'coordinator ready');
  // Closed first: what is still under way must not wait for a database that is away.
  closers.push(() => store.stopWaiting());
  closers.push(() => stopping.abort(new CodedError('STATE_CONFLICT', 'the coordinator is stopping')));
  return { url, mqttUrl, adminToken: identity.admin.made, failed };
}

/** Counts the devices that are online; while the store is unavailable, what was counted last. */
function createOnlineCount(store: Store): () => Promise<number> {
  let last = 0;
  return async () => {
    if (!store.state().available) return last;
    const counting = store.fleet.devices.list().then((devices) => {
      last = devices.filter(({ online }) => online).length;
    });
    await new Promise<void>((resolve, reject) => {
      const stop = store.onState(({ available }) => {
        if (!available) resolve();
      });
      counting.then(resolve, reject).finally(stop);
    });
    return last;
  };
}

/** The same for everything that runs on this booted machine; "" where the system does not tell. */
async function readBootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
}

async function readVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
