import { spawnSync } from 'node:child_process';

/** One finished call of a traced process. */
export interface TracedCall {
  readonly pid: number;
  readonly name: string;
  /** Arguments as strace prints them, file descriptors with their paths. */
  readonly text: string;
}

/** Null when processes can be traced here, else why not. */
export function whyNoStrace(): string | null {
  const { error, status, stderr } = spawnSync('strace', ['-o', '/dev/null', 'true'], { encoding: 'utf8' });
  if (error) return 'strace is not installed';
  return status === 0 ? null : `strace cannot trace here: ${stderr.trim()}`;
}

/** Options of strace that `parseTrace` reads the output of. */
export const traceOptions = (file: string, calls: readonly string[]): string[] => [
  ...['-f', '-y', '-s', '200', '-e', `trace=${calls.join(',')}`, '-e', 'signal=none', '-o', file],
];

/** The calls that succeeded, in the order in which they ended. */
export function parseTrace(output: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const begun = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [, pid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const unfinished = /^(\w+)\((.*) <unfinished \.\.\.>$/.exec(rest);
    if (unfinished) {
      begun.set(pid, unfinished[2] ?? '');
      continue;
    }
    const resumed = /^<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)/.exec(rest);
    const whole = /^(\w+)\((.*)\) += (-?\d+)/.exec(rest);
    const [, name = '', text = '', result] = resumed ?? whole ?? [];
    if (result === undefined || Number(result) < 0) continue;
    calls.push({ pid: Number(pid), name, text: resumed ? `${begun.get(pid) ?? ''}${text}` : text });
  }
  return calls;
}
