/** A figure's value in the JSON file. */
export type FigureValue =
  | number
  | string
  | boolean
  | null
  | readonly FigureValue[]
  | { readonly [name: string]: FigureValue };

/** One statement of a proof, with what was found and what is wanted of it. */
export interface Check {
  readonly name: string;
  readonly found: string;
  readonly wanted: string;
  readonly passed: boolean;
}

export interface BenchResult {
  /** Set when the bench could not run for lack of data: nothing is proven, nothing has failed. */
  readonly skipped?: string;
  readonly figures: Readonly<Record<string, FigureValue>>;
  /** What reads best side by side. */
  readonly table?: { readonly columns: readonly string[]; readonly rows: readonly (readonly string[])[] };
  /** Empty for a bench that only measures. */
  readonly checks: readonly Check[];
}

export interface BenchInput {
  /** Under a minute. */
  readonly quick: boolean;
  /** The bench's own options, as given; absent ones are undefined. */
  readonly options: Readonly<Record<string, string | undefined>>;
  /** A folder of its own that is removed afterwards. */
  readonly workFolder: string;
  /** One line of talk on stderr. */
  say(text: string): void;
}

export interface Bench {
  readonly name: string;
  readonly summary: string;
  /** Own options by name, each with its explanation; all take a value. */
  readonly options: Readonly<Record<string, string>>;
  run(input: BenchInput): Promise<BenchResult>;
}

/** The check that a figure is at most `limit`. */
export function atMost(name: string, found: number, limit: number, unit = ''): Check {
  // NaN passes no comparison, so a figure that could not be computed fails.
  return {
    name,
    found: `${shorten(found)}${unit}`,
    wanted: `at most ${limit}${unit}`,
    passed: found <= limit,
  };
}

/** The check that a statement holds. */
export function holds(name: string, found: boolean): Check {
  return { name, found: String(found), wanted: 'true', passed: found };
}

/** The check that a count is at least `limit`: a comparison of nothing proves nothing. */
export function atLeast(name: string, found: number, limit: number): Check {
  return { name, found: String(found), wanted: `at least ${limit}`, passed: found >= limit };
}

const shorten = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

/** A run that could not happen for lack of data. */
export function skip(reason: string): BenchResult {
  return { skipped: reason, figures: {}, checks: [] };
}
