import { messageOf } from '@fleetlora/shared/errors';

/** One question to the device and what came back. */
export interface Answer {
  readonly query: string;
  readonly expected: string;
  /** The completion, or in parentheses why there is none. */
  readonly answer: string;
}

/** A row of the demo's data. */
export interface Row {
  readonly prompt: string;
  readonly completion: string;
}

/** The prompt without its frame, in one line: "Definition: a dog\nCategory:" → "a dog". */
export function queryOf(row: Row): string {
  const [first = ''] = row.prompt.split('\n');
  return first.replace(/^[A-Z][a-z]+: /, '');
}

/** Asks the device's own completion endpoint, greedily. */
export async function askDevice(
  serveUrl: string | null,
  rows: readonly Row[],
  signal: AbortSignal,
): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const row of rows) {
    const answer =
      serveUrl === null ? '(the device serves nothing yet)' : await complete(serveUrl, row.prompt, signal);
    answers.push({ query: queryOf(row), expected: row.completion.trim(), answer });
  }
  return answers;
}

async function complete(serveUrl: string, prompt: string, signal: AbortSignal): Promise<string> {
  try {
    const response = await fetch(new URL('/v1/completions', serveUrl), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt, max_tokens: 12, temperature: 0 }),
      signal,
    });
    const body = (await response.json()) as {
      choices?: { text?: string }[];
      error?: { message?: string };
      message?: string;
    };
    if (!response.ok) return `(${body.error?.message ?? body.message ?? `HTTP ${response.status}`})`;
    return (body.choices?.[0]?.text ?? '').trim();
  } catch (error) {
    signal.throwIfAborted();
    return `(${messageOf(error)})`;
  }
}
