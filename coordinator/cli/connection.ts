import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CodedError } from '@fleetlora/shared/errors';
import { type Command, Option } from 'commander';
import { type ApiClient, createApiClient } from './api-client.js';
import type { CliContext } from './context.js';

export interface ConnectionOptions {
  readonly url?: string;
  readonly token?: string;
  readonly dataFolder?: string;
}

/** Heading of these options in a command's help. */
export const connectionHeading = 'Coordinator:';

/** Adds the options by which every client command finds its coordinator. */
export function withConnection(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', 'its address (FLEETLORA_URL)').helpGroup(connectionHeading))
    .addOption(new Option('--token <token>', 'admin token (FLEETLORA_TOKEN)').helpGroup(connectionHeading))
    .addOption(
      new Option(
        '--data-folder <dir>',
        'or its data folder, where both are found (FLEETLORA_DATA, else ~/.fleetlora/coordinator)',
      ).helpGroup(connectionHeading),
    );
}

/** The data folder named by the option, the environment, or the default of `fleetlora up`. */
export function dataFolderOf(options: ConnectionOptions, env: CliContext['env']): string {
  return resolve(options.dataFolder ?? env.FLEETLORA_DATA ?? join(homedir(), '.fleetlora', 'coordinator'));
}

/** Reads a small text file, null when there is none. */
async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function parseUrl(text: string, from: string): string {
  try {
    const url = new URL(text);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url.origin;
  } catch {
    // told below
  }
  throw new CodedError('BAD_USAGE', `${from} is "${text}", wanted an address such as http://127.0.0.1:7410`);
}

/**
 * Where the coordinator is and how to be let in: options first, then the environment, then the
 * files that `fleetlora up` leaves in its data folder.
 * @throws COORDINATOR_UNREACHABLE when nothing names a coordinator
 */
export async function findCoordinator(
  options: ConnectionOptions,
  env: CliContext['env'],
): Promise<{ url: string; token: string | null }> {
  const folder = dataFolderOf(options, env);
  const endpoint = join(folder, 'endpoint.json');
  let url: string;
  if (options.url !== undefined) url = parseUrl(options.url, '--url');
  else if (env.FLEETLORA_URL) url = parseUrl(env.FLEETLORA_URL, 'FLEETLORA_URL');
  else {
    const text = await readIfPresent(endpoint);
    if (text === null)
      throw new CodedError('COORDINATOR_UNREACHABLE', `no --url, no FLEETLORA_URL and no ${endpoint}`);
    url = parseUrl(String((JSON.parse(text) as { url?: unknown }).url), endpoint);
  }
  const token =
    options.token ??
    env.FLEETLORA_TOKEN ??
    (await readIfPresent(join(folder, 'admin-token')))?.trim() ??
    null;
  return { url, token };
}

/** A client of the coordinator that `options` and the environment name. */
export async function connect(context: CliContext, options: ConnectionOptions): Promise<ApiClient> {
  return createApiClient({ ...(await findCoordinator(options, context.env)), signal: context.signal });
}
