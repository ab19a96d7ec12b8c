import { execFile } from 'node:child_process';
import { readText } from '../host/index.js';

/** NetworkManager answers in milliseconds; one that hangs must not keep its askers. */
const PATIENCE_MS = 3000;

/**
 * Whether the network of the default route is metered, as NetworkManager knows or guesses it;
 * null when there is no NetworkManager, or it does not know.
 */
export async function readMetered(): Promise<boolean | null> {
  const link = defaultRouteLink((await readText('/proc/net/route')) ?? '');
  const text = await askNetworkManager();
  return text === null ? null : meteredOf(text, link);
}

/**
 * The link of the IPv4 default route with the smallest metric, or null.
 * @source linux/net/ipv4/fib_trie.c, fib_route_seq_show: Iface Destination Gateway Flags RefCnt Use Metric Mask
 */
export function defaultRouteLink(table: string): string | null {
  let best: { link: string; metric: number } | null = null;
  for (const line of table.split('\n').slice(1)) {
    const [link, destination, , flags, , , metric, mask] = line.trim().split(/\s+/);
    const isUp = (Number.parseInt(flags ?? '0', 16) & 1) === 1;
    if (!link || destination !== '00000000' || mask !== '00000000' || !isUp) continue;
    if (best === null || Number(metric) < best.metric) best = { link, metric: Number(metric) };
  }
  return best?.link ?? null;
}

/**
 * Reads `nmcli -t -f GENERAL.DEVICE,GENERAL.METERED device show`: of the link, or without one of
 * any that is metered. The values are yes, no, "yes (guessed)", "no (guessed)" and unknown.
 */
export function meteredOf(text: string, link: string | null): boolean | null {
  const known = new Map<string, boolean>();
  let device = '';
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const [field, value] = [line.slice(0, colon), line.slice(colon + 1)];
    if (field === 'GENERAL.DEVICE') device = value;
    else if (field === 'GENERAL.METERED' && /^(yes|no)\b/.test(value)) known.set(device, value[0] === 'y');
  }
  if (link !== null) return known.get(link) ?? null;
  return known.size === 0 ? null : [...known.values()].includes(true);
}

function askNetworkManager(): Promise<string | null> {
  return new Promise((resolve) => {
    const args = ['-t', '-f', 'GENERAL.DEVICE,GENERAL.METERED', 'device', 'show'];
    const options = { env: { ...process.env, LC_ALL: 'C' }, timeout: PATIENCE_MS, maxBuffer: 256 * 1024 };
    execFile('nmcli', args, options, (error, stdout) => resolve(error ? null : stdout));
  });
}
