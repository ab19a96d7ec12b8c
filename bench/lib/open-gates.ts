/**
 * Environment of an agent whose figures do not matter to a proof or a test: it waits neither for coolness
 * nor for quiet. The caller's own environment goes before it.
 */
export const openGates = {
  FLEETLORA_AGENT_COOL_WAIT_SECONDS: '0',
  FLEETLORA_AGENT_QUIET_WAIT_SECONDS: '0',
};
