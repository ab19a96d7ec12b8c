import { join } from 'node:path';
import { type Arm64Cpu, arm64Cpus, findArm64Boards } from './lib/arm64-boards.js';
import { atLeast, atMost, type Bench, type Check, holds, skip } from './lib/bench.js';
import { compareLogits, type LogitDistance } from './lib/compare-logits.js';
import { type BoardVisit, visitBoard } from './lib/visit-board.js';

/**
 * Most a float32 logit of a board may differ from this machine's. Instruction sets sum in other
 * orders; ours and PyTorch's logits differ by up to 2e-3 on one and the same processor.
 */
export const logitTolerance = 2e-3;
/** Baselines of the space, both forms among them. */
const LEAST_TRIALS = 4;

/** What is true of a visit that went well, each with a sentence that says what. */
export function judgeVisit({ facts, trials, search, rollout, answers }: BoardVisit): Record<string, boolean> {
  const measured = trials.flatMap(({ measurement, genome }) =>
    measurement ? [{ measurement, genome }] : [],
  );
  const onBoard = rollout.devices.find(({ name }) => name === 'agent');
  return {
    'enrolled as arm64': facts.arch === 'arm64',
    'known to be emulated': facts.emulated === true,
    'search finished, every candidate measured':
      search.state === 'finished' && measured.length === trials.length && measured.length >= LEAST_TRIALS,
    'candidates of one shape compared in one job': measured.some(
      ({ measurement }) => measurement.batch !== undefined,
    ),
    'both forms measured': ['g1:u:', 'g1:m:'].every((form) =>
      measured.some(({ genome }) => genome.startsWith(form)),
    ),
    'every figure flagged emulated':
      measured.length > 0 && measured.every(({ measurement }) => measurement.flags?.includes('emulated')),
    'release installed, health prompts answered as expected':
      rollout.state === 'succeeded' &&
      onBoard?.state === 'succeeded' &&
      onBoard.healthy !== null &&
      onBoard.healthy > 0 &&
      onBoard.healthy === onBoard.checked,
    'served answers equal': answers.every(({ native, board }) => native !== '' && board === native),
  };
}

/**
 * Boards of linux/arm64 without hardware: agents under user-mode emulation of two processors
 * enrol with a coordinator of this machine, measure, install and serve.
 */
export const arm64Proof: Bench = {
  name: 'proof:arm64',
  summary: 'emulated arm64 boards enrol, measure, install and serve; logits beside this processor',
  options: { cpu: `one of ${arm64Cpus.join(', ')} (all; the first with --quick)` },
  async run({ quick, options, workFolder, say }) {
    const found = findArm64Boards();
    if (typeof found === 'string') return skip(found);
    const wanted = options.cpu ?? (quick ? arm64Cpus[0] : undefined);
    const boards = found.filter(({ cpu }) => wanted === undefined || cpu === wanted);
    if (boards.length === 0)
      return skip(`--cpu ${wanted} is not known, wanted one of ${arm64Cpus.join(', ')}`);
    const rows: string[][] = [];
    const checks: Check[] = [];
    for (const board of boards) {
      const startedMs = performance.now();
      const visit = await visitBoard(board, join(workFolder, board.cpu), say);
      const seconds = (performance.now() - startedMs) / 1000;
      const judged = judgeVisit(visit);
      checks.push(...Object.entries(judged).map(([name, passed]) => holds(`${board.cpu}: ${name}`, passed)));
      rows.push(rowOf(board.cpu, visit, seconds));
    }
    say('logits of float32 sub-networks');
    const distances = await compareLogits(boards, workFolder);
    checks.push(...distances.flatMap(checksOf));
    return {
      figures: { logits: distances.map((distance) => ({ ...distance })) },
      table: {
        columns: ['board', 'processor told', 'measured', 'flags', 'installed', 'answers equal', 'seconds'],
        rows,
      },
      checks,
    };
  },
};

function rowOf(cpu: Arm64Cpu, { facts, trials, rollout, answers }: BoardVisit, seconds: number): string[] {
  const measured = trials.flatMap(({ measurement }) => (measurement ? [measurement] : []));
  const flags = new Set(measured.flatMap((measurement) => measurement.flags ?? []));
  const device = rollout.devices.find(({ name }) => name === 'agent');
  return [
    cpu,
    facts.cpuModel,
    `${measured.length} of ${trials.length}`,
    [...flags].sort().join(', ') || 'none',
    device ? `${device.state}, ${device.healthy} of ${device.checked} health prompts` : 'no',
    `${answers.filter(({ native, board }) => native === board).length} of ${answers.length}`,
    seconds.toFixed(0),
  ];
}

function checksOf({ cpu, candidates, largest, sameToken }: LogitDistance): Check[] {
  return [
    atLeast(`${cpu}: candidates compared`, candidates, 1),
    atMost(`${cpu}: largest difference of a logit`, largest, logitTolerance),
    holds(`${cpu}: same likeliest token of each`, sameToken === candidates),
  ];
}
