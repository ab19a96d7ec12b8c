import { readdir } from 'node:fs/promises';
import {
  Conditions,
  describePolicy,
  describeReadings,
  explainConditions,
  type PolicySet,
  parseAs,
} from '@fleetlora/shared/protocol';
import type { Command } from 'commander';
import { dataFolderOf } from '../../config.js';
import { type DataFolder, describeDataFolder, folderHolder, readJsonFile } from '../../folder/index.js';
import { readDeviceRecord } from '../../identity/index.js';
import { openInstallStore } from '../../install/index.js';
import { readPolicyFile } from '../../policy/index.js';
import { readKeptQualification } from '../../qualify/index.js';
import type { CommandContext } from '../command-context.js';
import { pairs } from '../printer.js';
import { formatVerdict } from '../render-figures.js';

interface Status {
  readonly dataFolder: string;
  readonly enrolled: boolean;
  readonly deviceId: string | null;
  readonly deviceClass: string | null;
  readonly url: string | null;
  /** Process id of the agent that runs on this folder. */
  readonly pid: number | null;
  readonly serveUrl: string | null;
  readonly connected: boolean | null;
  readonly runningJobId: string | null;
  readonly waitingMessages: number;
  readonly installed: { readonly releaseId: string; readonly name: string; readonly number: number } | null;
  readonly installingReleaseId: string | null;
  readonly waitingForSpace: string | null;
  /** What the running agent senses, and whether it may measure. */
  readonly conditions: Conditions | null;
  /** Whether this device was steady when it was last asked; null when it was not asked. */
  readonly qualification: {
    readonly accepted: boolean;
    readonly spreadPercent: number;
    readonly keptAtMs: number;
  } | null;
  /** In force while it runs, and again when it starts. */
  readonly policies: readonly PolicySet[];
}

export function addStatus(program: Command, { printer, env }: CommandContext): void {
  program
    .command('status')
    .summary('show what this device is and does')
    .description('Reads the data folder, and asks the agent that runs on it, if one does.')
    .option('--data <folder>', 'data folder')
    .option('--json', 'print it as JSON')
    .addHelpText(
      'after',
      `
Examples:
  fleetlora-agent status
  fleetlora-agent status --json | jq .connected`,
    )
    .action(async (options: { data?: string; json?: boolean }) => {
      const folder = describeDataFolder(dataFolderOf(options.data, env));
      printer.data(options.json, await readStatus(folder), render);
    });
}

async function readStatus(folder: DataFolder): Promise<Status> {
  const record = await readDeviceRecord(folder);
  const { installed, desired } = (await openInstallStore(folder.installFile)).record;
  const pid = await folderHolder(folder.lock);
  const serveUrl = pid === null ? null : await readServeUrl(folder);
  const live = serveUrl === null ? null : await askHealth(serveUrl);
  const kept = await readKeptQualification(folder.qualificationFile);
  const outbox = await readdir(folder.outbox).catch(() => []);
  return {
    dataFolder: folder.root,
    enrolled: record !== null,
    deviceId: record?.deviceId ?? null,
    deviceClass: record?.deviceClass ?? null,
    url: record?.url ?? null,
    pid,
    serveUrl,
    connected: typeof live?.connected === 'boolean' ? live.connected : null,
    runningJobId: typeof live?.runningJobId === 'string' ? live.runningJobId : null,
    waitingMessages: outbox.filter((name) => name.endsWith('.json')).length,
    installed: installed && {
      releaseId: installed.releaseId,
      name: installed.name,
      number: installed.number,
    },
    installingReleaseId: desired?.releaseId ?? null,
    waitingForSpace: typeof live?.waitingForSpace === 'string' ? live.waitingForSpace : null,
    conditions: parseConditions(live?.conditions),
    qualification: kept && {
      accepted: kept.qualification.accepted,
      spreadPercent: kept.qualification.spreadPercent,
      keptAtMs: kept.keptAtMs,
    },
    policies: (await readPolicyFile(folder.policyFile)).policies,
  };
}

async function readServeUrl(folder: DataFolder): Promise<string | null> {
  const endpoint = (await readJsonFile(folder.endpointFile)) as { url?: unknown } | null;
  return typeof endpoint?.url === 'string' ? endpoint.url : null;
}

async function askHealth(serveUrl: string): Promise<Record<string, unknown> | null> {
  try {
    const response = await fetch(`${serveUrl}/health`, { signal: AbortSignal.timeout(3000) });
    return (await response.json()) as Record<string, unknown>;
  } catch {
    return null;
  }
}

/** Null for an agent that does not run, or is of a release that tells them otherwise. */
function parseConditions(value: unknown): Conditions | null {
  try {
    return parseAs(Conditions, value, 'conditions');
  } catch {
    return null;
  }
}

function render(status: Status): string {
  const { conditions, policies, qualification } = status;
  const { installed } = status;
  const running = status.pid === null ? 'not running' : `running, process id ${status.pid}`;
  const line = status.connected === null ? '' : status.connected ? ', connected' : ', not connected';
  return pairs([
    ['device', status.deviceId ?? 'not enrolled'],
    ['class', status.deviceClass ?? '-'],
    ['coordinator', status.url ?? '-'],
    ['agent', `${running}${line}`],
    ['serves at', status.serveUrl ?? '-'],
    [
      'release',
      installed ? `${installed.name} (number ${installed.number}, ${installed.releaseId})` : 'none',
    ],
    ['installing', status.installingReleaseId ?? '-'],
    ['job', status.runningJobId ?? '-'],
    [
      'steadiness',
      qualification === null
        ? 'not known; `fleetlora-agent qualify` finds out'
        : `${formatVerdict(qualification)} between runs (${new Date(qualification.keptAtMs).toISOString().slice(0, 10)})`,
    ],
    ['may measure', conditions === null ? '-' : sayMayMeasure(conditions)],
    ['senses', conditions === null ? '-' : describeReadings(conditions)],
    ...policies.map(
      ({ scope, policy }) => ['policy', `${scope.kind} ${scope.name}: ${describePolicy(policy)}`] as const,
    ),
    ['unacknowledged', `${status.waitingMessages} messages`],
    ...(status.waitingForSpace === null ? [] : [['disk', status.waitingForSpace] as const]),
    ['data folder', status.dataFolder],
  ]);
}

function sayMayMeasure(conditions: Conditions): string {
  const reason = explainConditions(conditions);
  return reason === null ? 'yes' : `no: ${reason}`;
}
