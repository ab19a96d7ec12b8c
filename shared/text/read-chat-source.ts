import { CodedError } from '../errors.js';
import { limits } from '../protocol/limits.js';
import type { ChatTemplateSource } from './chat-template.js';

/**
 * The chat template of a Hugging Face folder: `chat_template.jinja`, else the `chat_template` of
 * tokenizer_config.json (of several, the one named "default"), with the special tokens that the
 * latter names. Null when there is none.
 * @param files `config` is the JSON value of tokenizer_config.json; null for a missing file
 * @throws TOKENIZER when one is there that cannot be one
 */
export function readChatSource(files: {
  readonly config: unknown;
  readonly template: string | null;
}): ChatTemplateSource | null {
  const config = (typeof files.config === 'object' && files.config !== null ? files.config : {}) as Readonly<
    Record<string, unknown>
  >;
  const template = files.template ?? templateOf(config.chat_template);
  if (template === null) return null;
  if (template.length > limits.chatTemplateCharacters)
    throw new CodedError(
      'TOKENIZER',
      `the chat template has ${template.length} characters, at most ${limits.chatTemplateCharacters} are allowed`,
    );
  const tokens: Record<string, string> = {};
  for (const name of tokenNames) {
    const text = tokenText(config[name]);
    if (text !== null) tokens[name] = text;
  }
  return { template, tokens };
}

/** Special tokens that transformers hands to templates. */
const tokenNames = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token'] as const;
const MAX_TOKEN_CHARACTERS = 256;

function templateOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  const found = Array.isArray(value)
    ? (value as { name?: unknown; template?: unknown }[]).find((entry) => entry?.name === 'default')?.template
    : value;
  if (typeof found === 'string') return found;
  throw new CodedError(
    'TOKENIZER',
    'tokenizer_config.json has a chat_template that is neither a text nor a list with one named "default"',
  );
}

/** A token is written as its text, or as an object that says more about it. */
function tokenText(value: unknown): string | null {
  const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
  return typeof text === 'string' && text.length <= MAX_TOKEN_CHARACTERS ? text : null;
}

/**
 * The chat template that a base file records, null when it has none.
 * @throws MODEL_CONFIG when what it records cannot be one
 */
export function chatSourceOf(baseMetadata: Readonly<Record<string, string>>): ChatTemplateSource | null {
  const { chatTemplate: template, chatTokens = '{}' } = baseMetadata;
  if (template === undefined) return null;
  try {
    const tokens = JSON.parse(chatTokens) as unknown;
    if (
      typeof tokens === 'object' &&
      tokens !== null &&
      Object.values(tokens).every((t) => typeof t === 'string')
    )
      return { template, tokens: tokens as Record<string, string> };
  } catch {
    // told below
  }
  throw new CodedError(
    'MODEL_CONFIG',
    `the base records chatTokens ${chatTokens.slice(0, 80)}, wanted an object of texts`,
  );
}
