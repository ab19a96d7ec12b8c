import { type DestinationStream, destination, type Logger, pino, stdSerializers } from 'pino';
import type { LogLevel } from './config.js';

const STDERR = 2;

/** JSON lines on stderr (or the given stream); what would let somebody in is left out of them. */
export function createLogger(level: LogLevel, stream: DestinationStream = destination(STDERR)): Logger {
  const secrets = ['token', 'adminToken', 'password', 'authorization'];
  return pino(
    {
      level,
      redact: [...secrets, ...secrets.map((name) => `*.${name}`), '*.headers.authorization'],
      serializers: { err: stdSerializers.err, error: stdSerializers.err },
    },
    stream,
  );
}
