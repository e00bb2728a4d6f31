import type { ApiName, EmbeddedCluster } from 'castellan'
import type { BrokerSetup } from './broker.js'
import { answerParent } from './child.js'
import { DIST } from './in-process.js'

const RETENTION_BYTES = 64 * 1024 * 1024
/** Every member of a group has one. */
const MAX_CONNECTIONS = 10_000

let cluster: EmbeddedCluster
const partitionsOf = new Map<string, number>()

async function start({ nodes = 1, port = 0, topics, retentionBytes = RETENTION_BYTES }: BrokerSetup) {
  // Not by the library's entry: the rooms behind it would only be more for this process's garbage collector to walk through.
  const capacity: Pick<typeof import('castellan'), 'startEmbeddedCluster'> = await import(
    new URL('embedded-broker/start-embedded-cluster.js', DIST).href
  )
  cluster = await capacity.startEmbeddedCluster({
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

answerParent({ start, recordsIn, requestCount: ({ api }: { api: ApiName }) => cluster.requestCount(api) })
