import { CodedError, type ErrorCode, messageOf } from '@fleetlora/shared/errors';

/** What a person can do about an error, where the message alone does not say. */
const advice: Partial<Record<ErrorCode, string>> = {
  COORDINATOR_UNREACHABLE: 'start one with `fleetlora up`, or name it with --url or FLEETLORA_URL',
  UNAUTHENTICATED: 'pass --token or set FLEETLORA_TOKEN; `fleetlora up` printed the token at its first start',
  FORBIDDEN: 'use the admin token of this coordinator',
  PORT_IN_USE: 'stop what listens there, or choose another port (--port, --mqtt-port; 0 takes any free one)',
  FOLDER_IN_USE: 'another coordinator runs on this folder; stop it or choose another with --data',
  ADAPTER_OTHER_BASE: 'name the base that the adapter was trained on with --base',
  DATA_LINE:
    'mend that line or leave it out; without templates every row has the texts "prompt" and "completion"',
  DATA_COLUMN: 'name columns of the file with --prompt-template, --completion-template and --label-column',
  SCORER_INVALID:
    'try the pattern or the module on a few answers first; `fleetlora dataset import --help` says what it gets',
  SPACE_INVALID: 'a space is a preset name or a JSON file; README.md shows one',
  TOKENIZER: 'a chat template that is at fault can be left out with --no-chat-template',
  DEVICE_OFFLINE: '`fleetlora devices` shows who is connected',
  NODE_TOO_OLD: 'install a current Node.js from https://nodejs.org',
};

/** One line: code, what was found and wanted, what to do. Causes are left to the logs. */
export function explainError(error: unknown): string {
  if (!(error instanceof CodedError)) return `fleetlora: BUG: ${messageOf(error)}`;
  const hint = advice[error.code];
  return `fleetlora: ${error.code}: ${error.message}${hint ? `. To do: ${hint}` : ''}`.replaceAll('\n', ' ');
}

/** 2 for a command used wrongly, 1 for one that failed. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return error instanceof CodedError && error.code === 'BAD_USAGE' ? 2 : 1;
}
