/**
 * Pareto order of objective vectors in which smaller is better everywhere.
 */
export type Vector = readonly number[];

/** True when `a` is nowhere worse than `b` and somewhere better. */
export function dominates(a: Vector, b: Vector): boolean {
  let better = false;
  for (let axis = 0; axis < a.length; axis++) {
    const x = a[axis] as number;
    const y = b[axis] as number;
    if (x > y) return false;
    if (x < y) better = true;
  }
  return better;
}

/** Indices of the vectors that none dominates, ascending. Equal vectors all stay. */
export function paretoFront(vectors: readonly Vector[]): number[] {
  // In lexicographic order a vector can only be dominated by an earlier one, and if it is, then
  // by an earlier member of the front.
  const order = vectors
    .map((_, index) => index)
    .sort((i, j) => compareVectors(at(vectors, i), at(vectors, j)) || i - j);
  const front: number[] = [];
  for (const index of order) {
    if (!front.some((member) => dominates(at(vectors, member), at(vectors, index)))) front.push(index);
  }
  return front.sort((i, j) => i - j);
}

/** Fronts of indices, best first: each is the Pareto front of what the earlier ones leave. */
export function nonDominatedSort(vectors: readonly Vector[]): number[][] {
  const fronts: number[][] = [];
  let left = vectors.map((_, index) => index);
  while (left.length > 0) {
    const front = paretoFront(left.map((index) => at(vectors, index))).map((place) => left[place] as number);
    fronts.push(front);
    const taken = new Set(front);
    left = left.filter((index) => !taken.has(index));
  }
  return fronts;
}

/**
 * Crowding distance of every vector within its front: how far apart its two neighbours are, summed
 * over the objectives as a share of each objective's range. Ends of an objective are Infinity.
 * @source Deb et al., IEEE Trans. Evol. Comput. 6 (2002), section III-B
 */
export function crowdingDistances(vectors: readonly Vector[]): number[] {
  const distances = vectors.map(() => 0);
  const axes = vectors[0]?.length ?? 0;
  for (let axis = 0; axis < axes; axis++) {
    const order = vectors
      .map((_, index) => index)
      .sort((i, j) => along(vectors, i, axis) - along(vectors, j, axis) || i - j);
    const first = order[0] as number;
    const last = order.at(-1) as number;
    const range = along(vectors, last, axis) - along(vectors, first, axis);
    // An objective on which all agree has no ends worth keeping.
    if (range === 0) continue;
    distances[first] = Number.POSITIVE_INFINITY;
    distances[last] = Number.POSITIVE_INFINITY;
    for (let place = 1; place < order.length - 1; place++) {
      const index = order[place] as number;
      const gap =
        along(vectors, order[place + 1] as number, axis) - along(vectors, order[place - 1] as number, axis);
      distances[index] = (distances[index] as number) + gap / range;
    }
  }
  return distances;
}

/**
 * At most `count` of the vectors, spread over the front: the most crowded is dropped until enough
 * are gone, distances computed anew each time. `keep` is never dropped.
 * @returns indices, ascending
 */
export function spread(
  vectors: readonly Vector[],
  count: number,
  keep: ReadonlySet<number> = new Set(),
): number[] {
  const left = vectors.map((_, index) => index);
  while (left.length > Math.max(count, keep.size)) {
    const distances = crowdingDistances(left.map((index) => at(vectors, index)));
    let drop = -1;
    for (let place = 0; place < left.length; place++) {
      if (keep.has(left[place] as number)) continue;
      if (drop < 0 || (distances[place] as number) < (distances[drop] as number)) drop = place;
    }
    left.splice(drop, 1);
  }
  return left;
}

/** Lexicographic order. */
export function compareVectors(a: Vector, b: Vector): number {
  for (let axis = 0; axis < a.length; axis++) {
    const difference = (a[axis] as number) - (b[axis] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

const at = (vectors: readonly Vector[], index: number): Vector => vectors[index] as Vector;
const along = (vectors: readonly Vector[], index: number, axis: number): number =>
  vectors[index]?.[axis] as number;
