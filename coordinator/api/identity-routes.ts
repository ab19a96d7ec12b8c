import {
  Challenge,
  ChallengeRequest,
  Code,
  CodeCreate,
  Enroll,
  Enrolled,
  Health,
  Session,
  SessionRequest,
} from '@fleetlora/shared/protocol';
import type { ApiDomains } from './ports.js';
import { type ApiScope, answers, creates, routeOf } from './route.js';

/** Codes, enrolment and sessions; and the one route that asks for nothing, health. */
export function addIdentityRoutes(api: ApiScope, { identity, health, urls }: ApiDomains): void {
  const { enrolment, sessions, releaseKey } = identity;
  api.route({
    ...routeOf('health'),
    schema: { response: answers(Health) },
    handler: () => health(),
  });
  api.route({
    ...routeOf('createCode'),
    schema: { body: CodeCreate, response: creates(Code) },
    handler: async ({ body }, reply) => {
      const code = await enrolment.createCode(body);
      return reply.code(201).send({ ...code, enrollUrl: urls().url });
    },
  });
  api.route({
    ...routeOf('enroll'),
    schema: { body: Enroll, response: creates(Enrolled) },
    handler: async ({ body }, reply) => {
      const { id: deviceId, deviceClass } = await enrolment.enroll(body);
      const { mqttUrl } = urls();
      return reply.code(201).send({ deviceId, deviceClass, mqttUrl, releaseKey: releaseKey.publicKey });
    },
  });
  api.route({
    ...routeOf('challenge'),
    schema: { body: ChallengeRequest, response: answers(Challenge) },
    handler: async ({ body }) => sessions.challenge(body.deviceId),
  });
  api.route({
    ...routeOf('openSession'),
    schema: {
      body: SessionRequest,
      response: answers(Session),
    },
    handler: ({ body }) => sessions.open(body),
  });
}
