import { readFile } from 'node:fs/promises';

/** Process ids of the living children of a process whose command line holds `word`; Linux only. */
export async function findChildren(parent: number, word: string): Promise<number[]> {
  const text = await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '');
  const found: number[] = [];
  for (const pid of text.split(' ').filter(Boolean)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(word)) found.push(Number(pid));
  }
  return found;
}

/** Waits until a child with `word` in its command line lives, and sends it SIGKILL. */
export async function killChild(parent: number, word: string): Promise<number> {
  for (;;) {
    const [pid] = await findChildren(parent, word);
    if (pid === undefined) await new Promise(setImmediate);
    else {
      process.kill(pid, 'SIGKILL');
      return pid;
    }
  }
}
