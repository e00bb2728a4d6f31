/**
 * What CI runs on each newer Node: tests of what touches Node itself, and a scenario of each API. Files are named without
 * their endings; `each-node.test.ts` keeps the list true. `npm run explore` runs all tests on each Node.
 */
export const EACH_NODE: Readonly<Record<string, readonly string[]>> = {
  engine: ['connection', 'shared-buffer', 'smuggling'].map(name => `http/engine/${name}`),
  sockets: ['kafka/connection-trouble', 'kafka/socket', 'http/server/listeners', 'http/server/upgrades'],
  files: ['core/files/directory-lock', 'producer/log/appending', 'producer/log/recovering'],
  streams: ['runs/integration/ended-streams', 'runs/integration/readers'],
  threads: ['producer/log/log-thread', 'schemas/bombs'],
  tls: ['http/server/certificates', 'http/server/tls', 'kafka/security'],
  zlib: ['kafka/compression', 'kafka/decompression'],
  arion: ['runs/integration/arion'],
  cloudevents: ['runs/integration/cloudevents-produce'],
  confluent: ['runs/integration/confluent-produce'],
  kafboy: ['runs/integration/kafboy'],
  'kafka-pixy': ['runs/integration/pixy-scenario'],
  kprf: ['runs/integration/push'],
  mcp: ['apis/mcp/tools'],
  queues: ['runs/integration/queues-over-http'],
  strimzi: ['runs/integration/strimzi-consumers']
}

const names = Object.values(EACH_NODE).flat()

/** @param file below `test`, with its endings */
export const isForEachNode = (file: string): boolean => names.includes(file.replace(/(\.[a-z]+)?\.test\.ts$/, ''))
