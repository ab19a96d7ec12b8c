import { CodedError } from '../errors.js';

/**
 * The merges of a SentencePiece BPE vocabulary, in the order in which they are tried: every pair of
 * tokens that together are a token, by the score of that token from the highest down.
 * SentencePiece itself has no list of merges: it joins whatever neighbours make the token of the
 * highest score, which comes to the same.
 * @param vocab tokens with their ids
 * @param scores by id
 * @throws TOKENIZER when a score is NaN
 * @source SentencePiece, bpe_model.cc; transformers 5.17, SentencePieceExtractor
 */
export function spmMerges(
  vocab: ReadonlyMap<string, number>,
  scores: ArrayLike<number>,
): [left: string, right: string][] {
  const merges: { left: string; right: string; score: number }[] = [];
  for (const [token, id] of vocab) {
    const score = scores[id] as number;
    if (Number.isNaN(score))
      throw new CodedError('TOKENIZER', `the score of token ${id} is NaN, wanted a number`);
    const pairs: typeof merges = [];
    // By code points: half a surrogate pair is no token.
    let at = 0;
    for (const character of token) {
      at += character.length;
      const left = token.slice(0, at);
      const right = token.slice(at);
      if (vocab.has(left) && vocab.has(right)) pairs.push({ left, right, score });
    }
    // Of several ways to the same token, the one over the older tokens.
    const idOf = (text: string): number => vocab.get(text) as number;
    merges.push(...pairs.sort((a, b) => idOf(a.left) - idOf(b.left) || idOf(a.right) - idOf(b.right)));
  }
  // Sorting is stable, so ways to one token stay together in their order.
  return merges.sort((a, b) => b.score - a.score).map(({ left, right }) => [left, right]);
}
