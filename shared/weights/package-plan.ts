import { activeLayers, cutShape } from '../graph/layer-cut.js';
import { groupOf } from '../graph/lora.js';
import { type ModelShape, type ModuleName, moduleDims, moduleNames } from '../graph/model-shape.js';
import { encodeGenome, type Genome, type Precision } from '../space/genome.js';
import { type TensorSpec, tensorFileSize } from './encode-tensor-file.js';

/** What a package file says of the super-adapter it was cut from. */
export interface AdapterFacts {
  readonly rankMax: number;
  readonly alpha: number;
  /**
   * Its product counts only where the weights of the base's file of this precision are not 0, in training
   * and when it is merged; beside a quantised file it also only counts as far as its numbers can say it.
   * Absent: it counts everywhere.
   * @source SQFT section 3.2, SparsePEFT and QA-SparsePEFT
   */
  readonly masked?: Precision;
  /** Modules the super-adapter holds; the others have rank 0 whatever the genome says. */
  readonly modules: readonly ModuleName[];
}

const wholeAdapter: AdapterFacts = { rankMax: 32, alpha: 64, modules: moduleNames };

/**
 * Tensors of a candidate's package, all F16, in file order. Unmerged: `layers.{i}.{m}.A` [r, in']
 * and `.B` [r, out']; merged: `layers.{i}.{m}`, the complete matrix in base layout, [out', in']
 * (down: [in', out'] as the base stores it). A prime marks sides cut to the layer's FFN width or its
 * heads. Layers that are left out have none.
 */
export function packageTensors(
  genome: Genome,
  shape: ModelShape,
  modules: readonly ModuleName[] = moduleNames,
): TensorSpec[] {
  const specs: TensorSpec[] = [];
  const add = (name: string, dims: readonly number[]): void => {
    specs.push({ name, dtype: 'F16', shape: dims });
  };
  for (const { layer, genes } of activeLayers(genome)) {
    const { ranks } = genes;
    for (const module of moduleNames) {
      const name = `layers.${layer}.${module}`;
      const [input, output] = moduleDims(cutShape(shape, genes), module);
      if (genome.form === 'merged') {
        add(name, module === 'down' ? [input, output] : [output, input]);
      } else if (modules.includes(module) && ranks[groupOf[module]] > 0) {
        const rank = ranks[groupOf[module]];
        add(`${name}.A`, [rank, input]);
        add(`${name}.B`, [rank, output]);
      }
    }
  }
  return specs;
}

/** Metadata of a package file. */
export function packageMetadata(facts: {
  readonly shape: ModelShape;
  readonly genome: Genome;
  readonly baseDigest: string;
  readonly adapterDigest: string;
  readonly rankMax: number;
  readonly alpha: number;
}): Record<string, string> {
  return {
    format: 'fleetlora-package',
    layoutVersion: '1',
    shape: JSON.stringify(facts.shape),
    genome: encodeGenome(facts.genome),
    baseDigest: facts.baseDigest,
    adapterDigest: facts.adapterDigest,
    rankMax: String(facts.rankMax),
    alpha: String(facts.alpha),
  };
}

/** Exact bytes of a candidate's package file: what a release ships to a device that holds the base. */
export function packageSize(genome: Genome, shape: ModelShape, adapter: AdapterFacts = wholeAdapter): number {
  const digest = '0'.repeat(64);
  const metadata = packageMetadata({
    shape,
    genome,
    baseDigest: digest,
    adapterDigest: digest,
    rankMax: adapter.rankMax,
    alpha: adapter.alpha,
  });
  return tensorFileSize(packageTensors(genome, shape, adapter.modules), metadata, 'none');
}
