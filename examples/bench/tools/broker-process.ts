import type { ApiName, EmbeddedCluster } from 'castellan'
import type { BrokerSetup } from './broker.js'
import { answerParent } from './child.js'
import { DIST } from './in-process.js'

const RETENTION_BYTES = 64 * 1024 * 1024
/** Maximum number of connections. It is high because every member of a group has a connection. */
const MAX_CONNECTIONS = 10_000

let cluster: EmbeddedCluster
const partitionsOf = new Map<string, number>()

async function start({ nodes = 1, port = 0, topics, retentionBytes = RETENTION_BYTES }: BrokerSetup) {
  // The whole library would load modules that slow down the garbage collector and are not used here.
  const { startEmbeddedCluster }: typeof import('castellan/testing') = await import(new URL('testing.js', DIST).href)
  cluster = await startEmbeddedCluster({
    nodes,
    port,
    retentionBytes,
    limits: { maxConnections: MAX_CONNECTIONS }
  })
  for (const { topic, partitions } of topics) {
    cluster.createTopic(topic, { partitions })
    partitionsOf.set(topic, partitions)
  }
  return { bootstrap: cluster.bootstrap }
}

function recordsIn({ topic }: { topic: string }): number {
  let records = 0
  for (let partition = 0; partition < partitionsOf.get(topic)!; partition++) {
    records += cluster.highWatermark(topic, partition)
  }
  return records
}

const recordsInAll = (): number => [...partitionsOf.keys()].reduce((sum, topic) => sum + recordsIn({ topic }), 0)

answerParent({
  start,
  recordsIn,
  recordsInAll,
  requestCount: ({ api }: { api: ApiName }) => cluster.requestCount(api)
})
