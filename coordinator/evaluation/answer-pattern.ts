/**
 * A reader of answers: the last match of `pattern` in a text (its group 1 where it has one) without
 * commas, white space and a full stop at its end, or null where nothing (but the empty text)
 * matches. Thus "#### 1,234" is "1234" under `####\s*(-?[\d,.]+)`, and so is "... so #### 1234.".
 * The pattern is a stranger's: one that backtracks without end never returns, so call it only where
 * it can be stopped.
 * @throws SyntaxError when it is no regular expression
 */
export function createAnswerPattern(pattern: string): (text: string) => string | null {
  const expression = compile(pattern);
  return (text) => {
    let last: string | null = null;
    for (const match of text.matchAll(expression)) {
      const answer = (match[1] ?? match[0]).replace(/[,\s]/g, '').replace(/\.$/, '');
      // A pattern that can match nothing does so at the end of every text: that is no answer.
      if (answer !== '') last = answer;
    }
    return last;
  };
}

function compile(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'gu');
  } catch {
    // Patterns written for other languages escape characters that the strict form does not allow.
    return new RegExp(pattern, 'g');
  }
}
