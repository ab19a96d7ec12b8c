import { once } from 'node:events';
import type { Code, Device, Progress } from '@fleetlora/shared/protocol';
import { qualificationLimitPercent } from '@fleetlora/shared/protocol';
import t from 'tap';
import { runAgentCommand, startAgentProcess } from '../lib/agent-process.js';
import { until } from '../lib/old-folders.js';
import { runCoordinator, temporaryFolder } from '../lib/running-coordinator.js';

t.setTimeout(300_000);

t.test(
  'a new device is asked at its birth: its agent measures five times and says how steady it is',
  async (t) => {
    const coordinator = await runCoordinator(t, { config: { qualify: 'atBirth' } });
    const { code, enrollUrl } = await coordinator.call<Code>('POST /v1/codes', {});
    const data = await temporaryFolder(t);
    t.equal((await runAgentCommand(['enroll', enrollUrl, code, '--data', data])).code, 0);
    const { child } = await startAgentProcess(t, data);
    const steps = new Map<Progress['step'], number>();
    const totals = new Set<number>();
    const [device] = await until(
      () => coordinator.call<Device[]>('GET /v1/devices'),
      ([each]) => {
        const { step, done = 0, of = 0 } = each?.progress ?? {};
        if (step !== undefined) steps.set(step, Math.max(steps.get(step) ?? 0, done));
        if (step === 'timing') totals.add(of);
        return each !== undefined && (each.qualification !== null || each.qualifyFailure !== null);
      },
    );
    const { qualification, qualifyFailure, runningJobId, facts } = device ?? {};
    t.equal(runningJobId, null);
    t.ok(qualification, qualifyFailure ?? '');
    t.ok(steps.has('timing'), [...steps].join(' '));
    t.same([...totals], [5], 'it tells how far it is');
    t.match(qualification, {
      fits: true,
      limitPercent: qualificationLimitPercent,
      provider: facts?.provider,
    });
    t.equal(qualification?.runs.length, 5);
    // This machine is shared with other tests: whether it is steady is not for them to say.
    t.equal(qualification?.accepted, (qualification?.spreadPercent ?? 0) <= qualificationLimitPercent);
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
    const isOff = ([each]: readonly Device[]): boolean => each?.online === false;
    const [absent] = await until(() => coordinator.call<Device[]>('GET /v1/devices'), isOff);
    t.match(absent, { qualification: { fits: true } });
  },
);
