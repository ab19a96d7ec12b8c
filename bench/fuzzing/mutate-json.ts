import type { Random } from '@fleetlora/shared/random';

/** Texts that stand for values which a reader may not have thought of. */
const strangeTexts = [
  '-1',
  '0',
  '-0',
  '0.5',
  '1e308',
  '-1e308',
  '1e999',
  '9007199254740991',
  '9007199254740993',
  '4294967296',
  '18446744073709551616',
  'null',
  'true',
  'NaN',
  '"4"',
  '""',
  '[]',
  '{}',
  '[[]]',
  '{"toString":1}',
  '{"__proto__":{"length":1}}',
  '"__proto__"',
  '"\\ud800"',
  '"\\u0000"',
  '[null]',
  '[1e999]',
];
/** How deep the deep values are: more than any recursion survives, and less. */
const depths = [3, 100, 20_000];

const nested = (random: Random): string => {
  const depth = random.pick(depths);
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ]) as [string, string];
  // An object must hold something.
  const middle = open === '[' ? '' : '1';
  return open.repeat(depth) + middle + close.repeat(random.below(8) === 0 ? depth - 1 : depth);
};

const strange = (random: Random): string => {
  const kind = random.below(12);
  if (kind === 0) return nested(random);
  if (kind === 1) return JSON.stringify('x'.repeat(random.pick([100, 100_000])));
  return random.pick(strangeTexts);
};

/** Values of a JSON text: numbers, strings, whole flat lists and objects; keys are found as strings too. */
const TOKEN = /-?\d[\d.eE+-]*|"(?:[^"\\]|\\.)*"|\[[^[\]{}]*\]|\{[^[\]{}]*\}|true|false|null/g;
/** An entry of an object whose value is flat. */
const ENTRY =
  /"(?:[^"\\]|\\.)*":(?:-?\d[\d.eE+-]*|"(?:[^"\\]|\\.)*"|\[[^[\]{}]*\]|\{[^{}]*\}|true|false|null)/g;

const splice = (text: string, at: number, length: number, by: string): string =>
  text.slice(0, at) + by + text.slice(at + length);

type TextMutator = (text: string, random: Random) => string;

const replaceToken: TextMutator = (text, random) => {
  const found = [...text.matchAll(TOKEN)];
  if (found.length === 0) return text;
  const { index, 0: token } = random.pick(found);
  return splice(text, index, token.length, strange(random));
};

/** Another number near it, or another number of the text: offsets that overlap, counts off by one. */
const moveNumber: TextMutator = (text, random) => {
  const found = [...text.matchAll(/\d+/g)];
  if (found.length === 0) return text;
  const { index, 0: token } = random.pick(found);
  const by =
    random.below(2) === 0 ? random.pick(found)[0] : String(Number(token) + random.pick([-4, -1, 1, 4]));
  return splice(text, index, token.length, by);
};

const repeatEntry: TextMutator = (text, random) => {
  const found = [...text.matchAll(ENTRY)];
  if (found.length === 0) return text;
  const { index, 0: entry } = random.pick(found);
  const again =
    random.below(2) === 0 ? entry : entry.replace(TOKEN, (token) => (token.startsWith('"') ? token : '0'));
  return splice(text, index, 0, `${again},`);
};

const dropEntry: TextMutator = (text, random) => {
  const found = [...text.matchAll(ENTRY)];
  if (found.length === 0) return text;
  const { index, 0: entry } = random.pick(found);
  return splice(text, index, entry.length + (text[index + entry.length] === ',' ? 1 : 0), '');
};

const cutText: TextMutator = (text, random) => {
  const at = random.below(Math.max(1, text.length));
  return splice(text, at, 1 + random.below(8), '');
};

const insertText: TextMutator = (text, random) =>
  splice(
    text,
    random.below(text.length + 1),
    0,
    random.pick(['"', '{', '}', '[', ']', ',', ':', '\\', '\u0000', '\ufeff', ' ']),
  );

const mutators = [
  replaceToken,
  replaceToken,
  replaceToken,
  moveNumber,
  moveNumber,
  repeatEntry,
  dropEntry,
  cutText,
  insertText,
];

/** A JSON text after one or two changes; often no JSON any more. */
export function mutateJsonText(text: string, random: Random): string {
  let mutant = text;
  for (let changes = 1 + random.below(2); changes > 0; changes--)
    mutant = random.pick(mutators)(mutant, random);
  return mutant;
}

/** A JSON text with one value exchanged, entry doubled or left out: still JSON. */
export function mutateJsonValue(text: string, random: Random): string {
  for (let tries = 0; tries < 10; tries++) {
    const mutant = random.pick([replaceToken, replaceToken, moveNumber, repeatEntry, dropEntry])(
      text,
      random,
    );
    if (isJson(mutant)) return mutant;
  }
  return text;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
