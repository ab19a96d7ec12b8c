/** Ids that count up: dev_0000000001, dev_0000000002, … Equal tests see equal ids. */
export function createTestIds(): (prefix: string) => string {
  let count = 0;
  return (prefix) => `${prefix}_${String(++count).padStart(10, '0')}`;
}
