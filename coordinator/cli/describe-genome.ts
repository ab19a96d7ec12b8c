import { decodeGenome, moduleGroups } from '@fleetlora/shared/space';

const span = (values: readonly number[], unit = ''): string => {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return low === high ? `${low}${unit}` : `${low}-${high}${unit} (mean ${Math.round(mean)})`;
};

/**
 * A genome in a few words: "r 4-32 (mean 18), w 384-768 (mean 576)", and where it is not the whole model
 * in fp32 "q4, r 8, w 384, kv 2 in 3 of 6 layers, without layers 1, 5".
 */
export function describeGenome(text: string): string {
  const { precision = 'fp32', layers } = decodeGenome(text);
  const kept = layers.filter(({ skipped }) => !skipped);
  const skipped = layers.flatMap((layer, index) => (layer.skipped ? [index] : []));
  return [
    ...(precision === 'fp32' ? [] : [precision]),
    `r ${span(kept.flatMap(({ ranks }) => moduleGroups.map((group) => ranks[group])))}`,
    `w ${span(kept.map(({ width }) => width))}`,
    ...describeHeads(
      kept.flatMap(({ kvHeads }) => kvHeads ?? []),
      kept.length,
    ),
    ...(skipped.length === 0
      ? []
      : [`without layer${skipped.length === 1 ? '' : 's'} ${skipped.join(', ')}`]),
  ].join(', ');
}

/** Key/value heads where fewer than all are kept; how many all are, a genome does not say. */
function describeHeads(heads: readonly number[], layers: number): string[] {
  if (heads.length === 0) return [];
  const where = heads.length === layers ? '' : ` in ${heads.length} of ${layers} layers`;
  return [`kv ${span(heads)}${where}`];
}
