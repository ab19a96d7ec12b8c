/**
 * Keeps a writer from running ahead of its reader: so many pieces may be under way, then the next
 * waits until the reader has taken one.
 */
export interface PieceWindow {
  /** Call after sending a piece; resolves when another may be made. */
  sent(): Promise<void>;
  /** The reader took one. */
  taken(): void;
  /** Nobody reads any more: nothing waits from now on. */
  open(): void;
}

export function createPieceWindow(size: number): PieceWindow {
  let underWay = 0;
  let isOpen = false;
  let wake = (): void => {};
  return {
    async sent() {
      underWay++;
      while (underWay >= size && !isOpen)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    },
    taken() {
      underWay--;
      wake();
    },
    open() {
      isOpen = true;
      wake();
    },
  };
}
