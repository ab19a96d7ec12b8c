import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import type { Test } from 'tap';

/** A TCP relay in front of a server whose connections can be cut at chosen moments. */
export interface CutProxy {
  readonly port: number;
  /**
   * When a client next sends bytes that contain `text`: `before` cuts the connection instead of
   * passing them on, `after` passes them on and cuts when the server has answered, whose answer is
   * lost. Resolves once it has cut.
   */
  cutAt(text: string, when: 'before' | 'after'): Promise<void>;
  /** Cuts clients off; the server does not notice, as when the network is gone. */
  abandonServer(): void;
  /** From now on nothing is passed on, either way, and nothing is closed: as when the server hangs. */
  freeze(): void;
  /** Connections made so far. */
  connections(): number;
}

export async function runCutProxy(t: Test, target: { host: string; port: number }): Promise<CutProxy> {
  let plan: { text: string; when: 'before' | 'after'; done: () => void } | null = null;
  let count = 0;
  let frozen = false;
  const pairs = new Set<{ client: Socket; server: Socket }>();
  // A server that hangs does not answer a farewell either.
  const listener = createServer({ allowHalfOpen: true }, (client) => {
    count++;
    const server = dial(target.port, target.host);
    const pair = { client, server };
    pairs.add(pair);
    let loseAnswer: (() => void) | null = null;
    const cut = (done: () => void): void => {
      plan = null;
      client.destroy();
      server.destroy();
      done();
    };
    client.on('data', (chunk) => {
      if (frozen) return;
      if (plan?.text !== undefined && chunk.includes(plan.text)) {
        const { when, done } = plan;
        if (when === 'before') return cut(done);
        loseAnswer = done;
      }
      server.write(chunk);
    });
    server.on('data', (chunk) => {
      if (frozen) return;
      if (loseAnswer !== null) return cut(loseAnswer);
      client.write(chunk);
    });
    client.on('end', () => {
      if (!frozen) client.end();
    });
    client.on('error', () => {});
    server.on('error', () => {});
    client.on('close', () => {
      if (pairs.delete(pair)) server.destroy();
    });
    server.on('close', () => client.destroy());
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const abandoned: Socket[] = [];
  t.teardown(() => {
    listener.close();
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
    for (const socket of abandoned) socket.destroy();
  });
  const address = listener.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cutAt: (text, when) =>
      new Promise((resolve) => {
        plan = { text, when, done: resolve };
      }),
    abandonServer() {
      for (const pair of [...pairs]) {
        pairs.delete(pair);
        abandoned.push(pair.server);
        pair.server.removeAllListeners('close');
        pair.client.destroy();
      }
    },
    freeze() {
      frozen = true;
    },
    connections: () => count,
  };
}
