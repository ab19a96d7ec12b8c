import { CodedError } from '@fleetlora/shared/errors';

/** A whole number from 1 to `most`. @throws BAD_USAGE naming the option */
export function parseCount(text: string, option: string, most: number): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > most)
    throw new CodedError(
      'BAD_USAGE',
      `${option} ${text} is not possible, wanted a whole number from 1 to ${most}`,
    );
  return value;
}
