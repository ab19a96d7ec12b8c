import type { Training, TrainingStart } from '@fleetlora/shared/protocol';

/** A training run as it is stored: what is shown of it but for the moment's, and the space it trains. */
export interface TrainingRecord extends Omit<Training, 'waitReason'> {
  readonly space: TrainingStart['space'];
}

/** Records of training runs. Names are unique: `insertTraining` throws ALREADY_EXISTS. */
export interface TrainingRepository {
  insertTraining(record: TrainingRecord): Promise<void>;
  /** Overwrites everything but id, name and creation. */
  updateTraining(record: TrainingRecord): Promise<void>;
  /** From the oldest to the newest. */
  listTrainings(): Promise<TrainingRecord[]>;
  /** By id or by name, or null. */
  findTraining(idOrName: string): Promise<TrainingRecord | null>;
}
