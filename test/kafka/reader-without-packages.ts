import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { askRouter, openCastellan } from '../../src/index.js'

/** Reads batches of every codec, handed in as base64, and says as one line of JSON what became of each. */
const batches = JSON.parse(process.argv[2]!) as Record<string, string>
const cluster = await startEmbeddedCluster()
const castellan = await openCastellan({ brokers: cluster.bootstrap })
const results: Record<string, string> = {}
for (const [codec, bytes] of Object.entries(batches)) {
  cluster.createTopic(codec, { partitions: 1 })
  cluster.appendRaw(codec, 0, Buffer.from(bytes, 'base64'))
  const topicPartition = { topic: codec, partition: 0 }
  const result = await askRouter(castellan.router.ref, { type: 'fetchData', topicPartition, offset: 0 })
  results[codec] =
    result.type === 'failed'
      ? result.message
      : result.type === 'success'
        ? String(result.batch.at(0).value).split(' and')[0]!
        : result.type
}
const records = [{ topic: 'gzip', partition: 0, key: null, value: 'written' }]
for (const compression of ['gzip', 'lz4', 'zstd'] as const) {
  try {
    const writer = await openCastellan({ brokers: cluster.bootstrap, delivery: { compression } })
    const { outcomes } = await askRouter(writer.router.ref, { type: 'produce', records })
    results[`writing ${compression}`] = outcomes[0]!.type === 'failed' ? outcomes[0]!.message : outcomes[0]!.type
    await writer.close({ timeoutMs: 0 })
  } catch (error) {
    results[`writing ${compression}`] = (error as Error).message
  }
}
await castellan.close({ timeoutMs: 0 })
await cluster.close()
console.log(JSON.stringify(results))
