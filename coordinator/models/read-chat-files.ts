import { CodedError, isCoded } from '@fleetlora/shared/errors';
import { type FileContentStore, runInTime } from '@fleetlora/shared/node';
import { limits } from '@fleetlora/shared/protocol';
import { type ChatTemplateSource, createChatTemplate, readChatSource } from '@fleetlora/shared/text';
import { jsonCeilings, readStoredJson, readStoredText } from './stored-files.js';

/** A real template renders a turn in under a millisecond; this is for slow boards and odd ones. */
const RENDER_TIMEOUT_MS = 2000;

/**
 * The chat template among the uploaded files of a base, null when there is none. It is tried on one
 * user message, so that a template no device could use is refused here.
 * @throws TOKENIZER
 */
export async function readChatFiles(
  store: FileContentStore,
  /** Of tokenizer_config.json and chat_template.jinja. */
  work: { readonly tokenizerConfigDigest: string | null; readonly chatTemplateDigest: string | null },
): Promise<ChatTemplateSource | null> {
  const { tokenizerConfigDigest, chatTemplateDigest } = work;
  const source = readChatSource({
    config:
      tokenizerConfigDigest === null
        ? null
        : await readStoredJson(store, tokenizerConfigDigest, 'tokenizer_config.json', {
            ceiling: jsonCeilings.tokenizerConfig,
            code: 'TOKENIZER',
          }),
    template:
      chatTemplateDigest === null
        ? null
        : await readStoredText(store, chatTemplateDigest, 'chat_template.jinja', {
            // A character has at most four bytes; the characters are counted after reading.
            ceiling: 4 * limits.chatTemplateCharacters,
            code: 'TOKENIZER',
          }),
  });
  return checkChatSource(source);
}

/** Tries a template on one user message. @throws TOKENIZER when no device could use it */
export function checkChatSource(source: ChatTemplateSource | null): ChatTemplateSource | null {
  if (source === null) return null;
  const template = createChatTemplate(source);
  try {
    const turns = [{ role: 'user', content: 'Hello' }] as const;
    runInTime(() => template.render(turns, 0), RENDER_TIMEOUT_MS, 'the chat template');
  } catch (cause) {
    if (!isCoded(cause, 'BAD_REQUEST')) throw cause;
    throw new CodedError(
      'TOKENIZER',
      `the chat template cannot render one user message (${cause.message}); without it the base can be imported`,
      { cause },
    );
  }
  return source;
}
