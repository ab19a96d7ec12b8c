import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { CodedError, messageOf } from '../errors.js';
import { limits } from '../protocol/limits.js';
import { formatTime } from './format-time.js';

/** One turn of a conversation. */
export interface ChatTurn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** What a base records of its chat template; a JSON value. */
export interface ChatTemplateSource {
  /** Jinja, as in chat_template.jinja. */
  readonly template: string;
  /** Texts of special tokens that templates name: bos_token, eos_token and others. */
  readonly tokens: Readonly<Record<string, string>>;
}

export interface ChatTemplate {
  /**
   * The prompt that makes the model write the next assistant turn. It may hold special tokens as
   * text; tokenizers read them as such.
   * @param nowMs what the template's `strftime_now` tells
   * @throws BAD_REQUEST when the template refuses the conversation or makes too much of it
   */
  render(turns: readonly ChatTurn[], nowMs: number): string;
}

/** Longest `range` of a template: no conversation has more turns. */
const MAX_RANGE = 4096;
/** Characters a prompt may have after rendering: the frame of each turn comes on top. */
const MAX_PROMPT_CHARACTERS = 4 * limits.promptCharacters;

/**
 * Parses a chat template. A base without one (`null`) gets the turns' contents joined by newlines.
 *
 * Rendering runs a program that came with a model, so it has no access to anything but the
 * conversation; it is not limited in time, which is the caller's part.
 * @throws TOKENIZER when it is not Jinja
 */
export function createChatTemplate(source: ChatTemplateSource | null): ChatTemplate {
  if (source === null)
    return { render: (turns) => checkLength(turns.map(({ content }) => content).join('\n')) };
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(source.template, { lstrip_blocks: true, trim_blocks: true }));
  } catch (cause) {
    throw new CodedError('TOKENIZER', `the chat template is not Jinja: ${shorten(cause)}`, { cause });
  }
  return {
    render(turns, nowMs) {
      const environment = new Environment();
      const globals = {
        ...source.tokens,
        ...constants,
        range,
        raise_exception,
        strftime_now: (format: string) => formatTime(format, nowMs),
        messages: turns,
        add_generation_prompt: true,
      };
      for (const [name, value] of Object.entries(globals)) environment.set(name, value);
      let text: unknown;
      try {
        text = new Interpreter(environment).run(program).value;
      } catch (cause) {
        throw new CodedError(
          'BAD_REQUEST',
          `the model's chat template does not take these messages: ${shorten(cause)}`,
          { cause },
        );
      }
      return checkLength(String(text));
    },
  };
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null };

function raise_exception(message: unknown): never {
  throw new Error(String(message));
}

/** Python's, but bounded: a template must not fill the memory. */
function range(first: number, end?: number, step = 1): number[] {
  const [from, to] = end === undefined ? [0, first] : [first, end];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!Number.isSafeInteger(length) || length > MAX_RANGE)
    throw new Error(`range(${from}, ${to}, ${step}) is longer than ${MAX_RANGE}`);
  return Array.from({ length }, (_, i) => from + i * step);
}

function checkLength(text: string): string {
  if (text.length > MAX_PROMPT_CHARACTERS)
    throw new CodedError(
      'BAD_REQUEST',
      `the messages make a prompt of ${text.length} characters, at most ${MAX_PROMPT_CHARACTERS} are allowed`,
    );
  return text;
}

const shorten = (error: unknown): string => messageOf(error).slice(0, 300);
