import type { ChatTemplateSource } from '../../text/chat-template.js';
import { type ExportFile, jsonFile } from './export-file.js';

/** A base's tokenizer, under way to an export. */
export interface ExportTokenizer {
  /** tokenizer.json as it was imported. */
  readonly bytes: Uint8Array;
  /** Its JSON value. */
  readonly json: unknown;
  readonly chat: ChatTemplateSource | null;
  readonly stopIds: readonly number[];
}

/** tokenizer.json, and the tokenizer_config.json that stock tools want beside it. */
export function tokenizerFiles(
  tokenizer: ExportTokenizer,
  options: { readonly folder: string; readonly positions: number },
): ExportFile[] {
  const { chat, stopIds } = tokenizer;
  const end = stopIds[0] === undefined ? null : textOf(tokenizer.json, stopIds[0]);
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: options.positions,
    clean_up_tokenization_spaces: false,
    ...(end !== null && { eos_token: end, pad_token: end }),
    ...chat?.tokens,
    ...(chat && { chat_template: chat.template }),
  };
  return [
    { path: `${options.folder}tokenizer.json`, write: (sink) => sink.write(tokenizer.bytes) },
    jsonFile(`${options.folder}tokenizer_config.json`, config),
  ];
}

/** The text of a token in a tokenizer.json, or null. */
function textOf(json: unknown, id: number): string | null {
  const { added_tokens: added, model } = json as {
    added_tokens?: readonly { id?: unknown; content?: unknown }[] | null;
    model?: { vocab?: Readonly<Record<string, unknown>> };
  };
  const special = added?.find((token) => token.id === id)?.content;
  if (typeof special === 'string') return special;
  return Object.entries(model?.vocab ?? {}).find(([, value]) => value === id)?.[0] ?? null;
}
