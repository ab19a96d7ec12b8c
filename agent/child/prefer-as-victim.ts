import { writeFile } from 'node:fs/promises';

/**
 * Makes this process the first that the kernel kills when memory runs out, so that a greedy
 * candidate costs its own process and not the agent. Raising the score needs no privilege.
 * @param score 0 (like any other) to 1000 (before all others)
 * @source Linux proc(5), /proc/PID/oom_score_adj
 */
export async function preferAsVictim(score: number): Promise<void> {
  await writeFile('/proc/self/oom_score_adj', String(score)).catch(() => {
    // Not Linux: the system decides by its own rules.
  });
}
