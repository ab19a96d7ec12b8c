import { formatSeconds } from '@fleetlora/shared/units';
import cliProgress from 'cli-progress';
import { type CliContext, say } from './context.js';

export interface Progress {
  /** @param note what to say beside the bar, for example "loss 1.234" */
  update(value: number, note?: string): void;
  /** Ends it as complete. */
  finish(note?: string): void;
  /** Ends it where it stands; harmless after `finish`. */
  abandon(): void;
}

export interface ProgressOptions {
  readonly title: string;
  readonly total: number;
  /** What is counted: "3 of 40 trials". */
  readonly unit?: string;
  /** For quantities that carry their unit: "1.2 MB of 14.7 MB". */
  readonly format?: (value: number) => string;
  /** Least time between two plain lines. */
  readonly lineEveryMs?: number;
}

/**
 * A bar when stderr is a terminal; elsewhere plain lines: at the start, at most one in
 * `lineEveryMs` (5 s) while it moves, and at the end.
 */
export function startProgress(context: CliContext, options: ProgressOptions): Progress {
  return context.stderr.isTTY ? startBar(context, options) : startLines(context, options);
}

function startBar(context: CliContext, options: ProgressOptions): Progress {
  const { title, total } = options;
  const bar = new cliProgress.SingleBar({
    format: `${title}  {bar} {percentage}%  {shown}  {note}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    stream: context.stderr,
    linewrap: false,
    etaBuffer: 20,
  });
  const shown = (value: number): string => describeStand(options, value);
  bar.start(Math.max(1, total), 0, { shown: shown(0), note: '' });
  let open = true;
  const stop = (): void => {
    if (open) bar.stop();
    open = false;
  };
  return {
    update(value, note = '') {
      if (open) bar.update(value, { shown: shown(value), note });
    },
    finish(note = '') {
      if (open) bar.update(Math.max(1, total), { shown: shown(total), note });
      stop();
    },
    abandon: stop,
  };
}

function startLines(context: CliContext, options: ProgressOptions): Progress {
  const { title, lineEveryMs = 5000 } = options;
  const startedMs = performance.now();
  let saidMs = startedMs;
  let open = true;
  const line = (value: number, note: string): void =>
    say(context, `${title}: ${describeStand(options, value)}${note ? `, ${note}` : ''}`);
  return {
    update(value, note = '') {
      if (!open || performance.now() - saidMs < lineEveryMs) return;
      saidMs = performance.now();
      line(value, note);
    },
    finish(note = '') {
      if (!open) return;
      open = false;
      const took = `done in ${formatSeconds((performance.now() - startedMs) / 1000)}`;
      say(context, `${title}: ${describeWhole(options)}${note ? `, ${note}` : ''}, ${took}`);
    },
    abandon() {
      open = false;
    },
  };
}

function describeStand({ total, unit, format = String }: ProgressOptions, value: number): string {
  return `${format(value)} of ${format(total)}${unit === undefined ? '' : ` ${unit}`}`;
}

function describeWhole({ total, unit, format = String }: ProgressOptions): string {
  return `${format(total)}${unit === undefined ? '' : ` ${unit}`}`;
}
