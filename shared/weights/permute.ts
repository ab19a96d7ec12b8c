/** Row k of the result is row `order[k]` of a matrix whose rows have `columns` values. */
export function takeRows(matrix: Float32Array, order: Int32Array, columns: number): Float32Array {
  const out = new Float32Array(order.length * columns);
  order.forEach((row, k) => {
    out.set(matrix.subarray(row * columns, (row + 1) * columns), k * columns);
  });
  return out;
}

/** [rows, columns] to [columns, rows]. */
export function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      out[column * rows + row] = matrix[row * columns + column] as number;
  return out;
}

/** The order that undoes `order`: result[order[k]] = k. */
export function invertOrder(order: Int32Array): Int32Array {
  const out = new Int32Array(order.length);
  order.forEach((from, k) => {
    out[from] = k;
  });
  return out;
}

/** The top left [rows, columns] block of a matrix; a view where its rows are whole, else a copy. */
export function takeBlock(
  matrix: Float32Array,
  storedColumns: number,
  [rows, columns]: readonly [number, number],
): Float32Array {
  if (columns === storedColumns) return matrix.subarray(0, rows * columns);
  const block = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    block.set(matrix.subarray(row * storedColumns, row * storedColumns + columns), row * columns);
  return block;
}
