import { CodedError } from '../errors.js';

/** A text with places for the columns of a row, ready to be filled. */
export interface TextTemplate {
  /** Columns it names, each once, in the order of their first places. */
  readonly columns: readonly string[];
  /** Fills the places. @param textOf text of a column; may throw for one that the row lacks */
  render(textOf: (column: string) => string): string;
}

/** The template of one column as words, whatever braces its name has, after `before`. */
export function columnAsWords(column: string, before: string): TextTemplate {
  return { columns: [column], render: (textOf) => before + toWords(textOf(column)) };
}

type Piece = string | { readonly column: string; readonly asWords: boolean };

/**
 * Reads a template: `{column}` stands for the column's text, `{column|words}` for the same with `_`
 * and `-` as spaces, `{{` and `}}` for braces.
 * @param what names the template in messages: "prompt template"
 * @throws BAD_REQUEST naming the place: a brace without its partner, no name, an unknown form
 */
export function parseTemplate(text: string, what: string): TextTemplate {
  const pieces: Piece[] = [];
  // A doubled brace, a place, or a brace that is neither; everything between is literal.
  const token = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
  let end = 0;
  for (const match of text.matchAll(token)) {
    const [found, inside] = match;
    const broken = (reason: string): CodedError =>
      new CodedError(
        'BAD_REQUEST',
        `${what}: ${reason} at character ${match.index + 1}, ` +
          'wanted {column} or {column|words}; {{ and }} stand for braces',
      );
    pieces.push(text.slice(end, match.index));
    end = match.index + found.length;
    if (inside !== undefined) pieces.push(parsePlace(inside, broken));
    else if (found.length === 2) pieces.push(found.slice(1));
    else throw broken(`"${found}" without its partner`);
  }
  pieces.push(text.slice(end));
  const places = pieces.filter((piece) => typeof piece !== 'string');
  return {
    columns: [...new Set(places.map(({ column }) => column))],
    render: (textOf) =>
      pieces
        .map((piece) => {
          if (typeof piece === 'string') return piece;
          const value = textOf(piece.column);
          return piece.asWords ? toWords(value) : value;
        })
        .join(''),
  };
}

function parsePlace(inside: string, broken: (reason: string) => CodedError): Piece {
  const bar = inside.lastIndexOf('|');
  const column = (bar < 0 ? inside : inside.slice(0, bar)).trim();
  const form = bar < 0 ? null : inside.slice(bar + 1).trim();
  if (column === '') throw broken(`"{${inside}}" names no column`);
  if (form !== null && form !== 'words') throw broken(`"{${inside}}" has the unknown form "${form}"`);
  return { column, asWords: form !== null };
}

/** "card_arrival" as "card arrival": words that a tokenizer knows. */
function toWords(text: string): string {
  return text.replace(/[_-]+/g, ' ').trim();
}
