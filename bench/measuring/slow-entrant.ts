import type { Runtime, Tensor } from '@fleetlora/shared/runtime';

/**
 * A runtime whose shared sessions run one entrant slower by a known share: after each of its runs
 * the processor is kept busy, with nothing in memory touched, for that share of what the run took.
 *
 * Entrants are told apart by their own LoRA factors, and numbered as they first run: the warm-up
 * of a session runs them in the order of the job. Sessions without such inputs are left alone.
 */
export function slowEntrant(
  runtime: Runtime,
  entrant: number,
  share: number,
  nowMs: () => number = () => performance.now(),
): Runtime {
  return {
    ...runtime,
    async createSession(graph, options) {
      const session = await runtime.createSession(graph, options);
      const factors: Tensor[] = [];
      let input: string | undefined;
      return {
        ...session,
        async run(feeds, fetches, kept = []) {
          const beginMs = nowMs();
          const results = await session.run(feeds, fetches, kept);
          const tookMs = nowMs() - beginMs;
          const inputs: Record<string, Tensor> = Object.assign({}, ...kept);
          input ??= Object.keys(inputs).find((name) => /^layers\..*\.A$/.test(name));
          const factor = input === undefined ? undefined : inputs[input];
          if (factor === undefined) return results;
          if (!factors.includes(factor)) factors.push(factor);
          if (factors.indexOf(factor) === entrant) {
            const untilMs = beginMs + tookMs * (1 + share);
            while (nowMs() < untilMs);
          }
          return results;
        },
      };
    },
  };
}
