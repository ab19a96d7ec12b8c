/** Something that the agent logged about a job. */
export interface AgentEvent {
  /** When the agent logged it, by its wall clock. */
  readonly atMs: number;
  /**
   * `measured`: a job's measurement ended; `killed`: a measuring process was killed and is run
   * again; `acknowledged`: the coordinator has the result, and the agent's copy is gone.
   */
  readonly kind: 'measured' | 'killed' | 'acknowledged';
  readonly jobId: string;
  readonly outcome: string | null;
}

/** The agent's log, of all its lives, as events. */
export interface AgentEvents {
  readonly all: readonly AgentEvent[];
  /** Takes a line of the log. */
  read(line: string): void;
  /** The first event from `from` on that fits; null when none came in time. */
  next(from: number, fits: (event: AgentEvent) => boolean, limitMs: number): Promise<AgentEvent | null>;
}

const kinds: Readonly<Record<string, AgentEvent['kind']>> = {
  'a candidate was measured': 'measured',
  'a measuring process was killed; it is run again': 'killed',
  'the coordinator has a message of ours': 'acknowledged',
};

export function createAgentEvents(): AgentEvents {
  const all: AgentEvent[] = [];
  const waiting = new Set<() => void>();
  return {
    all,
    read(line) {
      const event = parseEvent(line);
      if (event === null) return;
      all.push(event);
      for (const look of [...waiting]) look();
    },
    next(from, fits, limitMs) {
      return new Promise((resolve) => {
        const finish = (event: AgentEvent | null): void => {
          clearTimeout(timer);
          waiting.delete(look);
          resolve(event);
        };
        const look = (): void => {
          const event = all.slice(from).find(fits);
          if (event) finish(event);
        };
        const timer = setTimeout(() => finish(null), limitMs);
        waiting.add(look);
        look();
      });
    },
  };
}

/** A kill can cut the last line; it is no event then. */
function parseEvent(line: string): AgentEvent | null {
  try {
    const { time, msg, jobId, outcome } = JSON.parse(line) as Record<string, unknown>;
    const kind = kinds[String(msg)];
    if (kind === undefined || typeof jobId !== 'string') return null;
    return {
      atMs: Date.parse(String(time)),
      kind,
      jobId,
      outcome: outcome === undefined ? null : String(outcome),
    };
  } catch {
    return null;
  }
}
