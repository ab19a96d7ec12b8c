import { decodeGenome, moduleGroups } from '@fleetlora/shared/space';

const span = (values: readonly number[], unit = ''): string => {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return low === high ? `${low}${unit}` : `${low}-${high}${unit} (mean ${Math.round(mean)})`;
};

/** A genome in a few words: "r 4-32 (mean 18), w 384-768 (mean 600)"; groups without adapter left out. */
export function describeGenome(text: string): string {
  const { layers } = decodeGenome(text);
  const ranks = layers.flatMap((layer) => moduleGroups.map((group) => layer.ranks[group]));
  const widths = layers.map((layer) => layer.width);
  return `r ${span(ranks)}, w ${span(widths)}`;
}
