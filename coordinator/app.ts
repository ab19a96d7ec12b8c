import { mkdir, readFile, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '@fleetlora/shared/clock';
import { CodedError } from '@fleetlora/shared/errors';
import { createFileContentStore, writeFileDurably } from '@fleetlora/shared/node';
import type { DestinationStream, Logger } from 'pino';
import { ulid } from 'ulid';
import { type ApiDomains, createApiServer } from './api/index.js';
import { type Broker, createBroker } from './broker/index.js';
import { createCampaign } from './campaign/index.js';
import { type CoordinatorConfig, requireLoopback } from './config.js';
import { createEvaluation } from './evaluation/index.js';
import { createFleet } from './fleet/index.js';
import { openIdentity } from './identity/index.js';
import { createLogger } from './logger.js';
import { createCatalog, createReleases } from './models/index.js';
import { createRollouts } from './rollout/index.js';
import { lockFolder, openStore } from './store/index.js';
import { createTrainer } from './training/index.js';
import { createTrialLookup } from './trial-lookup.js';

export {
  type CoordinatorConfig,
  defaultConfig,
  parseArguments,
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
  /** Ends everything in order; what is unfinished goes on at the next start. */
  stop(): Promise<void>;
}

/** What a test may put in the place of the real thing. */
export interface Substitutes {
  readonly clock?: Clock;
  readonly logStream?: DestinationStream;
}

const DEADLINE_CHECK_MS = 1000;

/**
 * Starts a coordinator over a data folder: opens what it remembers, wires the domains together,
 * listens, and goes on with what was unfinished.
 * @throws NOT_LOOPBACK, FOLDER_IN_USE, PORT_IN_USE; then nothing is left running
 */
export async function startCoordinator(
  config: CoordinatorConfig,
  { clock = systemClock, logStream }: Substitutes = {},
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
    return { ...(await open(config, clock, log, closers)), stop };
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
): Promise<Omit<RunningCoordinator, 'stop'>> {
  const folder = config.dataFolder;
  const newId = (prefix: string): string => `${prefix}_${ulid(clock.nowMs()).toLowerCase()}`;
  const incomingFolder = join(folder, 'incoming');
  const endpointPath = join(folder, 'endpoint.json');

  // -- what is remembered ------------------------------------------------------------------
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(folder);
  closers.push(() => lock.release());
  await rm(incomingFolder, { recursive: true, force: true });
  await mkdir(incomingFolder, { mode: 0o700 });
  const store = await openStore(join(folder, 'coordinator.db'));
  closers.push(() => store.close());
  const files = await createFileContentStore(join(folder, 'content'));
  const identity = await openIdentity({
    store: store.identity,
    clock,
    newId,
    releaseKeyPath: join(folder, 'secrets', 'release-key.pem'),
    handOverToken: (token) => writeFileDurably(join(folder, 'admin-token'), `${token}\n`, 0o600),
  });

  // -- the domains -------------------------------------------------------------------------
  // Broker and fleet speak to each other: the fleet is handed a downlink that is only used once
  // both stand, since no device is connected before.
  const fleet = createFleet({
    store: store.fleet,
    downlink: { send: (deviceId, kind, body) => broker.send(deviceId, kind, body) },
    clock,
    newId,
    log,
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
  const catalog = createCatalog({ store: files, repository: store.catalog, clock, newId });
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
    hostBootId: await readBootId(),
    log,
  });
  closers.push(() => campaign.close());
  const releases = createReleases({
    catalog,
    store: files,
    repository: store.releases,
    trials: createTrialLookup(campaign),
    signer: identity.releaseKey,
    clock,
    newId,
  });
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
    clock,
    newId,
    onError: (trainingId, error) => log.error({ err: error, trainingId }, 'state of a training not stored'),
  });
  closers.push(() => trainer.close());

  // -- the listeners -----------------------------------------------------------------------
  const version = await readVersion();
  const startedAtMs = clock.nowMs();
  let url = '';
  let mqttUrl = '';
  const domains: ApiDomains = {
    identity,
    fleet,
    files,
    catalog,
    trainings: trainer,
    searches: campaign,
    releases,
    rollouts,
    incomingFolder,
    urls: () => ({ url, mqttUrl }),
    async health() {
      const devicesOnline = (await fleet.listDevices()).filter(({ online }) => online).length;
      return {
        version,
        startedAtMs,
        devicesOnline,
        droppedMessages: broker.droppedMessages,
        store: 'available',
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
    fleet.checkDeadlines().catch((error: unknown) => log.error({ err: error }, 'job deadlines not checked'));
  }, DEADLINE_CHECK_MS);
  closers.push(() => clearInterval(deadlines));
  log.info({ url, mqttUrl, dataFolder: folder, version }, 'coordinator ready');
  return { url, mqttUrl, adminToken: identity.admin.made };
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
