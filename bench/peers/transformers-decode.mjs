// @ts-check
/**
 * Decodes with transformers.js as it is asked to: a program of its own that knows nothing of ours. Its
 * argument is a PeerSpec, its messages are those of bench/decoding/decode-messages.ts.
 */
import { basename, dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

const { entry, model: folder, threads } = JSON.parse(process.argv[2] ?? '');
const { AutoModelForCausalLM, BaseStreamer, Tensor, env } = await import(pathToFileURL(entry).href);
env.allowRemoteModels = false;
env.localModelPath = dirname(folder);
const model = await AutoModelForCausalLM.from_pretrained(basename(folder), {
  session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
});

/** Takes the time of every token. */
class Watch extends BaseStreamer {
  /** @type {number[]} */
  times = [];
  /** @type {number[]} */
  ids = [];
  /** @param {bigint[][]} value the prompt first, then a token at a time */
  put([tokens = []]) {
    this.times.push(performance.now());
    this.ids.push(Number(tokens.at(-1)));
  }
  end() {}
}

/**
 * @param {number} length of the prompt
 * @param {number} tokens to write
 */
async function write(length, tokens) {
  const prompt = BigInt64Array.from({ length }, (_, i) => BigInt(2 + ((i * 7919) % 40_000)));
  const dims = [1, length];
  const streamer = new Watch();
  const startedMs = performance.now();
  await model.generate({
    inputs: new Tensor('int64', prompt, dims),
    attention_mask: new Tensor('int64', new BigInt64Array(length).fill(1n), dims),
    max_new_tokens: tokens,
    min_new_tokens: tokens,
    do_sample: false,
    eos_token_id: [],
    streamer,
  });
  // The first entry is the prompt.
  return { times: [startedMs, ...streamer.times.slice(1)], ids: streamer.ids.slice(1) };
}

process.on('message', async (/** @type {any} */ ask) => {
  if (ask.kind === 'prefill') {
    const { times, ids } = await write(ask.tokens, 1);
    process.send?.({ ms: Number(times[1]) - Number(times[0]), ids });
    return;
  }
  // Its cache cannot be kept from call to call: the prompt comes first, and its time is left out. The
  // token that ends the prompt's run is chosen by it, so that all that follow are single ones.
  const { times, ids } = await write(ask.kv + 1, ask.tokens + 1);
  process.send?.({ ms: Number(times.at(-1)) - Number(times[1]), ids: ids.slice(0, ask.tokens) });
});
process.on('disconnect', () => process.exit(0));
process.send?.('loaded');
