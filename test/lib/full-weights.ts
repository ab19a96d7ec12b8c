import { readFloats, type TensorFile } from '@fleetlora/shared/weights';

/**
 * The F32 tensors of a base file by name, and of a quantised one the matrices that its numbers stand
 * for, as an fp32 file has them: chunks joined, down [in, out].
 */
export async function readFullWeights(file: TensorFile): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  const chunks = new Map<string, { values: Float32Array; rows: number; columns: number }[]>();
  for (const [name, entry] of file.tensors) {
    if (entry.dtype === 'F32' && !name.endsWith('.scale')) weights.set(name, await readFloats(file, name));
    if (entry.dtype !== 'U8') continue;
    const [, matrix = '', chunk = '0'] = /^(.*?)(?:\.(\d+))?\.q$/.exec(name) ?? [];
    const [rows = 0, blocks = 0, blockBytes = 0] = entry.shape;
    const bytes = await file.source.read(entry.offset, entry.bytes);
    const scales = await readFloats(file, name.replace(/q$/, 'scale'), [rows, blocks]);
    const numbers =
      blockBytes === 32
        ? Array.from(bytes, (byte) => byte - 128)
        : Array.from(bytes, (byte) => [(byte & 15) - 8, (byte >> 4) - 8]).flat();
    const values = Float32Array.from(numbers, (n, i) => n * (scales[Math.floor(i / 32)] as number));
    const list = chunks.get(matrix) ?? [];
    list[Number(chunk)] = { values, rows, columns: 32 * blocks };
    chunks.set(matrix, list);
  }
  for (const [name, list] of chunks) {
    const rows = list[0]?.rows ?? 0;
    const columns = list.reduce((sum, part) => sum + part.columns, 0);
    const whole = new Float32Array(rows * columns);
    let first = 0;
    for (const part of list) {
      part.values.forEach((value, at) => {
        const row = Math.floor(at / part.columns);
        const column = first + (at % part.columns);
        whole[name.endsWith('.down') ? column * rows + row : row * columns + column] = value;
      });
      first += part.columns;
    }
    weights.set(name, whole);
  }
  return weights;
}
