import { limits } from '@fleetlora/shared/protocol';
import { chatSourceOf, createChatTemplate, formatTime, readChatSource } from '@fleetlora/shared/text';
import t from 'tap';
import { coded } from '../lib/coded.js';

const turns = [
  { role: 'system', content: 'Be short.' },
  { role: 'user', content: 'Hi' },
  { role: 'assistant', content: 'Yes?' },
  { role: 'user', content: ' 1 + 1? ' },
] as const;
/** 26 July 2024, 13:05:09 UTC, a Friday. */
const at = Date.UTC(2024, 6, 26, 13, 5, 9);

const chatML =
  '{% for message in messages %}{% if loop.first and messages[0].role != "system" %}' +
  '<|im_start|>system\nYou help.<|im_end|>\n{% endif %}' +
  '<|im_start|>{{ message.role }}\n{{ message.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}';

t.test('ChatML, as SmolLM2 and Qwen2 have it', async (t) => {
  const template = createChatTemplate({ template: chatML, tokens: {} });
  t.equal(
    template.render(turns, at),
    '<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n' +
      '<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n',
  );
  t.equal(
    template.render([{ role: 'user', content: 'Hi' }], at),
    '<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  );
});

t.test('a template with special tokens, a date and roles that take turns, as Llama 2 and 3', async (t) => {
  const source = {
    template:
      '{{ bos_token }}{{ strftime_now("%d %b %Y") }}|{% for m in messages %}' +
      "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}" +
      '{% if m["role"] == "user" %}[INST] {{ m["content"].strip() }} [/INST]{% else %} {{ m["content"] }}{{ eos_token }}{% endif %}{% endfor %}',
    tokens: { bos_token: '<s>', eos_token: '</s>' },
  };
  const template = createChatTemplate(source);
  t.equal(
    template.render(turns.slice(1), at),
    '<s>26 Jul 2024|[INST] Hi [/INST] Yes?</s>[INST] 1 + 1? [/INST]',
  );
  t.throws(() => template.render(turns, at), coded('BAD_REQUEST', 'roles must take turns'));
});

t.test('without a template the contents are joined by newlines', async (t) => {
  t.equal(createChatTemplate(null).render(turns, at), 'Be short.\nHi\nYes?\n 1 + 1? ');
});

t.test('what a template may not do', async (t) => {
  const make = (template: string) => () => createChatTemplate({ template, tokens: {} }).render(turns, at);
  t.throws(make('{% for %}'), coded('TOKENIZER', 'not Jinja'));
  t.throws(make('{{ messages.nothing() }}'), coded('BAD_REQUEST', 'chat template'));
  t.equal(make('{{ range(4096) | length }}')(), '4096');
  t.throws(make('{{ range(4097) | length }}'), coded('BAD_REQUEST', '4096'));
  t.equal(make('{{ range(8, 0, -2) | join("") }}')(), '8642');
  const most = 4 * limits.promptCharacters;
  // 4096 times 64 characters are exactly as many as a prompt may have.
  const long = (more: string) => make(`{% for i in range(4096) %}${'x'.repeat(64)}{% endfor %}${more}`);
  t.equal(long('')().length, most);
  t.throws(long('x'), coded('BAD_REQUEST', most + 1, most));
});

t.test('where a folder has its template', async (t) => {
  const config = {
    chat_template: 'from the configuration',
    bos_token: '<s>',
    eos_token: { content: '</s>', lstrip: false },
    unk_token: null,
    model_max_length: 2048,
  };
  const tokens = { bos_token: '<s>', eos_token: '</s>' };
  t.same(readChatSource({ config, template: null }), { template: 'from the configuration', tokens });
  t.same(readChatSource({ config, template: 'a file' }), { template: 'a file', tokens });
  t.same(readChatSource({ config: null, template: 'a file' }), { template: 'a file', tokens: {} });
  const several = [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: 'plain' },
  ];
  t.match(readChatSource({ config: { chat_template: several }, template: null }), { template: 'plain' });
  t.equal(readChatSource({ config: { bos_token: '<s>' }, template: null }), null);
  t.equal(readChatSource({ config: null, template: null }), null);
  t.throws(
    () => readChatSource({ config: { chat_template: several.slice(0, 1) }, template: null }),
    coded('TOKENIZER', 'default'),
  );
  t.throws(() => readChatSource({ config: { chat_template: 7 }, template: null }), coded('TOKENIZER'));
  const long = 'x'.repeat(limits.chatTemplateCharacters);
  t.ok(readChatSource({ config: null, template: long }));
  t.throws(
    () => readChatSource({ config: null, template: `${long}x` }),
    coded('TOKENIZER', limits.chatTemplateCharacters + 1),
  );
});

t.test('what a base file records of it', async (t) => {
  t.equal(chatSourceOf({}), null);
  t.same(chatSourceOf({ chatTemplate: 'a', chatTokens: '{"bos_token":"<s>"}' }), {
    template: 'a',
    tokens: { bos_token: '<s>' },
  });
  t.same(chatSourceOf({ chatTemplate: 'a' }), { template: 'a', tokens: {} });
  for (const chatTokens of ['[1]', '{"bos_token":1}', 'null', '{'])
    t.throws(() => chatSourceOf({ chatTemplate: 'a', chatTokens }), coded('MODEL_CONFIG', chatTokens));
});

t.test('strftime', async (t) => {
  t.equal(formatTime('%A %a %d %B %b %Y %y %m', at), 'Friday Fri 26 July Jul 2024 24 07');
  t.equal(formatTime('%H:%M:%S %I %p 100%% %q', at), '13:05:09 01 PM 100% %q');
  t.equal(formatTime('%I %p', Date.UTC(2024, 0, 1)), '12 AM');
});
