import { importTinyModels } from '@fleetlora/bench/lib/kill-models';
import { killInRounds, victims } from '@fleetlora/bench/lib/kill-rounds';
import { startKillableFleet } from '@fleetlora/bench/lib/killable-fleet';
import { startPostgres } from '@fleetlora/bench/lib/postgres-server';
import { viewPostgres, viewSqlite } from '@fleetlora/bench/lib/store-view';
import { createRandom } from '@fleetlora/shared/random';
import t, { type Test } from 'tap';
import { tempFolder } from '../lib/temp-folder.js';

// A search of real processes that are killed and started again: a minute where the machine is busy.
t.setTimeout(540_000);
const skip = process.platform === 'linux' ? false : 'looks for processes in /proc';

/** Kills each process once while it works, and checks what is left. */
async function checkKills(t: Test, store: 'sqlite' | 'postgres'): Promise<void> {
  const folder = await tempFolder(t);
  const server = store === 'postgres' ? await startPostgres() : null;
  if (typeof server === 'string') return t.comment(`skipped: ${server}`);
  if (server) t.teardown(() => server.remove());
  const fleet = await startKillableFleet(folder, server && (await server.createDatabase('kill')));
  t.teardown(() => fleet.stop());
  const models = await importTinyModels(fleet, folder);
  const { processes, findings } = await killInRounds({
    victims,
    rounds: 1,
    // Enough to be killed in; the rest of it runs to its end.
    trials: 16,
    fleet,
    view: server ? viewPostgres(server, 'kill') : viewSqlite(fleet.coordinatorFolder, folder),
    models,
    random: createRandom(11),
    say: (text) => t.comment(text),
  });
  t.same(findings, []);
  for (const found of processes) {
    const { struck, lost, repeated, spoiled, stuck } = found;
    t.same(
      { struck, lost, repeated, spoiled, stuck },
      { struck: 1, lost: 0, repeated: 0, spoiled: 0, stuck: 0 },
      `${found.victim}: ${JSON.stringify(found)}`,
    );
    t.ok(found.acknowledged > 0 || found.victim === 'training worker', 'results came in the meantime');
  }
  const worker = processes.find(({ victim }) => victim === 'training worker');
  t.match(worker?.equalAdapters, /^(\d+) of \1$/);
}

for (const store of ['sqlite', 'postgres'] as const)
  t.test(`each process killed while it works, on ${store}: nothing lost, repeated or stuck`, { skip }, (t) =>
    checkKills(t, store),
  );
