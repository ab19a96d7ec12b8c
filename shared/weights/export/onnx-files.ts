import { groupOf } from '../../graph/lora.js';
import { type ModuleName, moduleDims, moduleNames } from '../../graph/model-shape.js';
import { buildPlainGraph, type PlainLayer } from '../../graph/plain-graph.js';
import { pageBytes } from '../encode-tensor-file.js';
import { ropeTables } from '../rope-tables.js';
import { elementCount } from '../tensor-file.js';
import { type Placement, placeMatrix } from './candidate-cut.js';
import type { ExportFile } from './export-file.js';
import { type ExportedFactors, type ExportSource, eachRows } from './export-source.js';

/** A constant of the graph and where its F32 values lie in the data file. */
interface PlacedConstant {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

/** Where transformers.js looks for a graph's weights. */
const GRAPH = 'onnx/model.onnx';
const DATA = 'onnx/model.onnx_data';

/** The graph and its weights, F32, in the layout of a Hugging Face repository. */
export function onnxFiles(source: ExportSource, form: 'merged' | 'unmerged'): ExportFile[] {
  const { cut, modules } = source;
  const layers = cut.layers.map(({ genes }): PlainLayer => {
    const ranks =
      form === 'merged' ? [] : modules.map((module) => [module, genes.ranks[groupOf[module]]] as const);
    return { ffnWidth: genes.width, ranks: Object.fromEntries(ranks) };
  });
  const placed: PlacedConstant[] = [];
  let end = 0;
  const graph = buildPlainGraph({
    shape: cut.shape,
    layers,
    loraScale: source.loraScale,
    constant(builder, name, dims) {
      const bytes = 4 * elementCount(dims);
      const at = placed.find((other) => other.name === name);
      const offset = at?.offset ?? Math.ceil(end / pageBytes) * pageBytes;
      if (!at) {
        placed.push({ name, offset, bytes });
        end = offset + bytes;
      }
      return builder.external(name, dims, { fileName: 'model.onnx_data', offset, bytes });
    },
  });
  return [
    { path: GRAPH, write: (sink) => sink.write(graph) },
    {
      path: DATA,
      async write(sink) {
        let position = 0;
        for (const { name, offset } of placed) {
          if (offset > position) await sink.write(new Uint8Array(offset - position));
          position = offset;
          for await (const { buffer, byteOffset, byteLength } of readConstant(source, layers, form, name)) {
            await sink.write(new Uint8Array(buffer, byteOffset, byteLength));
            position += byteLength;
          }
        }
      },
    },
  ];
}

const LAYER_NAME = /^layers\.(\d+)\.(\w+)(?:\.(bias|A|B))?$/;

/** Values of a constant by the name that the graph gives it. */
async function* readConstant(
  source: ExportSource,
  layers: readonly PlainLayer[],
  form: 'merged' | 'unmerged',
  name: string,
): AsyncGenerator<Float32Array> {
  const { shape } = source.cut;
  if (name === 'embed' || name === 'head') return yield* eachRows(source, name);
  if (name === 'norm') return yield await source.norm(name, 0);
  if (name === 'rope.cos') return yield ropeTables(shape).cos;
  if (name === 'rope.sin') return yield ropeTables(shape).sin;
  const [, layerText, part = '', what] = LAYER_NAME.exec(name) ?? [];
  const layer = Number(layerText);
  if (part === 'inputNorm' || part === 'postNorm') return yield await source.norm(part, layer);
  const module = moduleNames.find((one) => one === part) as ModuleName;
  if (what === 'bias') return yield await source.bias(layer, module);
  const width = layers[layer]?.ffnWidth ?? shape.ffnWidth;
  const [input] = moduleDims(shape, module);
  const rows = module === 'gate' || module === 'up' ? firstOf(width) : null;
  const columns = module === 'down' ? firstOf(width) : null;
  if (what === undefined) {
    const matrix = await source.matrix(layer, module, form === 'merged' ? 'merged' : 'base');
    return yield placeMatrix(matrix, input, rows, columns);
  }
  const { a, b, rank } = (await source.factors(layer, module)) as ExportedFactors;
  yield what === 'A' ? placeMatrix(a, input, null, columns) : placeMatrix(b, rank, rows, null);
}

/** Channels that a layer keeps; those that fill it up to the widest are behind them. */
function firstOf(width: number): Placement {
  return Int32Array.from({ length: width }, (_, place) => place);
}
