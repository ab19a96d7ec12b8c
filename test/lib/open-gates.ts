/**
 * Environment of an agent that measures on a machine that tests keep busy: it waits neither for
 * coolness nor for quiet.
 */
export const openGates = {
  FLEETLORA_AGENT_COOL_WAIT_SECONDS: '0',
  FLEETLORA_AGENT_QUIET_WAIT_SECONDS: '0',
};
