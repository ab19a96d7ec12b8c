/** What loads the coordinator's own machine beside measurements. */
export type HostWork = 'score' | 'train' | 'model';

/** One stretch of work on the machine. */
export interface HostTurn {
  readonly state: 'waiting' | 'begun' | 'over';
  /** Ends it, or withdraws it before it has begun. Harmless when it is over. */
  end(): void;
}

/** What a turn tells whoever asked for it; neither may throw. */
export interface TurnCalls {
  /** It begins; within `takeTurn` when nothing stands against it. */
  onBegin(): void;
  /** A measurement waits for its end. Told once, and only after it has begun. */
  onAsked?(): void;
}

/** The working side of the lease: for scoring, training and the making of models. */
export interface HostWorking {
  /** Asks for a turn. Whoever has one must not wait for another that has not begun, nor for a measurement. */
  takeTurn(work: HostWork, calls: TurnCalls): HostTurn;
  /**
   * Runs `task` as one turn.
   * @param options.atMostMs begins after this time in any case; for what a person waits for
   * @param options.signal ends the waiting, not the task; then rejects with the signal's reason
   */
  during<T>(
    work: HostWork,
    task: () => Promise<T>,
    options?: { readonly atMostMs?: number; readonly signal?: AbortSignal },
  ): Promise<T>;
}

/** What the fleet finds when it looks at the jobs of the devices on this machine. */
export interface HostJobs {
  /** One is with its device. */
  readonly running: boolean;
  /** One could be handed to its device, were the machine granted. */
  readonly wanted: boolean;
}

/** The measuring side of the lease, for the fleet. */
export interface HostMeasuring {
  /** Boot id of this machine; "" when it cannot be told, and then no device counts as one of it. */
  readonly bootId: string;
  /**
   * `granted`: the machine is kept free for a job that has yet to be sent. `running`: a job is with
   * its device. `waiting`: for the turns under way.
   */
  readonly state: 'idle' | 'waiting' | 'granted' | 'running';
  /** Kinds of the turns under way, each once. */
  workers(): HostWork[];
  /**
   * Lets the fleet look at the jobs, and brings the lease in line with what it found: a job that ran
   * and is gone has had its turn, and whoever waited for it comes before the next. Looks run one at
   * a time, so a look must not await another. When the machine is granted because of what was found,
   * `look` is called once more.
   * @param look told whether the machine is granted: then, and only then, may it hand out a job of
   *   a device on this machine. What it says must be committed.
   */
  look(look: (granted: boolean) => Promise<HostJobs>): Promise<void>;
  /** Calls the listener when a waiting measurement gets the machine. */
  onGranted(listener: () => void): () => void;
}

export interface HostLease extends HostWorking {
  readonly measuring: HostMeasuring;
}
