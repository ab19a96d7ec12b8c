import { JobResult, KeptMeasurement, parseAs } from '@fleetlora/shared/protocol';
import t from 'tap';
import { coded } from '../lib/coded.js';
import { measurement } from '../lib/test-fleet.js';

const withSamples = (count: number) => ({
  ...measurement,
  decode: { ...measurement.decode, samplesMs: Array(count).fill(1) },
});

t.test('a kept measurement may have lost its samples (0 to 1,024), a device must send 1 to 1,024', (t) => {
  const kept = (count: number) => () => parseAs(KeptMeasurement, withSamples(count), 'kept');
  const sent = (count: number) => () =>
    parseAs(
      JobResult,
      { jobId: 'job_0123456789', outcome: 'measured', measurement: withSamples(count) },
      'sent',
    );
  for (const count of [0, 1, 1024]) t.doesNotThrow(kept(count));
  t.throws(kept(1025), coded('MESSAGE_MALFORMED', 'samplesMs'));
  for (const count of [1, 1024]) t.doesNotThrow(sent(count));
  for (const count of [0, 1025]) t.throws(sent(count), coded('MESSAGE_MALFORMED'));
  t.end();
});
