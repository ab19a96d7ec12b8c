import { join } from 'node:path';
import type { CliContext } from '../context.js';
import type { Processes } from './processes.js';

export interface DemoOptions {
  readonly keep: boolean;
  readonly reportFile: string | null;
  /** Steps to train live, null to use the adapter that is there. */
  readonly trainSteps: number | null;
  readonly trials: number;
  readonly adapterFolder: string;
  readonly spaceFile: string;
  /** JSONL rows to score on in place of the demo's own. */
  readonly dataFile: string | null;
  readonly json: boolean;
}

/** A demo that runs. */
export interface Demo {
  readonly context: CliContext;
  readonly options: DemoOptions;
  readonly folder: string;
  readonly processes: Processes;
  readonly tell: (text: string) => void;
}

/** Data folders of its two processes. */
export const coordinatorFolder = (demo: Demo): string => join(demo.folder, 'coordinator');
export const agentFolder = (demo: Demo): string => join(demo.folder, 'agent');
