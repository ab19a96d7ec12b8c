import { CodedError } from '@fleetlora/shared/errors';
import type { routes } from '@fleetlora/shared/protocol';
import type { FastifyRequest } from 'fastify';
import type { Identity } from '../identity/index.js';

/** Who may call a route: `person` shows the admin token, `device` the token of a session. */
export type Access = 'anyone' | 'person' | 'personOrDevice';

/** Every route has its entry here, so none is open by an oversight. */
export const accessOf: Readonly<Record<keyof typeof routes, Access>> = {
  health: 'anyone',
  upload: 'person',
  artifact: 'personOrDevice',
  importBase: 'person',
  listBases: 'person',
  quantiseBase: 'person',
  pruneBase: 'person',
  importAdapter: 'person',
  listAdapters: 'person',
  exportAdapter: 'person',
  tuneAdapter: 'person',
  mergeAdapter: 'person',
  importDataset: 'person',
  listDatasets: 'person',
  showDataset: 'person',
  startTraining: 'person',
  listTrainings: 'person',
  showTraining: 'person',
  stopTraining: 'person',
  createCode: 'person',
  enroll: 'anyone',
  challenge: 'anyone',
  openSession: 'anyone',
  listDevices: 'person',
  showDevice: 'person',
  setLabels: 'person',
  qualifyDevice: 'person',
  listPolicies: 'person',
  setPolicy: 'person',
  removePolicy: 'person',
  startSearch: 'person',
  listSearches: 'person',
  showSearch: 'person',
  listTrials: 'person',
  showFront: 'person',
  stopSearch: 'person',
  compareTrials: 'person',
  createRelease: 'person',
  listReleases: 'person',
  showRelease: 'person',
  startRollout: 'person',
  listRollouts: 'person',
  showRollout: 'person',
  showRetention: 'person',
  setRetention: 'person',
  collectGarbage: 'person',
  backup: 'person',
};

/**
 * Lets the request pass, or not.
 * @throws UNAUTHENTICATED without a token that is known, FORBIDDEN with a device's on a person's route
 */
export function checkAccess(request: FastifyRequest, access: Access, identity: Identity): void {
  if (access === 'anyone') return;
  const [, token] = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
  if (token === undefined)
    throw new CodedError(
      'UNAUTHENTICATED',
      'no "Authorization: Bearer TOKEN" header, wanted the admin token',
    );
  if (identity.admin.matches(token)) return;
  if (identity.sessions.deviceOf(token) === null)
    throw new CodedError('UNAUTHENTICATED', 'the bearer token is not known here, or has expired');
  if (access === 'person')
    throw new CodedError('FORBIDDEN', 'this is a device session, wanted the admin token');
}
