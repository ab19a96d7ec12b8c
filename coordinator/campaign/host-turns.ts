/**
 * Who may load a machine's cores now. Devices of one boot id measure one at a time, and while a
 * device on the coordinator's own machine measures, nothing is scored there: a measurement must
 * not share its cores. Neither side can starve the other: see `turn`.
 */
export interface HostTurns {
  /** @param bootId "" (unknown) is taken for a machine of its own */
  mayMeasure(bootId: string): boolean;
  mayScore(): boolean;
  /** The device measures until `endMeasuring` with the same key. */
  startMeasuring(bootId: string, key: string): void;
  /** Harmless for an unknown key. */
  endMeasuring(key: string): void;
  startScoring(): void;
  endScoring(): void;
  /** Who goes first when the coordinator's machine is free: whoever did not go last. */
  turn(): 'measure' | 'score';
}

export function createHostTurns(hostBootId: string): HostTurns {
  const measuring = new Map<string, string>();
  let scoring = 0;
  let turn: 'measure' | 'score' = 'score';
  const measures = (bootId: string): boolean => bootId !== '' && [...measuring.values()].includes(bootId);
  const isHost = (bootId: string): boolean => bootId !== '' && bootId === hostBootId;

  return {
    mayMeasure: (bootId) => !measures(bootId) && !(isHost(bootId) && scoring > 0),
    mayScore: () => !measures(hostBootId),
    startMeasuring(bootId, key) {
      measuring.set(key, bootId);
      if (isHost(bootId)) turn = 'score';
    },
    endMeasuring(key) {
      measuring.delete(key);
    },
    startScoring() {
      scoring++;
      turn = 'measure';
    },
    endScoring() {
      scoring--;
    },
    turn: () => turn,
  };
}
