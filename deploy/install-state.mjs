// @ts-check
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, link?: boolean, dev?: boolean, devOptional?: boolean }} LockedPackage
 * @typedef {{ packages?: Record<string, LockedPackage> }} Lockfile
 */

/** @param {string} path @returns {Lockfile | null} */
function readLockfile(path) {
  if (!existsSync(path)) return null;
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Why `npm ci` has to run in `root`, or null when node_modules holds exactly the lockfile's
 * packages. Compares the lockfile with the one npm leaves inside node_modules; packages for other
 * platforms are optional there and may be absent.
 * @param {string} root
 * @returns {string | null}
 */
export function reasonToInstall(root) {
  const locked = readLockfile(join(root, 'package-lock.json'));
  if (!locked?.packages) return 'package-lock.json is missing or unreadable';
  const installed = readLockfile(join(root, 'node_modules', '.package-lock.json'));
  if (!installed?.packages) return 'node_modules is missing';
  for (const [path, wanted] of Object.entries(locked.packages)) {
    if (!path.includes('node_modules')) continue;
    const found = installed.packages[path];
    if (!found) {
      if (wanted.optional || wanted.devOptional) continue;
      return `${path} is not installed`;
    }
    if (found.version !== wanted.version)
      return `${path} is ${found.version}, the lockfile has ${wanted.version}`;
  }
  return null;
}
