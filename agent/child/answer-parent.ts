import { isCoded, messageOf } from '@fleetlora/shared/errors';

/**
 * The child's side of `runChild`: takes one request, answers once, ends.
 * @param work its result must be a JSON value
 */
export function answerParent(
  work: (request: unknown, tell: (value: unknown) => void) => Promise<unknown>,
): void {
  endWithParent();
  process.once('message', (value) => {
    const { request } = value as { request: unknown };
    const say = (message: object): Promise<void> =>
      new Promise((resolve) => {
        if (process.send) process.send(message, () => resolve());
        else resolve();
      });
    work(request, (progress) => void say({ kind: 'progress', value: progress }))
      .then((answer) => say({ kind: 'answer', value: answer }))
      .catch((error: unknown) =>
        say({ kind: 'error', code: isCoded(error) ? error.code : 'BUG', message: messageOf(error) }),
      )
      .finally(() => process.exit(0));
  });
}

/**
 * Ties this process's life to its parent's: it outlives a Ctrl-C meant for the parent, which ends
 * its children itself, and ends when the parent is gone, however that died.
 */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(0));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
}
