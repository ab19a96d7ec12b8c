import { CodedError, isCoded } from '@fleetlora/shared/errors';
import type { TextAnswer, TextRequest } from './generate-text.js';
import type { ModelProcess } from './model-process.js';
import type { ServingActivity } from './serving-activity.js';

/** A model that can be served, and be opened again should its process die. */
export interface ModelSource {
  readonly name: string;
  open(): Promise<ModelProcess>;
}

export interface SlotAnswer extends TextAnswer {
  readonly model: string;
}

/** A `PieceFollower` that is told which model speaks. */
export interface SlotFollower {
  readonly signal?: AbortSignal;
  readonly onPiece?: (piece: string, model: string) => Promise<void>;
}

/**
 * The place of the one model that is served. With no release in it, the base alone answers, and
 * is loaded by the first request that wants it.
 */
export interface ModelSlot {
  /** @throws NOTHING_INSTALLED when there is neither a release nor a base */
  complete(request: TextRequest, follower?: SlotFollower): Promise<SlotAnswer>;
  /** Serves this model from now on; requests under way are finished by the old one. */
  switchTo(source: ModelSource, process: ModelProcess | null): void;
  /** Loads what is in the slot, if it is not loaded. */
  load(): Promise<void>;
  /** Name of what would answer now; null when nothing would. */
  model(): Promise<string | null>;
  isLoaded(): boolean;
  close(): Promise<void>;
}

export interface ModelSlotDoors {
  readonly activity: ServingActivity;
  /** The base to serve while no release is installed. */
  readonly findBase: () => Promise<ModelSource | null>;
  readonly onRetireError: (error: unknown) => void;
}

interface Occupant {
  readonly source: ModelSource;
  process: Promise<ModelProcess> | null;
}

export function createModelSlot(doors: ModelSlotDoors): ModelSlot {
  let release: Occupant | null = null;
  let base: Occupant | null = null;
  let closed = false;
  const retiring = new Set<Promise<void>>();

  async function occupant(): Promise<Occupant> {
    if (release) return release;
    const found = await doors.findBase();
    // A release may have come while the base was looked for.
    if (release) return release;
    if (!found)
      throw new CodedError(
        'NOTHING_INSTALLED',
        'no release is installed and no base has been downloaded yet',
      );
    if (base?.source.name !== found.name) {
      if (base) retire(base);
      base = { source: found, process: null };
    }
    return base;
  }

  async function processOf(place: Occupant): Promise<ModelProcess> {
    for (;;) {
      if (closed) throw new CodedError('STATE_CONFLICT', 'the agent is stopping');
      place.process ??= openInto(place);
      const mine = place.process;
      const process = await mine;
      if (process.alive) return process;
      // It died since: whoever sees that first lets the next look open another.
      if (place.process === mine) place.process = null;
    }
  }

  function openInto(place: Occupant): Promise<ModelProcess> {
    const opening = place.source.open();
    opening.catch(() => {
      if (place.process === opening) place.process = null;
    });
    return opening;
  }

  function retire(place: Occupant): void {
    const done = (place.process ?? Promise.resolve(null))
      .then((process) => process?.close())
      .catch(doors.onRetireError)
      .finally(() => retiring.delete(done));
    retiring.add(done);
  }

  async function completeNow(
    request: TextRequest,
    { signal, onPiece }: SlotFollower = {},
  ): Promise<SlotAnswer> {
    for (;;) {
      const place = await occupant();
      const process = await processOf(place);
      try {
        const follower = { signal, onPiece: onPiece && ((piece: string) => onPiece(piece, process.name)) };
        return { ...(await process.complete(request, follower)), model: process.name };
      } catch (error) {
        // Replaced between the look and the call: the next one is in the slot already.
        const replaced = isCoded(error, 'STATE_CONFLICT') && place !== release && place !== base;
        if (!replaced) throw error;
      }
    }
  }

  return {
    complete: (request, follower) => doors.activity.during(() => completeNow(request, follower)),
    switchTo(source, process) {
      const old = [release, base];
      release = { source, process: process && Promise.resolve(process) };
      base = null;
      for (const place of old) if (place) retire(place);
    },
    async load() {
      if (release) await processOf(release);
    },
    async model() {
      return (release ?? base)?.source.name ?? (await doors.findBase())?.name ?? null;
    },
    isLoaded: () => Boolean((release ?? base)?.process),
    async close() {
      closed = true;
      for (const place of [release, base]) if (place) retire(place);
      await Promise.all(retiring);
    },
  };
}
