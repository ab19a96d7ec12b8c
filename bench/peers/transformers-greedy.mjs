// @ts-check
/**
 * Greedy continuations by transformers.js: a JSON request on stdin, token ids as JSON on stdout.
 * {"entry": module, "folder": parent of the model's folder, "name": of that, "prompts": [[token ids], ...],
 * "tokens": count}
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(await text(process.stdin));
const { AutoModelForCausalLM, AutoTokenizer, Tensor, env } = await import(pathToFileURL(request.entry).href);
env.allowRemoteModels = false;
env.localModelPath = request.folder;
const model = await AutoModelForCausalLM.from_pretrained(request.name);
// Loading it is part of what is shown; prompts come as ids, so that models alone are compared.
await AutoTokenizer.from_pretrained(request.name);
const continuations = [];
for (const prompt of request.prompts) {
  const dims = [1, prompt.length];
  const ids = new Tensor('int64', BigInt64Array.from(prompt, BigInt), dims);
  const mask = new Tensor('int64', new BigInt64Array(prompt.length).fill(1n), dims);
  const options = { max_new_tokens: request.tokens, min_new_tokens: request.tokens, do_sample: false };
  const out = await model.generate({ inputs: ids, attention_mask: mask, eos_token_id: [], ...options });
  continuations.push(Array.from(out.data, Number).slice(prompt.length));
}
await model.dispose();
process.stdout.write(JSON.stringify(continuations));
