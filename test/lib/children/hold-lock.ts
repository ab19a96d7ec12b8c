import { lockFolder } from '@fleetlora/agent/folder';

/** Takes the folder named by its first argument, says so, and stays. */
await lockFolder(process.argv[2] ?? '');
process.send?.('held');
setInterval(() => {}, 1000);
