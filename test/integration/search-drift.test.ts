import {
  type Device,
  type Front,
  isQualifyJob,
  type Qualification,
  type Search,
  type Trial,
} from '@fleetlora/shared/protocol';
import t from 'tap';
import { searchStart } from '../lib/campaign-parts.js';
import { calmMachine, makeMeasurement } from '../lib/measurements.js';
import { enrollTestDevice, testFacts } from '../lib/test-device.js';
import { openTinyCoordinator } from '../lib/tiny-coordinator.js';

t.setTimeout(120_000);
const { agentVersion, runtime, provider, cpuModel } = testFacts;
const steady: Omit<Qualification, 'runs'> = {
  ...{ accepted: true, spreadPercent: 0, limitPercent: 5, standard: 'standard-1', threads: 1 },
  ...{ agentVersion, runtime, provider, cpuModel, machine: calmMachine, flags: [] },
};

t.test(
  'a device that is 30 % slower at its second sentinel: quarantine, a qualification, and the search ends',
  async (t) => {
    const coordinator = await openTinyCoordinator(t);
    const { call } = coordinator;
    const device = await enrollTestDevice(coordinator, { name: 'board-7' });
    const connection = await device.connect();
    t.teardown(() => connection.end());
    await connection.birth();
    const { id } = await call<Search>(
      'POST /v1/searches',
      searchStart({
        ...{ name: 'drifting', adapter: 'lora', dataset: 'rows', strategy: 'random', quality: 'loss' },
        ...{ trials: 5, scoreRows: 4, finalRows: 4, finalPoints: 1, require: [], sentinelEvery: 2 },
      }),
    );

    /** "S" for a sentinel, "t" for a trial, "Q" for a qualification, in the order they came. */
    let course = '';
    let seen: { device: Device; search: Search; front: Front } | null = null;
    while (course.replaceAll(/[^t]/g, '').length < 5) {
      const { body } = await connection.next('job');
      const { jobId } = body;
      if (isQualifyJob(body)) {
        course += 'Q';
        seen = {
          device: await call<Device>(`GET /v1/devices/${device.id}`),
          search: await call<Search>(`GET /v1/searches/${id}`),
          front: await call<Front>(`GET /v1/searches/${id}/front`),
        };
        const runs = Array.from({ length: body.runs }, () => ({ prefillMs: 20, decodeMs: 2 }));
        await connection.send('result', { jobId, outcome: 'qualified', qualification: { ...steady, runs } });
        continue;
      }
      // Only the two sentinels around the drift, and what comes behind, are told apart by place.
      course += /^(|Stt|SttSQ|SttSQStt)$/.test(course) ? 'S' : 't';
      const decodeMs = course.startsWith('SttS') ? 2.6 : 2;
      const { plan } = body;
      await connection.send('result', {
        jobId,
        outcome: 'measured',
        measurement: makeMeasurement(decodeMs, {
          plan,
          form: body.genome.startsWith('g1:m') ? 'merged' : 'unmerged',
        }),
      });
    }
    let search: Search;
    do {
      await new Promise((resolve) => setTimeout(resolve, 20));
      search = await call<Search>(`GET /v1/searches/${id}`);
    } while (search.state === 'running' || search.state === 'finalizing');
    t.match(search, { state: 'finished', reason: null, finishedTrials: 5 });
    t.equal(course, 'SttSQSttSt');

    const reason = /decode of the sentinel took 2\.00 ms, then 2\.60 ms \(\+30\.0 %\)/;
    t.match(seen, {
      device: { quarantine: { reason } },
      search: { state: 'running', reason: /^device board-7 is in quarantine until it qualifies: decode/ },
    });
    t.match(
      seen?.front.notices.filter((notice) => /quarantine|doubt/.test(notice)),
      [/^device board-7 is in quarantine: decode/, /^trials #1, #2 are in doubt/],
    );
    t.match(await call<Device>(`GET /v1/devices/${device.id}`), {
      quarantine: null,
      qualification: { accepted: true, fits: true },
    });
    const trials = await call<Trial[]>(`GET /v1/searches/${id}/trials`);
    t.same(
      trials.map(({ correction }) => correction?.decode.toFixed(2)),
      ['1.00', '1.00', '1.30', '1.30', '1.30'],
    );
  },
);
