import { CodedError } from '../errors.js';

/** @throws BAD_REQUEST unless it is a share between 0 and 1, both left out */
export function requireSparsity(sparsity: number): void {
  if (!(sparsity > 0 && sparsity < 1))
    throw new CodedError('BAD_REQUEST', `sparsity is ${sparsity}, wanted a share above 0 and below 1`);
}

/**
 * Sets the least important weights of each row to 0, in place: of `columns` weights the floor of
 * columns · sparsity whose |w| · norm is smallest, of equal ones those further left.
 * @param matrix [any rows, columns], row-major
 * @param norms [columns], of the inputs
 * @throws BAD_REQUEST for an impossible sparsity; WEIGHT_NOT_FINITE
 * @source Wanda (arXiv 2306.11695) section 3: scores are compared within an output's row
 */
export function pruneRows(matrix: Float32Array, norms: Float64Array, sparsity: number): void {
  requireSparsity(sparsity);
  const columns = norms.length;
  const count = Math.floor(columns * sparsity);
  if (count === 0) return;
  const scores = new Float64Array(columns);
  const sorted = new Float64Array(columns);
  for (let first = 0; first < matrix.length; first += columns) {
    for (let column = 0; column < columns; column++) {
      const score = Math.abs(matrix[first + column] as number) * (norms[column] as number);
      if (!Number.isFinite(score))
        throw new CodedError(
          'WEIGHT_NOT_FINITE',
          `weight ${column} of row ${first / columns} to prune counts ${score}`,
        );
      scores[column] = score;
    }
    sorted.set(scores);
    sorted.sort();
    // All below the threshold go, and of those at it as many as are wanted.
    const threshold = sorted[count - 1] as number;
    let atThreshold = count;
    for (const score of scores) if (score < threshold) atThreshold--;
    for (let column = 0; column < columns; column++) {
      const score = scores[column] as number;
      if (score < threshold || (score === threshold && atThreshold-- > 0)) matrix[first + column] = 0;
    }
  }
}
