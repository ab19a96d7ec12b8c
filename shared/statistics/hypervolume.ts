/**
 * Volume of objective space that `points` dominate within `reference`; every objective is
 * minimised. Exact: a sweep in two dimensions, slicing along the last objective above.
 * @param points [n][m]; points not better than the reference in every objective add nothing
 * @param reference [m] a worst corner
 * @source slicing as in E. Zitzler's HSO (While et al., IEEE Trans. Evol. Comput. 10, 2006)
 */
export function hypervolume(points: readonly (readonly number[])[], reference: readonly number[]): number {
  const inside = points.filter((point) => reference.every((worst, axis) => (point[axis] as number) < worst));
  return volume(inside, reference);
}

function volume(points: readonly (readonly number[])[], reference: readonly number[]): number {
  const axis = reference.length - 1;
  const worst = reference[axis] as number;
  if (points.length === 0) return 0;
  if (axis === 0) return worst - Math.min(...points.map((point) => point[0] as number));
  const ordered = [...points].sort((p, q) => (p[axis] as number) - (q[axis] as number));
  if (axis === 1) return area(ordered, reference);
  let sum = 0;
  ordered.forEach((point, index) => {
    const from = point[axis] as number;
    const to = (ordered[index + 1]?.[axis] as number | undefined) ?? worst;
    // Equal coordinates make a slice without height.
    if (to > from) sum += (to - from) * volume(ordered.slice(0, index + 1), reference.slice(0, axis));
  });
  return sum;
}

/** @param ordered by ascending second coordinate */
function area(ordered: readonly (readonly number[])[], reference: readonly number[]): number {
  let sum = 0;
  let bestX = reference[0] as number;
  for (const [x, y] of ordered as readonly (readonly [number, number])[]) {
    if (x >= bestX) continue;
    sum += (bestX - x) * ((reference[1] as number) - y);
    bestX = x;
  }
  return sum;
}
