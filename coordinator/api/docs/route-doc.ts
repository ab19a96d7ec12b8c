import type { ErrorCode } from '@fleetlora/shared/errors';

/** Groups of routes, in the order in which a newcomer meets them. */
export const tags = {
  service: 'The coordinator itself.',
  files: 'Bulk bytes, named by their SHA-256. What is imported is uploaded first.',
  models: 'Base models, super-adapters and data sets.',
  trainings: 'Training of super-adapters, in a process of its own.',
  devices: 'Enrolled devices, their labels, and when they may measure.',
  searches: 'Searches for the best sub-networks of a super-adapter on a device class.',
  releases: 'Signed packages of a chosen candidate, and their way to devices.',
  upkeep: 'What is kept for how long, and backups.',
  'device protocol': 'What agents call; people and programs do not.',
} as const;
export type Tag = keyof typeof tags;

/** What a reader is told of a route beside its schemas. */
export interface RouteDoc {
  readonly tag: Tag;
  readonly summary: string;
  readonly description: string;
  /** The commands that call it, as they are typed after `fleetlora`; none for routes of devices. */
  readonly commands: readonly string[];
  /** Parameters of the path by name. */
  readonly params?: Readonly<Record<string, string>>;
  /** Examples of the JSON body and of the answer; both fit the route's schemas. */
  readonly body?: unknown;
  readonly answer?: unknown;
  /**
   * Errors of its own, with an example of what they say: beside those that follow from who may
   * call it, from its schemas and from the store.
   */
  readonly errors?: Partial<Readonly<Record<ErrorCode, string>>>;
  /** OpenAPI objects of what no schema says: bytes instead of JSON. */
  readonly raw?: RawParts;
}

export interface RawParts {
  readonly headers?: readonly {
    readonly name: string;
    readonly description: string;
    readonly example: string;
  }[];
  readonly requestBody?: object;
  /** By status. */
  readonly responses?: Readonly<Record<string, object>>;
}

/** Type check of an example against the type of its schema. */
export const exampleOf = <T>(example: T): T => example;
