import type { ErrorCode } from '@fleetlora/shared/errors';
import type { Random } from '@fleetlora/shared/random';
import { parseJson } from '@fleetlora/shared/weights';
import type { CheckingSource } from './checking-source.js';
import type { FuzzFiles } from './fuzz-reader.js';
import { mutateBytes } from './mutate-bytes.js';
import { mutateJsonText, mutateJsonValue } from './mutate-json.js';
import { mutateBehindHeader, mutateHeader, takeApart } from './mutate-tensors.js';

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** As the coordinator reads the JSON files of an upload. */
export async function readJson(source: CheckingSource, what: string, code: ErrorCode): Promise<unknown> {
  const bytes = await source.read(0, source.size);
  return parseJson(bytes, { what, offset: 0, code }, { depth: 64, values: 2 ** 24 });
}

const isWeights = (name: string): boolean => name.endsWith('.safetensors');
const mutateText = (bytes: Uint8Array, mutate: (text: string) => string): Uint8Array =>
  new TextEncoder().encode(mutate(new TextDecoder().decode(bytes)));

/** A folder of JSON and safetensors files with one of them changed, or now and then all. */
export function mutateFiles(files: FuzzFiles, header: 'kept' | 'any', random: Random): FuzzFiles {
  const mutant: Record<string, Uint8Array> = { ...files };
  const names = Object.keys(files);
  for (const name of random.below(4) === 0 ? names : [random.pick(names)]) {
    const bytes = files[name] as Uint8Array;
    if (isWeights(name)) {
      const parts = takeApart(bytes);
      mutant[name] = header === 'kept' ? mutateBehindHeader(parts, random) : mutateHeader(parts, random);
    } else if (header === 'kept') mutant[name] = mutateText(bytes, (text) => mutateJsonValue(text, random));
    else if (random.below(2) === 0) mutant[name] = mutateBytes(bytes, random);
    else mutant[name] = mutateText(bytes, (text) => mutateJsonText(text, random));
  }
  return mutant;
}
