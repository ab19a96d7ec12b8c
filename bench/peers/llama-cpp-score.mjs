// @ts-check
/**
 * llama.cpp over a GGUF file: how likely it finds texts, how it goes on with prompts, and the tokens
 * it makes of a text. A ScoreTask as JSON on stdin, a ScoreAnswer as JSON on stdout.
 */
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

/**
 * @typedef {object} ScoreTask
 * @property {string} entry module of node-llama-cpp
 * @property {string} model path of a GGUF file
 * @property {number} threads
 * @property {string[]} texts to be made tokens, special ones by their names
 * @property {{ ids: number[], from: number }[]} windows positions `from` on are predicted
 * @property {number[][]} prompts
 * @property {number} answerTokens
 *
 * @typedef {object} ScoreAnswer
 * @property {number[][]} tokens
 * @property {number[]} nlls of the predicted tokens of each window together, nats
 * @property {number[][]} answers greedy
 */

/** @type {ScoreTask} */
const task = JSON.parse(await text(process.stdin));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(task.entry).href);

const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: task.threads,
  logLevel: LlamaLogLevel.error,
  progressLogs: false,
});
const model = await llama.loadModel({ modelPath: task.model });
const longest = Math.max(
  16,
  ...task.windows.map(({ ids }) => ids.length),
  ...task.prompts.map((ids) => ids.length + task.answerTokens),
);
const context = await model.createContext({
  contextSize: longest + 8,
  batchSize: longest + 8,
  threads: task.threads,
});
const sequence = context.getSequence();

const tokens = task.texts.map((text) => [...model.tokenize(text, true)]);

/**
 * Of each token from position `from` on minus the logarithm of its probability after all before it.
 * The greedy choice has the largest logit, to which the weights are relative; `includeMax` would
 * add that one only where it is among the tokens asked for.
 */
const nlls = [];
for (const { ids, from } of task.windows) {
  await sequence.clearHistory();
  const asked = ids.slice(0, -1).map((id, i) => {
    if (i + 1 < from) return id;
    const logits = { filter: { tokens: [ids[i + 1]], includeSelected: true } };
    return [id, { generateNext: { logits, totalLogitWeight: true, confidence: true } }];
  });
  const results = await sequence.controlledEvaluate(asked);
  let nll = 0;
  for (let i = from - 1; i < ids.length - 1; i++) {
    const { logits, totalLogitWeight, confidence } = results[i].next;
    const largest = Math.max(...logits.values());
    // The likeliest token has the weight 1, so this holds only where it is the one that was chosen.
    if (!(Math.abs(confidence * totalLogitWeight - 1) < 1e-4))
      throw new Error(
        `position ${i}: the chosen token has weight ${confidence * totalLogitWeight}, wanted 1`,
      );
    nll += largest + Math.log(totalLogitWeight) - logits.get(ids[i + 1]);
  }
  nlls.push(nll);
}

const answers = [];
for (const prompt of task.prompts) {
  await sequence.clearHistory();
  const answer = [];
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    answer.push(token);
    if (answer.length === task.answerTokens) break;
  }
  answers.push(answer);
}

await context.dispose();
await model.dispose();
await llama.dispose();
process.stdout.write(JSON.stringify({ tokens, nlls, answers }));
