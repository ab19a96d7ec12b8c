import { type Static, Type } from 'typebox';
import { precisions } from '../space/genome.js';
import { closed, Digest, GenomeText, Name, ShortText } from './fields.js';

/** By what channels and heads are sorted: the sum of |w| over their weights, or of |w| times its input's norm. */
export const importances = ['l1', 'wanda'] as const;
export type Importance = (typeof importances)[number];

/** How a base was pruned: its weight file is another base's with zeros in place of the weights that count least. */
export const BasePruning = Type.Object({
  method: Type.Enum(['wanda']),
  /** Share of each output's weights that is 0. */
  sparsity: Type.Number(),
  /** Of the weight file that was pruned. */
  baseDigest: Digest,
  /** Of the rows that it was calibrated on, and how much of them. */
  datasetDigest: Digest,
  rows: Type.Integer(),
  tokens: Type.Integer(),
});
export type BasePruning = Static<typeof BasePruning>;

/** What was merged into a base: a candidate of a super-adapter. */
export const BaseMerged = Type.Object({ baseDigest: Digest, adapterDigest: Digest, genome: GenomeText });
export type BaseMerged = Static<typeof BaseMerged>;

/** Rows of a data set (of its train split where there is one) whose activations say which inputs count. */
export const Calibration = Type.Object(
  { dataset: ShortText, rows: Type.Optional(Type.Integer({ minimum: 1, maximum: 65536 })) },
  closed,
);
export type Calibration = Static<typeof Calibration>;
/** @source Wanda (arXiv 2306.11695) section 4: 128 sequences */
export const defaultCalibrationRows = 128;

export const BasePrune = Type.Object(
  {
    name: Name,
    sparsity: Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }),
    calibration: Calibration,
  },
  closed,
);
export type BasePrune = Static<typeof BasePrune>;

/** `into` absent: the precision of the candidate. */
export const AdapterMerge = Type.Object(
  { name: Name, candidate: GenomeText, into: Type.Optional(Type.Enum([...precisions])) },
  closed,
);
export type AdapterMerge = Static<typeof AdapterMerge>;
