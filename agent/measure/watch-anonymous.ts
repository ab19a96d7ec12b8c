import { readProcessMemory } from './process-memory.js';

/** Largest RssAnon of another process, seen from outside while that one computes. */
export interface AnonymousWatch {
  begin(pid: number): void;
  /** Drops what was seen so far: it belonged to the process's start. */
  forget(): void;
  largestBytes(): number;
  end(): void;
}

/**
 * The kernel keeps a high-water mark of all resident memory, none of the anonymous part, so it is
 * polled; between two looks a short peak can hide.
 */
const POLL_MS = 10;

export function watchAnonymous(): AnonymousWatch {
  let largest = 0;
  let timer: NodeJS.Timeout | null = null;
  return {
    begin(pid) {
      timer = setInterval(() => {
        void readProcessMemory(pid).then((memory) => {
          largest = Math.max(largest, memory?.anonymousBytes ?? 0);
        });
      }, POLL_MS);
    },
    forget() {
      largest = 0;
    },
    largestBytes: () => largest,
    end() {
      if (timer) clearInterval(timer);
    },
  };
}
