/**
 * Keeps the last `kept` values used, by key. A value is made once even when it is asked for twice
 * at once; one that failed to be made is forgotten.
 * @param drop called with each value that has to go
 * @returns a function from key and maker to the value
 */
export function recent<T>(
  kept: number,
  drop: (value: T) => Promise<void> = async () => {},
): (key: string, make: () => Promise<T>) => Promise<T> {
  // A Map iterates in insertion order: the first key is the one used longest ago.
  const values = new Map<string, Promise<T>>();
  return async (key, make) => {
    const value = values.get(key) ?? make();
    values.delete(key);
    values.set(key, value);
    try {
      await value;
    } catch (error) {
      values.delete(key);
      throw error;
    }
    for (const [old, stale] of values) {
      if (values.size <= kept) break;
      values.delete(old);
      await drop(await stale);
    }
    return value;
  };
}
