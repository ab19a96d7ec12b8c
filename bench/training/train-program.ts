import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TrainAnswer } from './train-messages.js';

/** A program that has loaded a model and makes a training step when asked. */
export interface TrainProgram {
  step(): Promise<TrainAnswer>;
  close(): Promise<void>;
}

/**
 * Starts a program that answers lines with lines, and waits until its model is loaded.
 * @throws when it ends before it has answered, with the last of what it wrote to stderr
 */
export async function startTrainProgram(command: string, args: readonly string[]): Promise<TrainProgram> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-2000);
  });
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`${command} ended with ${code}: ${stderr}`)));
  });
  // Who asks is told; a program that ends when it is closed is no error.
  ended.catch(() => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const line = await Promise.race([ended, lines.next()]);
    // At the end of its output the program's end says why.
    return line.done ? ended : JSON.parse(line.value);
  };
  await next();
  return {
    step() {
      child.stdin.write('\n');
      return next() as Promise<TrainAnswer>;
    },
    async close() {
      child.stdin.end();
      await ended.catch(() => {});
    },
  };
}
