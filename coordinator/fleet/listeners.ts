/** Functions that want to hear of an event. One that throws does not keep it from the others. */
export interface Listeners<E> {
  add(listener: (event: E) => void): () => void;
  notify(event: E): void;
}

export function createListeners<E>(onError: (error: unknown) => void): Listeners<E> {
  const listeners = new Set<(event: E) => void>();
  return {
    add(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    notify(event) {
      for (const listener of [...listeners]) {
        try {
          listener(event);
        } catch (error) {
          onError(error);
        }
      }
    },
  };
}
