import { redact } from '@fleetlora/agent/qualify';
import t from 'tap';

for (const [text, words, wanted] of [
  ['cannot open /home/alice/.fleetlora/agent/scratch/base', [], 'cannot open …'],
  ['cannot open "/tmp/x/base": EACCES', [], 'cannot open "…": EACCES'],
  ['cannot open C:\\Users\\alice\\agent', [], 'cannot open …'],
  ['cannot open ~/agent/content', [], 'cannot open …'],
  ['12 tokens/s, and/or less', [], '12 tokens/s, and/or less'],
  ['linux 6.6.31+rpt-rpi-v8', ['kitchen', 'alice'], 'linux 6.6.31+rpt-rpi-v8'],
  ['linux 6.5.0-alice-2', ['kitchen', 'alice'], 'linux 6.5.0-…-2'],
  ['alice at kitchen.lan, not malice', ['kitchen', 'alice'], '… at ….lan, not malice'],
  ['a word with (its) own.signs', ['own.signs', '(its)'], 'a word with … …'],
  // In any text: a two-letter name is left.
  ['linux 6.6.31+rpt-rpi-v8', ['v8', ''], 'linux 6.6.31+rpt-rpi-v8'],
] as const)
  t.test(`"${text}" for strangers, names ${JSON.stringify(words)}`, async (t) => {
    t.equal(redact(text, words), wanted);
  });
