import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout: test/dist/lib is three folders below it. */
export const checkout = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * A path inside the reference folder (FLEETLORA_REFERENCE, else ../shared beside the checkout), or
 * null when it is not there. Tests that need it are skipped with `missingReference`.
 */
export function findReference(...path: string[]): string | null {
  const found = join(process.env.FLEETLORA_REFERENCE ?? join(checkout, '..', 'shared'), ...path);
  return existsSync(found) ? found : null;
}

/** The reason to skip a test that needs a file of the reference folder; false when it is there. */
export function missingReference(...path: string[]): string | false {
  return (
    findReference(...path) === null && `the reference folder has no ${path.join('/')} (FLEETLORA_REFERENCE)`
  );
}
