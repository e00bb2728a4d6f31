/**
 * A hundred readers of one partition. Equal requests share one call to Kafka and one batch in memory. Later readers get
 * their records from the cache.
 *
 * ```text
 * 100 readers at once read 100000 records: 1 fetch
 * 100 readers later read 100000 records: 0 fetches
 * ```
 */
import { askRouter, type Castellan, openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

const READERS = 100
const RECORDS = 1000
const topicPartition = { topic: 'prices', partition: 0 }

/** Reads the whole partition. Returns the number of records. */
async function readAll({ router }: Castellan): Promise<number> {
  let recordCount = 0
  for (let offset = 0; offset < RECORDS; ) {
    const result = await askRouter(router.ref, { type: 'fetchData', topicPartition, offset })
    if (result.type !== 'success') throw new Error(`reading at ${offset}: ${result.type}`)
    for (const record of result.batch) recordCount += record.value ? 1 : 0
    offset = result.batch.nextOffset
  }
  return recordCount
}

const broker = await startEmbeddedCluster()
broker.createTopic('prices', { partitions: 1 })
const castellan = await openCastellan({ brokers: broker.bootstrap })
const records = Array.from({ length: RECORDS }, (_, at) => ({ topic: 'prices', value: `price ${at}` }))
await castellan.produceOrThrow(records)

for (const when of ['at once', 'later']) {
  const before = broker.requestCount('Fetch')
  const counts = await Promise.all(Array.from({ length: READERS }, () => readAll(castellan)))
  const fetches = broker.requestCount('Fetch') - before
  const sum = counts.reduce((total, count) => total + count, 0)
  console.log(`${READERS} readers ${when} read ${sum} records: ${fetches} ${fetches === 1 ? 'fetch' : 'fetches'}`)
}
await castellan.close()
await broker.close()
