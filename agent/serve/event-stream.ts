import type { ServerResponse } from 'node:http';

/** Server-sent events to one client. */
export interface EventStream {
  /** Sends one event; resolves when the client may be sent another, at once when it is gone. */
  send(data: string): Promise<void>;
  end(): void;
}

/**
 * Begins an answer of server-sent events. A client that takes nothing for `stalledAfterMs` is cut
 * off: the model must not wait for it any longer.
 * @source WHATWG HTML, "Server-sent events", 9.2.6
 */
export function openEventStream(response: ServerResponse, stalledAfterMs: number): EventStream {
  // Without a listener a client that hangs up while we write would end the process.
  response.on('error', () => {});
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    // A proxy that collects the answer would undo the streaming.
    'x-accel-buffering': 'no',
  });
  return {
    async send(data) {
      if (response.destroyed || response.write(`data: ${data}\n\n`)) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => response.destroy(), stalledAfterMs);
        const done = (): void => {
          clearTimeout(timer);
          response.off('drain', done).off('close', done);
          resolve();
        };
        response.on('drain', done).on('close', done);
      });
    },
    end() {
      response.end();
    },
  };
}
