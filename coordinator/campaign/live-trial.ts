import { decodeGenome, encodeGenome, type Genome, shapeOf } from '@fleetlora/shared/space';
import type { StoredTrial } from './ports.js';

/** A trial at work. */
export interface LiveTrial {
  stored: StoredTrial;
  readonly genome: Genome;
  /** The genome whatever its form: what the cheap score is of, since a form changes nothing but rounding. */
  readonly network: string;
  /** What it shares with the candidates that it can be compared with in one job; null for merged ones. */
  readonly shape: string | null;
  /** A batch with it came to nothing: its next job is its own. */
  alone: boolean;
  /** A job is with a device, or is being handed over. */
  busy: boolean;
  jobId: string | null;
  /** How the device side ended; null while that is open. */
  end: { readonly state: 'finished' | 'infeasible' | 'failed' } | null;
  readonly failedDevices: string[];
}

export function liven(trial: StoredTrial): LiveTrial {
  const genome = decodeGenome(trial.genome);
  const ended = trial.state !== 'pending' ? trial.state : trial.measurement ? 'finished' : null;
  return {
    stored: trial,
    genome,
    network: encodeGenome({ ...genome, form: 'unmerged' }),
    // A merged candidate is weights of its own: it shares no session.
    shape: genome.form === 'unmerged' ? shapeOf(genome) : null,
    alone: false,
    busy: false,
    jobId: null,
    end: ended && { state: ended },
    failedDevices: [],
  };
}

/** The strategy waits for its end. */
export const isPending = ({ stored }: LiveTrial): boolean => stored.toldSequence === null;
/** Not with a device, and not measured. */
export const isOpen = (live: LiveTrial): boolean => isPending(live) && !live.busy && live.end === null;
