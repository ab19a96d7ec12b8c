/**
 * Runs tasks one after another in the order they were handed in; a task that rejects does not
 * stop the next. A task must not wait for another task of the same queue.
 */
export function createExclusive(): <T>(task: () => Promise<T>) => Promise<T> {
  let tail: Promise<unknown> = Promise.resolve();
  return (task) => {
    const result = tail.then(task);
    tail = result.catch(() => {});
    return result;
  };
}
