#!/usr/bin/env node
// npm links this file while it installs, which is before anything is built.
import { existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(entry)) await import(entry.href);
else {
  process.stderr.write('fleetlora is not built yet: run `npm run setup` in the checkout first\n');
  process.exitCode = 1;
}
