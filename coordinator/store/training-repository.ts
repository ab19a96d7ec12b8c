import { asc, eq, or } from 'drizzle-orm';
import type { TrainingRepository } from '../training/ports.js';
import type { Connection } from './database.js';
import { pickNamed, requireInserted } from './named-records.js';

export function createTrainingRepository({ tables, reader, write }: Connection): TrainingRepository {
  const { trainings } = tables;
  return {
    async insertTraining(record) {
      const rows = await write((tx) =>
        tx.insert(trainings).values(record).onConflictDoNothing().returning({ id: trainings.id }),
      );
      requireInserted(rows, `a training named "${record.name}"`);
    },
    async updateTraining({ id, name: _name, createdAtMs: _createdAtMs, ...change }) {
      await write((tx) => tx.update(trainings).set(change).where(eq(trainings.id, id)));
    },
    listTrainings: () =>
      reader.select().from(trainings).orderBy(asc(trainings.createdAtMs), asc(trainings.id)),
    async findTraining(idOrName) {
      const named = or(eq(trainings.id, idOrName), eq(trainings.name, idOrName));
      return pickNamed(await reader.select().from(trainings).where(named), idOrName);
    },
  };
}
