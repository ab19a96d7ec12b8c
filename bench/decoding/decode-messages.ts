/**
 * What a program that decodes is asked, over its parent's channel. Every program is asked the same: the
 * prompt of a length is the beginning of that of every greater one.
 */
export type DecodeAsk =
  /**
   * The time of `tokens` tokens, each appended and the next one chosen, after `kv` tokens of the prompt,
   * which are filled in or cut back to first, untimed. Token kv + 1 of the prompt is the first appended.
   */
  | { readonly kind: 'decode'; readonly kv: number; readonly tokens: number }
  /** The time from a prompt to its first token. */
  | { readonly kind: 'prefill'; readonly tokens: number };

export interface DecodeAnswer {
  readonly ms: number;
  /** The chosen tokens. */
  readonly ids: readonly number[];
}

/** What our program is started with. */
export interface OurDecoderSpec {
  readonly folder: string;
  readonly base: string;
  readonly adapter: string | null;
  /** Canonical text; null for the base alone. */
  readonly genome: string | null;
  readonly threads: number;
  /** Tokens a run. */
  readonly chunk: number;
}

/** What a peer's program is started with. */
export interface PeerSpec {
  /** Path of the peer's module. */
  readonly entry: string;
  /** A file, or a folder, as the peer loads it. */
  readonly model: string;
  readonly lora: string | null;
  readonly threads: number;
}

/** A prompt of so many tokens; every token is a valid one of a vocabulary above 40,000. */
export function promptOf(length: number): number[] {
  return Array.from({ length }, (_, i) => 2 + ((i * 7919) % 40_000));
}
