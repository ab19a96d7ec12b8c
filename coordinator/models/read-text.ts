import { createReadStream } from 'node:fs';
import { brokenLine, lineTooLong, maxLineCharacters } from '@fleetlora/shared/text';

const LINE_FEED = 0x0a;

/**
 * The text of a UTF-8 file in pieces of 64 KiB, its byte-order mark left out, so that other work
 * gets its turn between them. A line longer than the ceiling ends the reading.
 * @throws DATA_LINE naming the line where the text is no UTF-8, has a zero byte, or is too long
 */
export async function* readText(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  /** Line feeds so far, and characters since the last one. */
  let feeds = 0;
  let open = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    if (feeds === 0 && open === 0 && isUtf16(chunk)) throw brokenLine(1, 'is UTF-16, wanted UTF-8');
    let text: string;
    try {
      text = decoder.decode(chunk, { stream: true });
    } catch (cause) {
      throw brokenLine(feeds + lineOfBadByte(chunk), 'is not UTF-8', cause);
    }
    const nul = text.indexOf('\0');
    if (nul >= 0)
      throw brokenLine(
        feeds + text.slice(0, nul).split('\n').length,
        'has a zero byte: is this a text file?',
      );
    let start = 0;
    for (let feed = text.indexOf('\n'); feed >= 0; feed = text.indexOf('\n', start)) {
      checkLength(open + feed - start, feeds + 1);
      open = 0;
      feeds++;
      start = feed + 1;
    }
    open += text.length - start;
    checkLength(open, feeds + 1);
    yield text;
  }
  try {
    decoder.decode();
  } catch (cause) {
    throw brokenLine(feeds + 1, 'is not UTF-8: its last character is cut', cause);
  }
}

/**
 * Lines of a file in groups, without their line feeds; only these end a line, since JSON texts may
 * hold the other Unicode line separators. @returns groups with the number of their first line
 * @throws DATA_LINE as readText
 */
export async function* readLines(
  path: string,
): AsyncGenerator<{ readonly first: number; readonly lines: readonly string[] }> {
  let first = 1;
  let rest: string[] = [];
  for await (const text of readText(path)) {
    const lines = text.split('\n');
    const last = lines.pop() as string;
    if (lines.length > 0) {
      lines[0] = rest.join('') + lines[0];
      rest = [];
      yield { first, lines };
      first += lines.length;
    }
    rest.push(last);
  }
  yield { first, lines: [rest.join('')] };
}

function checkLength(characters: number, line: number): void {
  if (characters > maxLineCharacters) throw lineTooLong(line, `has ${characters} or more`);
}

/** Which line of the chunk, counted from 1, does not decode; a character cut by its start counts. */
function lineOfBadByte(chunk: Buffer): number {
  const strict = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let start = 0; start < chunk.length; line++) {
    const feed = chunk.indexOf(LINE_FEED, start);
    const end = feed < 0 ? chunk.length : feed;
    try {
      strict.decode(chunk.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
  }
  return line;
}

function isUtf16(chunk: Buffer): boolean {
  return (
    chunk.length > 1 && ((chunk[0] === 0xff && chunk[1] === 0xfe) || (chunk[0] === 0xfe && chunk[1] === 0xff))
  );
}
