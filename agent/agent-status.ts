import type { Conditions, PolicySet } from '@fleetlora/shared/protocol';
import type { InstallRecord } from './install/index.js';

/** What an agent tells of itself. */
export interface AgentStatus {
  readonly deviceId: string;
  readonly version: string;
  readonly connected: boolean;
  readonly lastError: string | null;
  readonly runningJobId: string | null;
  /** Messages that the coordinator has not acknowledged. */
  readonly waitingMessages: number;
  readonly droppedMessages: number;
  readonly installed: { readonly releaseId: string; readonly name: string; readonly number: number } | null;
  readonly installingReleaseId: string | null;
  /** What waits for space on this device's disk, or null. */
  readonly waitingForSpace: string | null;
  /** Whether it may measure now, and why not. */
  readonly conditions: Conditions;
  readonly policies: readonly PolicySet[];
}

/** The part that the install record tells. */
export function releasesOf(record: InstallRecord): Pick<AgentStatus, 'installed' | 'installingReleaseId'> {
  const { installed } = record;
  return {
    installed: installed && {
      releaseId: installed.releaseId,
      name: installed.name,
      number: installed.number,
    },
    installingReleaseId: record.desired?.releaseId ?? null,
  };
}
