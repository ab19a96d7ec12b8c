import { Duplex, Transform, type TransformCallback } from 'node:stream';
import { limits } from '@fleetlora/shared/protocol';

/**
 * Bytes one MQTT packet may announce. Twice the largest message (plus its topic) still reaches the
 * message check, which counts and drops it and keeps the connection. More than this ends the
 * connection before a buffer grows.
 */
export const packetCeilingBytes = 2 * limits.upMessageBytes;

export class PacketTooLargeError extends Error {
  override readonly name = 'PacketTooLargeError';
}

/**
 * Follows the frames of an MQTT stream without copying them, and fails with PacketTooLargeError at
 * the header of a packet above the ceiling. The broker's own parser would hold up to 256 MB.
 * @source MQTT 3.1.1 section 2.2.3, Remaining Length
 */
export class PacketGuard extends Transform {
  /** Bytes of the present packet's body that are still to come. */
  private bodyLeft = 0;
  /** Inside a fixed header: bytes of it read so far, its length value, and the next digit's weight. */
  private headerBytes = 0;
  private length = 0;
  private weight = 1;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.bodyLeft > 0) {
        const step = Math.min(this.bodyLeft, chunk.length - at);
        this.bodyLeft -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] as number;
      if (this.headerBytes++ === 0) continue;
      this.length += (byte & 0x7f) * this.weight;
      this.weight *= 128;
      const last = byte < 0x80;
      if (this.length > packetCeilingBytes || (!last && this.headerBytes === 5)) {
        done(
          new PacketTooLargeError(
            `MQTT packet of ${this.length} bytes or more, at most ${packetCeilingBytes}`,
          ),
        );
        return;
      }
      if (!last) continue;
      this.bodyLeft = this.length;
      this.headerBytes = 0;
      this.length = 0;
      this.weight = 1;
    }
    done(null, chunk);
  }
}

/** The connection with a guard on what comes in. Either side's end or error ends both. */
export function guardPackets(connection: Duplex): Duplex {
  const guard = new PacketGuard();
  connection.pipe(guard);
  connection.once('error', (error) => guard.destroy(error));
  connection.once('close', () => guard.destroy());
  const guarded = Duplex.from({ readable: guard, writable: connection });
  guarded.once('close', () => connection.destroy());
  return guarded;
}
