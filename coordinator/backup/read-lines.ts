import { createReadStream } from 'node:fs';
import { CodedError } from '@fleetlora/shared/errors';

/** A row is what a few messages of at most 256 KiB made it; anything near this is no row. */
const LINE_CHARACTERS_AT_MOST = 16 * 1024 * 1024;
const LINES_AT_ONCE = 50;

/**
 * The lines of a text file, some at a time; none when there is no file.
 * @throws BACKUP_INVALID naming the line that is too long
 */
export async function* readLines(path: string): AsyncGenerator<string[]> {
  let line = 1;
  let rest = '';
  let lines: string[] = [];
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      if (rest.length > LINE_CHARACTERS_AT_MOST)
        throw new CodedError('BACKUP_INVALID', `line ${line + parts.length} of ${path} is too long`);
      for (const part of parts) {
        line++;
        lines.push(part);
        if (lines.length < LINES_AT_ONCE) continue;
        yield lines;
        lines = [];
      }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (rest !== '') lines.push(rest);
  if (lines.length > 0) yield lines;
}
