// @ts-check
/**
 * Installs the Node.js peers (node-packages.json) in cache folders, unless they are there, and
 * prints the paths of their modules. Needs a built checkout (npm run build).
 */
import { nodePeer } from '../dist/lib/peer-folders.js';

for (const peer of /** @type {const} */ (['llama-cpp', 'transformers-js'])) console.log(nodePeer(peer));
