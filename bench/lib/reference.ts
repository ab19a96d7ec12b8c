import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout: bench/dist/lib is three folders below it. */
export const checkout = fileURLToPath(new URL('../../../', import.meta.url));

/** A path inside the reference folder (FLEETLORA_REFERENCE, else ../shared beside the checkout), or null when it is not there. */
export function findReference(...path: string[]): string | null {
  const found = join(process.env.FLEETLORA_REFERENCE ?? join(checkout, '..', 'shared'), ...path);
  return existsSync(found) ? found : null;
}
