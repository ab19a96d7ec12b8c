import { Writable } from 'node:stream';
import type { CliContext } from '@fleetlora/coordinator/cli';
import pc from 'picocolors';

/** A command line's surroundings in memory: no terminal, no colours, nothing from the environment. */
export function memoryContext(): CliContext & { readonly out: () => string; readonly err: () => string } {
  const collect = (): { stream: Writable; text: () => string } => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    return { stream, text: () => text };
  };
  const stdout = collect();
  const stderr = collect();
  return {
    env: {},
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: new AbortController().signal,
    colors: pc.createColors(false),
    out: stdout.text,
    err: stderr.text,
  };
}
