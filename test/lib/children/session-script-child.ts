import { answerParent } from '@fleetlora/agent/child';
import { entrantsOf, type SessionRequest, type SessionResult, shareOf } from '@fleetlora/agent/measure';
import { completePlan } from '@fleetlora/shared/protocol';

/** Stands in for a timing session: each prompt took 20 ms and each step 2 ms. */
answerParent(async (value): Promise<SessionResult> => {
  const request = value as SessionRequest;
  const share = shareOf(request.plan, completePlan(request.plan).sessions);
  const samples = {
    prefillMs: Array.from({ length: share.prefill }, () => 20),
    decodeMs: Array.from({ length: share.decode }, () => 2),
  };
  return {
    runtime: 'scripted',
    provider: 'cpu',
    coldLoadMs: 100,
    warmLoadMs: request.reload ? 50 : null,
    ...samples,
    shared: Array.from({ length: entrantsOf(request) }, () => samples),
  };
});
