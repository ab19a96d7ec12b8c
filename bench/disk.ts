import { rmSync } from 'node:fs';
import { type Bench, holds, skip } from './lib/bench.js';
import { agentPlaces } from './lib/disk-agent-places.js';
import { coordinatorPlaces } from './lib/disk-coordinator-places.js';
import { type DiskPlace, openDiskGround } from './lib/disk-ground.js';
import { enterOwnMounts } from './lib/own-mounts.js';

/** Every place of a coordinator and an agent, real processes on disks of 24 and 16 MiB. */
export async function visitDiskPlaces(workFolder: string, say: (text: string) => void): Promise<DiskPlace[]> {
  const ground = await openDiskGround(workFolder);
  try {
    say('the coordinator');
    const places = await coordinatorPlaces(ground);
    say('the agent');
    return [...places, ...(await agentPlaces(ground))];
  } catch (error) {
    say(ground.fleet.recentLog());
    throw error;
  } finally {
    await ground.stop();
  }
}

/** True when a place behaved: it said so, left nothing, and went on. */
export const behaved = ({ error, left, wentOn }: DiskPlace): boolean =>
  error !== null && left.length === 0 && wentOn !== null;

/**
 * What happens when the disk is full, in every place that writes: is it told, does anything
 * half-written stay, does it go on by itself once there is space.
 */
export const diskProof: Bench = {
  name: 'proof:disk',
  summary: 'a full disk in every place that writes: the error, what is left, how it goes on',
  options: {},
  async run({ workFolder, say }) {
    const reason = enterOwnMounts(() => rmSync(workFolder, { recursive: true, force: true }));
    if (reason !== null) return skip(reason);
    const places = await visitDiskPlaces(workFolder, say);
    return {
      figures: {},
      table: {
        columns: ['place', 'error shown', 'half-written left', 'went on'],
        rows: places.map(({ place, error, left, wentOn, trouble = '' }) => [
          place,
          error ?? 'NONE',
          left.join(' ') || 'nothing',
          wentOn ?? `NO ${trouble}`,
        ]),
      },
      checks: places.map((place) => holds(`${place.place}: told, nothing left, went on`, behaved(place))),
    };
  },
};
