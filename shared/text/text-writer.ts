import type { Tokenizer } from './tokenizer.js';

/** Turns tokens, as they come, into text that never has to be taken back. */
export interface TextWriter {
  /** Takes one more token and returns the text that is final with it, often ''. */
  push(id: number): string;
  /** A stop string came up; everything before it has been returned. */
  readonly stopped: boolean;
  /** At the end of the tokens: what was held back. */
  flush(): string;
}

/**
 * Held back is what the next token may change: bytes that are no whole character yet (they decode
 * to U+FFFD at the end), and the end of the text while it may be the begin of a stop string.
 *
 * Invariant: `context` are the tokens whose text was last taken; decoding it together with the new
 * ones gives their text as it stands in the middle of a text, so the work a token takes does not
 * grow with the text.
 */
export function createTextWriter(tokenizer: Pick<Tokenizer, 'decode'>, stops: readonly string[]): TextWriter {
  let context: number[] = [];
  let fresh: number[] = [];
  let held = '';
  let stopped = false;

  const freshText = (): string => {
    const before = tokenizer.decode(context);
    return tokenizer.decode([...context, ...fresh]).slice(before.length);
  };
  function take(text: string): string {
    held += text;
    const ends = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
    stopped = ends.length > 0;
    const final = stopped ? Math.min(...ends) : held.length - longestBegin(held, stops);
    const told = held.slice(0, final);
    held = stopped ? '' : held.slice(final);
    return told;
  }

  return {
    push(id) {
      if (stopped) return '';
      fresh.push(id);
      const text = freshText();
      if (text === '' || text.endsWith('\ufffd')) return '';
      context = fresh;
      fresh = [];
      return take(text);
    },
    get stopped() {
      return stopped;
    },
    flush() {
      if (stopped) return '';
      const told = take(fresh.length > 0 ? freshText() : '') + held;
      context = [];
      fresh = [];
      held = '';
      return told;
    },
  };
}

/** Length of the longest end of `text` with which one of the stop strings begins. */
function longestBegin(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops)
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--)
      if (text.endsWith(stop.slice(0, length))) longest = length;
  return longest;
}
