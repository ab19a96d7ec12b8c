export { type Broker, type BrokerLog, type BrokerOptions, createBroker, webSocketPath } from './broker.js';
export { PacketGuard, packetCeilingBytes } from './packet-guard.js';
