#!/usr/bin/env node
// Nothing else may be imported before this check: newer syntax in a dependency would fail first,
// with an error that does not name the cause. `engines` of package.json says the same.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `fleetlora: NODE_TOO_OLD: this is Node.js ${process.versions.node}, wanted 20.19.0 or newer\n`,
  );
  process.exit(1);
}
const { runCommandLine } = await import('./run-command-line.js');
process.exitCode = await runCommandLine(process.argv.slice(2));

export {};
