import { open } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';
import { readJsonFile, writeJsonFile } from '../folder/index.js';

/** Longer than any number's text: an overwritten file is always as long as before. */
const SLOT_BYTES = 64;

/**
 * The next connection's number, one above all before it, over restarts too: a death message
 * counts only for its own number, and clocks of devices are no source of order.
 *
 * The number is kept in two small files that are overwritten in turns, where they lie: that takes
 * no space, so a device whose disk is full can still connect and say so. A power cut can spoil the
 * one that was being written; the other then holds the number before it, which was the last used.
 * @throws STATE_CONFLICT when neither holds a number, DISK_FULL when there is no room to make them
 */
export async function nextSessionNumber(path: string): Promise<number> {
  const slots = [path, `${path}.other`] as const;
  const [one, other] = [await readSlot(slots[0]), await readSlot(slots[1])];
  if (one === 'spoilt' && (other === 'spoilt' || other === null))
    throw new CodedError(
      'STATE_CONFLICT',
      `neither ${slots.join(' nor ')} holds a number; they were changed by hand`,
    );
  const [first, second] = [numberOf(one), numberOf(other)];
  const next = Math.max(first, second) + 1;
  if (one === null) await writeJsonFile(slots[0], { number: 0 });
  if (other === null) await writeJsonFile(slots[1], { number: 0 });
  await overwrite(first <= second ? slots[0] : slots[1], next);
  return next;
}

type Slot = number | 'spoilt' | null;
const numberOf = (slot: Slot): number => (typeof slot === 'number' ? slot : 0);

/** The number in a file; null when there is no file. */
async function readSlot(path: string): Promise<Slot> {
  let value: unknown;
  try {
    value = await readJsonFile(path);
  } catch (error) {
    if (error instanceof CodedError) return 'spoilt';
    throw error;
  }
  if (value === null) return null;
  const { number } = value as { number?: unknown };
  return Number.isSafeInteger(number) ? (number as number) : 'spoilt';
}

async function overwrite(path: string, number: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(`${JSON.stringify({ number }).padEnd(SLOT_BYTES - 1)}\n`, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}
