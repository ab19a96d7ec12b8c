import type { JobStep } from '@fleetlora/shared/protocol';
import type { Printer } from './printer.js';

/** What is being done, on stderr: one line that is rewritten on a terminal, elsewhere a line a part. */
export interface LiveLine {
  /** Begins a part. */
  part(text: string): void;
  /** What is done of it at the moment; shown on terminals alone. */
  detail(text: string): void;
  /** Leaves nothing behind on a terminal. */
  end(): void;
}

/** Back to the first column, and everything behind it erased. */
const ERASE_LINE = '\r\u001b[K';

export function startLiveLine({ isTerminal, err, say }: Printer): LiveLine {
  let current = '';
  if (!isTerminal)
    return {
      part(text) {
        if (text !== current) say(text);
        current = text;
      },
      detail() {},
      end() {},
    };
  return {
    part(text) {
      current = text;
      err(`${ERASE_LINE}${text}`);
    },
    detail: (text) => err(`${ERASE_LINE}${current} · ${text}`),
    end: () => err(ERASE_LINE),
  };
}

const stepWords: Readonly<Record<JobStep, string>> = {
  waiting: 'waiting until no request is served',
  fetching: 'fetching files',
  cooling: 'waiting until the machine is cool',
  quieting: 'waiting until other processes are quiet',
  merging: 'merging',
  timing: 'timing',
  weighing: 'weighing memory',
  energy: 'metering energy',
  sustained: 'running without a pause',
  pausing: 'pausing',
};

/** "timing, 2 of 5 done". */
export function describeStep(step: JobStep, done?: number, of?: number): string {
  const count = done === undefined || of === undefined || of === 1 ? '' : `, ${done} of ${of} done`;
  return `${stepWords[step]}${count}`;
}
