import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@fleetlora/shared/errors';
import type { Adapter, Training, TrainingStart } from '@fleetlora/shared/protocol';
import { type KillableFleet, within } from './killable-fleet.js';

/** Trainings of one seed, one after another, against one that nobody disturbed. */
export interface TrainingWatch {
  /** The training under way; starts the next one when the last is over. */
  current(): Promise<Training>;
  /** Waits for the end of the training under way. False when it does not come in time. */
  finish(): Promise<boolean>;
  /** Ends the looking. */
  stop(): Promise<void>;
  readonly counts: {
    /** Trainings that ended, and of these those whose adapter file is the reference's, byte for byte. */
    readonly ended: number;
    readonly equalAdapters: number;
    /** Steps whose loss was compared with the reference's. */
    readonly comparedSteps: number;
  };
  /** Steps and adapters that were not the reference's, in words. */
  readonly differences: readonly string[];
}

const LOOK_EVERY_MS = 15;
const RUN_LIMIT_MS = 300_000;

/** Trains once without a disturbance, for the losses and the adapter to compare with. */
export async function startTrainingWatch(
  fleet: KillableFleet,
  request: Omit<TrainingStart, 'name'>,
): Promise<TrainingWatch> {
  /** Loss of each step of the reference that was seen. */
  const losses = new Map<number, number>();
  let reference: string | null = null;
  let number = 0;
  let id = '';
  let looking = true;
  const counts = { ended: 0, equalAdapters: 0, comparedSteps: 0 };
  const differences: string[] = [];

  const show = (): Promise<Training> => fleet.call<Training>(`GET /v1/trainings/${id}`);
  const startNext = async (): Promise<Training> => {
    const training = await fleet.call<Training>('POST /v1/trainings', {
      ...request,
      name: `training-${++number}`,
    });
    ({ id } = training);
    return training;
  };

  async function takeEnd(training: Training): Promise<void> {
    if (training.state !== 'finished')
      throw new CodedError('CHILD_FAILED', `${training.name} is ${training.state}: ${training.error}`);
    const adapters = await fleet.call<Adapter[]>('GET /v1/adapters');
    const digest = adapters.find((adapter) => adapter.id === training.adapterId)?.digest ?? 'none';
    if (reference === null) {
      reference = digest;
      return;
    }
    counts.ended++;
    if (digest === reference) counts.equalAdapters++;
    else differences.push(`the adapter of ${training.name} is not that of the undisturbed training`);
  }

  /** Looks at the loss again and again, whoever is being killed. */
  async function look(): Promise<void> {
    let seen = '';
    while (looking) {
      const training = id === '' ? null : await show().catch(() => null);
      if (training?.loss != null && `${id} ${training.step}` !== seen) {
        seen = `${id} ${training.step}`;
        const known = losses.get(training.step);
        if (reference === null) losses.set(training.step, training.loss);
        else if (known !== undefined) {
          counts.comparedSteps++;
          if (known !== training.loss)
            differences.push(
              `${training.name}: loss ${training.loss} at step ${training.step}, once ${known}`,
            );
        }
      }
      await sleep(LOOK_EVERY_MS);
    }
  }
  const looks = look();

  async function finish(): Promise<boolean> {
    const ended = await within(RUN_LIMIT_MS, show, ({ state }) => state !== 'running');
    if (ended === null) return false;
    await takeEnd(ended);
    id = '';
    return true;
  }

  try {
    await startNext();
    if (!(await finish())) throw new CodedError('CHILD_FAILED', 'the undisturbed training does not end');
  } catch (error) {
    looking = false;
    throw error;
  }
  return {
    counts,
    differences,
    async current() {
      const training = id === '' ? await startNext() : await show();
      if (training.state === 'running') return training;
      await takeEnd(training);
      return startNext();
    },
    finish,
    async stop() {
      looking = false;
      await looks;
    },
  };
}
