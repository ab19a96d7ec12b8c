import { readFile } from 'node:fs/promises';
import { CodedError } from '@fleetlora/shared/errors';
import { parseSearchSpace, presets, type SearchSpaceFile } from '@fleetlora/shared/space';
import { InvalidArgumentError } from 'commander';

/** Parser of a whole number in a range, for commander. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `Wanted a whole number from ${least}.`
        : `Wanted a whole number from ${least} to ${most}.`,
    );
  };
}

/** Parser of a finite number in a range, for commander. */
export function decimal(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Wanted a number from ${least} to ${most}.`);
  };
}

/** Collects a repeated option. */
export function collect(text: string, list: readonly string[] | undefined): string[] {
  return [...(list ?? []), text];
}

/** Seconds of "30m", "12h", "7d", "90s" or a plain number of seconds. */
export function duration(text: string): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(text);
  const factor = { '': 1, s: 1, m: 60, h: 3600, d: 86400 }[match?.[2] ?? ''] ?? 1;
  if (match && Number(match[1]) > 0) return Number(match[1]) * factor;
  throw new InvalidArgumentError('Wanted a time such as 90s, 30m, 12h or 7d.');
}

/** Days of "30", or "none" (commander makes an empty text of null), for commander. */
export function daysOrNone(text: string): number | 'none' {
  if (text === 'none') return text;
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (days >= 1 && days <= 36_500) return days;
  throw new InvalidArgumentError('Wanted a number of days from 1 to 36500, or none.');
}

/** Bytes of "500MB", "20 GB", "1.5TB" (decimal units) or a plain number; or "none". */
export function sizeOrNone(text: string): number | 'none' {
  if (text === 'none') return text;
  const match = /^(\d{1,16}(?:\.\d{1,6})?) ?(B|KB|MB|GB|TB)?$/i.exec(text);
  const unit = (match?.[2] ?? 'B').toUpperCase();
  const factor = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[unit] ?? 1;
  const bytes = match ? Math.round(Number(match[1]) * factor) : Number.NaN;
  if (bytes <= 2 ** 50) return bytes;
  throw new InvalidArgumentError('Wanted a size such as 500MB or 20GB, at most 1125TB, or none.');
}

/** A JSON file's value. @throws NOT_FOUND, or BAD_USAGE when it is not JSON */
export async function readJsonFile(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new CodedError('NOT_FOUND', `${path} cannot be read`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError('BAD_USAGE', `${path} is not JSON`, { cause });
  }
}

/** What an option that takes a search space takes. */
export const spaceChoices = `preset (${Object.keys(presets).join(', ')}) or JSON file`;

/** A search space by preset name or from a JSON file. @throws SPACE_INVALID, NOT_FOUND */
export async function readSpace(nameOrFile: string): Promise<SearchSpaceFile> {
  const preset = Object.hasOwn(presets, nameOrFile) ? presets[nameOrFile] : undefined;
  if (preset) return preset;
  if (/^[A-Za-z0-9_-]+$/.test(nameOrFile))
    throw new CodedError(
      'SPACE_INVALID',
      `"${nameOrFile}" is no preset (${Object.keys(presets).join(', ')}) and does not look like a file`,
    );
  return parseSearchSpace(await readJsonFile(nameOrFile));
}

/** A name the API accepts, made from a path or title. */
export function toName(text: string): string {
  const name = text
    .replace(/[^A-Za-z0-9._ -]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return name === '' ? 'unnamed' : name;
}
