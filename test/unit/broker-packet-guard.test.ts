import { buffer } from 'node:stream/consumers';
import { PacketGuard, packetCeilingBytes } from '@fleetlora/coordinator/broker';
import t from 'tap';

/** A PUBLISH of QoS 0 whose Remaining Length is `length`. */
function packet(length: number): Buffer {
  const header = [0x30];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    header.push(rest >= 128 ? (rest % 128) | 0x80 : rest);
    if (rest < 128) break;
  }
  return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 7)]);
}

/** What comes out when the bytes go in, cut into pieces of `size`. */
async function pass(bytes: Buffer, size: number): Promise<Buffer> {
  const guard = new PacketGuard();
  const out = buffer(guard);
  for (let at = 0; at < bytes.length; at += size) guard.write(bytes.subarray(at, at + size));
  guard.end();
  return out;
}

t.test(
  'packets of 0, 1, 127, 128, 16,383, 16,384 bytes and the ceiling pass, however they are cut',
  async (t) => {
    const small = Buffer.concat([0, 1, 127, 128, 1].map(packet));
    for (const size of [1, 2, 3, 100])
      t.ok((await pass(small, size)).equals(small), `in pieces of ${size} bytes`);
    const large = Buffer.concat([16_383, 0, 16_384, packetCeilingBytes, 5].map(packet));
    for (const size of [1000, 65_536, large.length])
      t.ok((await pass(large, size)).equals(large), `in pieces of ${size} bytes`);
  },
);

t.test('one byte above the ceiling does not pass, and not even its header', async (t) => {
  const header = packet(packetCeilingBytes + 1).subarray(0, 4);
  await t.rejects(pass(header, 1), { name: 'PacketTooLargeError' });
  await t.rejects(pass(Buffer.concat([packet(5), header]), 100), { name: 'PacketTooLargeError' });
});

t.test('a length of more than four digits does not pass', async (t) => {
  // [MQTT-2.2.3]: at most four bytes. Zeros with continuation bits would never grow beyond the ceiling.
  await t.rejects(pass(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), 1), {
    name: 'PacketTooLargeError',
  });
});
