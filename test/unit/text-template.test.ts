import { columnAsWords, parseTemplate } from '@fleetlora/shared/text';
import t from 'tap';
import { coded } from '../lib/coded.js';

const values: Readonly<Record<string, string>> = {
  text: 'Where is it?',
  category: 'card_not-arrived',
  'First Name': '{text}',
  'a|b': 'bar',
};
const fill = (template: string): string =>
  parseTemplate(template, 'prompt template').render((column) => values[column] ?? '?');

t.test('places are filled, words part at _ and -, doubled braces stand for braces', async (t) => {
  const cases: readonly [string, string][] = [
    ['Message: {text}\nIntent:', 'Message: Where is it?\nIntent:'],
    [' {category}', ' card_not-arrived'],
    [' {category|words}', ' card not arrived'],
    ['{ category | words }', 'card not arrived'],
    ['{text}{text}', 'Where is it?Where is it?'],
    ['no place', 'no place'],
    ['{{{text}}}', '{Where is it?}'],
    ['{{text}}', '{text}'],
    ['{{}}', '{}'],
    ['{a|b|words}', 'bar'],
  ];
  for (const [template, text] of cases) t.equal(fill(template), text, template);
});

t.test('a column as words, whatever its name', async (t) => {
  const template = columnAsWords('{x}', ' ');
  t.same(template.columns, ['{x}']);
  t.equal(
    template.render((column) => `${column}_y-z`),
    ' {x} y z',
  );
});

t.test('what a column holds is not read as a template again', async (t) => {
  t.equal(fill('Hello {First Name}, {text}'), 'Hello {text}, Where is it?');
});

t.test('columns are named once, in the order of their first places', async (t) => {
  t.same(parseTemplate('{b} {a|words} {b|words} {{c}}', 'x').columns, ['b', 'a']);
  t.same(parseTemplate('', 'x').columns, []);
});

t.test('a fault is named with its place, counted from 1', async (t) => {
  const cases: readonly [string, readonly (string | number)[]][] = [
    ['ab {text', ['"{" without its partner', 'character 4']],
    ['text}', ['"}" without its partner', 'character 5']],
    ['{a{b}', ['"{"', 'character 1']],
    ['{}', ['"{}" names no column', 'character 1']],
    ['{|words}', ['names no column']],
    ['{text|upper}', ['unknown form "upper"', '{column|words}']],
  ];
  for (const [template, words] of cases)
    t.throws(
      () => parseTemplate(template, 'prompt template'),
      coded('BAD_REQUEST', 'prompt template', ...words),
      template,
    );
});
