/** Readers that do what no reader may, one a mutant: `node broken-reader-child.js TASK`. */
import { type FuzzTask, readMutants } from '@fleetlora/bench/fuzzing/read-mutants';
import { CodedError } from '@fleetlora/shared/errors';

const KiB = 1024;

/** By the number of the mutant, which is the only byte of its file. */
const answers: readonly ((source: {
  read(offset: number, length: number): Promise<Uint8Array>;
}) => unknown)[] = [
  () => undefined,
  () => {
    throw new CodedError('SAFETENSORS_HEADER', 'byte 8 is wrong');
  },
  () => {
    throw new CodedError('SAFETENSORS_HEADER', 'something is wrong');
  },
  () => {
    throw new CodedError('SAFETENSORS_HEADER', `byte 8 is ${'x'.repeat(KiB)}`);
  },
  () => {
    throw new TypeError('undefined is not a function');
  },
  () => {
    throw new CodedError('BUG', 'byte 8 is wrong');
  },
  (source) => source.read(0, 2).catch(() => undefined),
  () => new Float32Array(KiB * KiB),
  () => new Float32Array(KiB * KiB * KiB),
  () => process.kill(process.pid, 'SIGKILL'),
  () => {
    const kept: number[][] = [];
    for (;;) kept.push(new Array(KiB * KiB).fill(0));
  },
  () => new Promise(() => {}),
  () => {
    for (;;);
  },
  () => undefined,
];

const task = JSON.parse(process.argv[2] as string) as FuzzTask;
let next = task.from;
await readMutants(
  {
    seeds: [{ file: Uint8Array.of(0) }],
    mutate: () => ({ file: Uint8Array.of(next++) }),
    async read({ file: source }, pastHeader) {
      pastHeader();
      if (source) await answers[(await source.read(0, 1))[0] as number]?.(source);
    },
  },
  task,
);
