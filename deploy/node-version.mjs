// @ts-check
/** The oldest Node.js that everything here is tested on; package.json's `engines` says the same. */
export const oldestNode = '20.19.0';

/**
 * What is wrong with running on Node.js `version` ("20.19.0", without v), or null.
 * Written in syntax that much older versions still parse, so that they can print it.
 * @param {string} version
 * @returns {string | null}
 */
export function nodeVersionProblem(version) {
  const found = version.split('.').map(Number);
  const wanted = oldestNode.split('.').map(Number);
  for (let part = 0; part < wanted.length; part++) {
    if (found[part] > wanted[part]) return null;
    if (found[part] < wanted[part])
      return (
        'NODE_TOO_OLD: this is Node.js ' +
        version +
        ', fleetlora needs ' +
        oldestNode +
        ' or newer: ' +
        'install a current release from https://nodejs.org and run the command again'
      );
  }
  return null;
}
