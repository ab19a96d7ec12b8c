import { chatSourceOf } from '@fleetlora/shared/text';
import { readTensorFile } from '@fleetlora/shared/weights';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { openModels, tinyBaseFiles } from '../lib/open-models.js';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const template = '{% for m in messages %}{{ bos_token }}{{ m.content }}{% endfor %}';

t.test('a base carries the chat template of its folder, and one without is as before', async (t) => {
  const { catalog, content, upload } = await openModels(t);
  const sourceOf = async (digest: string) => {
    const source = await content.open(digest);
    const { metadata } = await readTensorFile(source);
    await source.close();
    return { chat: chatSourceOf(metadata), keys: Object.keys(metadata) };
  };
  const files = await upload(tinyBaseFiles());
  const plain = await catalog.importBase({ name: 'plain', files });
  const { chat, keys } = await sourceOf(plain.digest);
  t.equal(chat, null);
  t.same(
    keys.filter((key) => key.startsWith('chat')),
    [],
  );

  const config = { bos_token: '<s>', chat_template: template };
  const withConfig = await upload({ ...tinyBaseFiles(), 'tokenizer_config.json': config });
  const first = await catalog.importBase({ name: 'first', files: withConfig });
  t.same((await sourceOf(first.digest)).chat, { template, tokens: { bos_token: '<s>' } });
  t.not(first.digest, plain.digest);

  const withFile = await upload({
    ...tinyBaseFiles(),
    'tokenizer_config.json': { bos_token: '<s>' },
    'chat_template.jinja': text(template),
  });
  const second = await catalog.importBase({ name: 'second', files: withFile });
  t.equal(second.digest, first.digest, 'the same template, the same file');

  const without = await upload({ ...tinyBaseFiles(), 'tokenizer_config.json': { bos_token: '<s>' } });
  t.equal((await catalog.importBase({ name: 'third', files: without })).digest, plain.digest);
});

t.test('a template that no device could use is refused', async (t) => {
  const { catalog, upload } = await openModels(t);
  const attempt = async (files: Record<string, unknown>) =>
    catalog.importBase({ name: 'x', files: await upload({ ...tinyBaseFiles(), ...files }) });
  await t.rejects(attempt({ 'tokenizer_config.json': text('{') }), coded('TOKENIZER', 'not JSON'));
  await t.rejects(attempt({ 'chat_template.jinja': text('{% for %}') }), coded('TOKENIZER', 'not Jinja'));
  await t.rejects(
    attempt({ 'chat_template.jinja': Uint8Array.of(0xff) }),
    coded('TOKENIZER', 'chat_template.jinja', 'UTF-8'),
  );
  await t.rejects(
    attempt({ 'chat_template.jinja': text('{{ raise_exception("never") }}') }),
    coded('TOKENIZER', 'never', 'without it the base can be imported'),
  );
  t.same(await catalog.listBases(), []);
});
