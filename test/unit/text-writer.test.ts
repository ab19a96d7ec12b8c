import { createRandom } from '@fleetlora/shared/random';
import { createTextWriter, createTokenizer } from '@fleetlora/shared/text';
import t from 'tap';
import { tinyTokenizer } from '../lib/tiny-llama.js';

const tokenizer = createTokenizer(tinyTokenizer());

/** What a writer tells for each byte of a text, then at the end. */
function write(text: string, stops: readonly string[] = []) {
  const writer = createTextWriter(tokenizer, stops);
  const told = tokenizer.encode(text).map((id) => writer.push(id));
  return { told, last: writer.flush(), stopped: writer.stopped };
}

t.test('a character is told when its last byte has come [1, 2, 3 and 4 bytes]', async (t) => {
  t.same(write('aé€😀').told, ['a', '', 'é', '', '', '€', '', '', '', '😀']);
});

t.test('bytes that are no character are told as U+FFFD, once it is sure', async (t) => {
  // The first three bytes of an emoji, and then an "a".
  const broken = [...tokenizer.encode('😀').slice(0, 3), ...tokenizer.encode('a')];
  const writer = createTextWriter(tokenizer, []);
  const told = broken.map((id) => writer.push(id));
  t.same(told, ['', '', '', tokenizer.decode(broken)]);
  t.equal(told.join('').at(-1), 'a');
  const cut = createTextWriter(tokenizer, []);
  for (const id of broken.slice(0, 3)) t.equal(cut.push(id), '');
  t.equal(cut.flush(), '\ufffd', 'at the end nothing more can come');
});

t.test('the begin of a stop string is held back until it is none', async (t) => {
  t.same(write('aENx', ['END']), { told: ['a', '', '', 'ENx'], last: '', stopped: false });
  t.same(write('aENDx', ['END']), { told: ['a', '', '', '', ''], last: '', stopped: true });
  t.same(write('aEN', ['END']), { told: ['a', '', ''], last: 'EN', stopped: false });
  t.same(write('EEND', ['END']), { told: ['', 'E', '', ''], last: '', stopped: true });
  t.same(write('aab', ['aab', 'x']), { told: ['', '', ''], last: '', stopped: true });
  t.same(write('ab', ['b', 'ab']), { told: ['', ''], last: '', stopped: true }, 'the one that begins first');
  t.same(write('x😁', ['😀']).told.join(''), 'x😁', 'two emojis with the same first half');
});

t.test('pieces together are the text up to the stop string [500 random texts]', async (t) => {
  const random = createRandom(3);
  const letters = ['a', 'b', 'é', '€', '😀', '\ufffd', ' '];
  const draw = (most: number) =>
    Array.from({ length: 1 + random.below(most) }, () => letters[random.below(letters.length)]).join('');
  const wrong: unknown[] = [];
  for (let round = 0; round < 500; round++) {
    const text = draw(30);
    const stops = Array.from({ length: random.below(4) }, () => draw(3));
    const { told, last, stopped } = write(text, stops);
    const found = told.join('') + last;
    const ends = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    const whole = ends.length > 0 ? text.slice(0, Math.min(...ends)) : text;
    // Of several stop strings the one that is complete first wins, though another may begin sooner.
    const fits = stops.length > 1 ? text.startsWith(found) && found.length >= whole.length : found === whole;
    const leaks = stops.some((stop) => found.includes(stop));
    if (!fits || leaks || stopped !== ends.length > 0) wrong.push({ text, stops, told, last });
  }
  t.same(wrong, []);
});
