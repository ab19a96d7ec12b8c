import { answerParent } from '@fleetlora/agent/child';

/** A child that ends as its request's `how` says; or is told by its genome, as a measuring child. */
answerParent(async (request) => {
  const { how } = request as { how: string };
  switch (how) {
    case 'abort':
      return process.abort();
    case 'SIGKILL':
    case 'SIGSEGV':
    case 'SIGTERM':
      process.removeAllListeners(how);
      process.kill(process.pid, how);
      return new Promise(() => setInterval(() => {}, 1000));
    case 'hang':
      return new Promise(() => setInterval(() => {}, 1000));
    case 'exit3':
      process.exit(3);
      break;
    case 'throw':
      throw new Error('no such file');
    case 'noMemory':
      throw new Error('Failed to allocate memory for requested buffer of size 123');
    default:
      return { how };
  }
});
