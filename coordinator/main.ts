import { isCoded, messageOf } from '@fleetlora/shared/errors';
import { databaseUrlOf, parseArguments, requireNode } from './config.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const stopping = new AbortController();

try {
  // Before anything that a too old Node could not even load.
  requireNode(process.version);
  const { readyJson, ...config } = parseArguments(process.argv.slice(2), process.env);
  const { startCoordinator } = await import('./app.js');
  const stopRequested = new Promise<null>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(null));
  });
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stopping.abort());
  const databaseUrl = databaseUrlOf(process.env);
  const { stop, failed, ...running } = await startCoordinator(
    { ...config, databaseUrl },
    {},
    stopping.signal,
  );
  if (readyJson) {
    process.stdout.write(`${JSON.stringify({ ...running, dataFolder: config.dataFolder })}\n`);
  } else {
    process.stdout.write(
      `coordinator ${running.url} (documentation ${running.url}/docs), ${running.mqttUrl}\n`,
    );
    if (running.adminToken !== null) process.stdout.write(`admin token ${running.adminToken} (shown once)\n`);
  }
  const failure = await Promise.race([stopRequested, failed]);
  await stop();
  if (failure !== null) throw failure;
} catch (error) {
  // A start that waited for its database when it was asked to stop has done what it was asked.
  const stopped = stopping.signal.aborted && isCoded(error, 'STORE_UNAVAILABLE');
  process.stderr.write(`${isCoded(error) ? `${error.code}: ` : ''}${messageOf(error)}\n`);
  if (!stopped) process.exitCode = isCoded(error, 'BAD_USAGE') ? EXIT_USAGE : EXIT_FAILED;
}
