// @ts-check
/**
 * Greedy continuations by llama.cpp: a JSON request on stdin, token ids as JSON on stdout.
 * {"entry": module, "model": FILE, "lora": FILE or null, "prompts": [[token ids], ...], "tokens": count}
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const request = JSON.parse(await text(process.stdin));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(request.entry).href);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: 1,
  logLevel: LlamaLogLevel.error,
  progressLogs: false,
});
const model = await llama.loadModel({ modelPath: request.model });
const continuations = [];
for (const prompt of request.prompts) {
  const context = await model.createContext({
    contextSize: prompt.length + request.tokens,
    batchSize: prompt.length,
    flashAttention: false,
    ...(request.lora !== null && { lora: { adapters: [{ filePath: request.lora, scale: 1 }] } }),
  });
  const found = [];
  // temperature 0 takes the likeliest token.
  for await (const token of context.getSequence().evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    found.push(token);
    if (found.length === request.tokens) break;
  }
  continuations.push(found);
  await context.dispose();
}
await model.dispose();
await llama.dispose();
process.stdout.write(JSON.stringify(continuations));
