// @ts-check
/**
 * Makes the virtual environment of the Python peers (requirements.txt) in a cache folder, unless it
 * is there, and prints the path of its Python. Needs a built checkout (npm run build).
 */
import { pythonPeer } from '../dist/lib/peer-folders.js';

console.log(pythonPeer());
