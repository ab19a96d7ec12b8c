import { expandPackage, loadAdapterFactors } from '@fleetlora/shared/engine';
import { readBaseLayout } from '@fleetlora/shared/graph';
import {
  bufferSource,
  encodeTensorFile,
  readAdapterFacts,
  readFloats,
  readInts,
  readPeftAdapter,
  readTensorFile,
  type TensorFile,
} from '@fleetlora/shared/weights';
import { tinyModelFile, tinyPeftConfig, tinyPeftFile } from '../lib/tiny-llama.js';
import type { FuzzReader } from './fuzz-reader.js';
import { mutateBehindHeader, mutateHeader, takeApart } from './mutate-tensors.js';
import { tinyBase, tinyBaseFile, tinyQuantisedFile } from './tiny-base.js';

/** Safetensors files: a stranger's model; bases, super-adapters and a package of ours. */
export async function fuzzSafetensors(): Promise<FuzzReader> {
  const peft = await readTensorFile(bufferSource(tinyPeftFile()));
  const adapter = await readPeftAdapter(tinyPeftConfig(), peft, await tinyBase());
  const masked = await readPeftAdapter(tinyPeftConfig(), peft, await tinyBase(), undefined, 'q4');
  const bases = [tinyBaseFile(), tinyQuantisedFile()];
  const files = [tinyModelFile('BF16'), ...bases, adapter, masked, tinyPackage(), allDtypes()];
  const seeds = files.map(takeApart);
  return {
    seeds: files.map((file) => ({ file })),
    mutate(seed, header, random) {
      const parts = seeds[seed] as (typeof seeds)[number];
      return { file: header === 'kept' ? mutateBehindHeader(parts, random) : mutateHeader(parts, random) };
    },
    async read({ file: source }, pastHeader) {
      if (source === undefined) return;
      const file = await readTensorFile(source);
      pastHeader();
      await readValues(file);
      await readAsOurs(file);
    },
  };
}

async function readValues(file: TensorFile): Promise<void> {
  for (const [name, { dtype, offset, bytes }] of file.tensors) {
    if (dtype === 'I32') await readInts(file, name);
    else if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') await readFloats(file, name);
    else await file.source.read(offset, bytes);
  }
}

/** As coordinator and agent open files that say they are ours. */
async function readAsOurs(file: TensorFile): Promise<void> {
  const { format = '' } = file.metadata;
  if (format.startsWith('fleetlora-base')) readBaseLayout(file);
  if (format.startsWith('fleetlora-adapter')) await loadAdapterFactors(file, readBaseLayout(file).shape);
  if (format.startsWith('fleetlora-package')) {
    readAdapterFacts(file);
    await readTensorFile(bufferSource(await expandPackage(file)));
  }
}

function tinyPackage(): Uint8Array {
  return encodeTensorFile(
    ['q', 'down'].flatMap((module) => [
      {
        name: `layers.0.${module}.A`,
        dtype: 'F16' as const,
        shape: [2, 32],
        data: new Float32Array(64).fill(0.5),
      },
      {
        name: `layers.0.${module}.B`,
        dtype: 'F16' as const,
        shape: [2, 32],
        data: new Float32Array(64).fill(-2),
      },
    ]),
    { format: 'fleetlora-package', rankMax: '4', alpha: '8' },
    { alignment: 'none' },
  );
}

function allDtypes(): Uint8Array {
  return encodeTensorFile(
    [
      { name: 'ids', dtype: 'I64', shape: [2, 1], data: new Uint8Array(16).fill(1) },
      { name: 'bytes', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
      { name: 'none', dtype: 'F32', shape: [0, 4], data: new Float32Array(0) },
      { name: 'one', dtype: 'F32', shape: [], data: Float32Array.of(1) },
      { name: 'deep', dtype: 'I32', shape: [1, 2, 1, 2, 1], data: Int32Array.of(1, 2, 3, 4) },
    ],
    {},
    { alignment: 'none' },
  );
}
