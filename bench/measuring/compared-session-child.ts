/**
 * A session child as the agent's own, but for what the environment asks: a candidate that is made
 * slower by a known share, rounds in a fixed order, and a file that every raw sample goes to.
 */
import { appendFileSync } from 'node:fs';
import { answerParent, preferAsVictim } from '@fleetlora/agent/child';
import { runSession, type SessionRequest, sessionRandom } from '@fleetlora/agent/measure';
import { systemClock } from '@fleetlora/shared/clock';
import { createNodeRuntime } from '@fleetlora/shared/node';
import { readSessionTwist } from './session-twist.js';
import { slowEntrant } from './slow-entrant.js';

answerParent(async (value) => {
  await preferAsVictim(1000);
  const request = value as SessionRequest;
  const { slowed, slowedBy, order, file } = readSessionTwist();
  const runtime = slowEntrant(createNodeRuntime(), slowed, slowedBy);
  const drawn = sessionRandom(request.batch?.seed ?? 0, request.session);
  const random = order === 'fixed' ? { ...drawn, shuffle: <T>(items: readonly T[]) => [...items] } : drawn;
  const result = await runSession(request, runtime, systemClock, random);
  appendFileSync(file, `${JSON.stringify({ session: request.session, result })}\n`);
  return result;
});
