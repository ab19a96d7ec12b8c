/** What stands for a word that strangers shall not read. */
const REDACTED = '…';
/** Two parts at least: "/dev/shm" is a path, "tokens/s" is none. */
const PATH = /(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}[/\\]?/g;

/**
 * A text for strangers: without paths, and without the words that name this machine or its user.
 * @param words such as the host name; shorter ones than three letters are left, they are in any text
 */
export function redact(text: string, words: readonly string[]): string {
  return words
    .filter((word) => word.length >= 3)
    .reduce((left, word) => left.replaceAll(wholeWord(word), REDACTED), text.replace(PATH, REDACTED));
}

function wholeWord(word: string): RegExp {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\p{L}\\p{N}_])${escaped}(?![\\p{L}\\p{N}_])`, 'gu');
}
