/** How a session child of the bench differs from the agent's. */
export interface SessionTwist {
  /** Entrant of the shared session that is made slower, and by which share of its time. */
  readonly slowed: number;
  readonly slowedBy: number;
  /** `fixed`: every round runs the entrants in the same order. */
  readonly order: 'random' | 'fixed';
  /** Every session's result is appended to it, a JSON value a line. */
  readonly file: string;
}

const NAME = 'FLEETLORA_BENCH_SESSION';

/** Runs `work` while children of this process get the twist. One at a time. */
export async function twisted<T>(twist: SessionTwist, work: () => Promise<T>): Promise<T> {
  process.env[NAME] = JSON.stringify(twist);
  try {
    return await work();
  } finally {
    delete process.env[NAME];
  }
}

/** The twist of this process. */
export function readSessionTwist(): SessionTwist {
  return JSON.parse(process.env[NAME] as string) as SessionTwist;
}
