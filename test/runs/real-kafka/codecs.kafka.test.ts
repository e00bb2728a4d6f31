import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { CompressionCodec } from '../../../src/kafka/compression.js'
import { startCastellan } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { runTool } from './java-tools.js'
import { kcatConsume, kcatProduce } from './kcat.js'
import { runningKafka } from './shared-cluster.js'

const codecs: CompressionCodec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const records = Array.from({ length: 300 }, (_, index) => ({
  key: `k${index}`,
  value: `${index} ${'abc '.repeat(index % 40)}`
}))
const asText = ({ key, value }: { readonly key: Buffer | null; readonly value: Buffer | null }): unknown => ({
  key: String(key),
  value: String(value)
})
const withoutNone = (codec: CompressionCodec): string[] => (codec === 'none' ? [] : ['-z', codec])

interface Place {
  readonly bootstrap: string
  createTopic(topic: string): Promise<void>
  close(): Promise<void>
}
const places: Record<string, () => Promise<Place>> = {
  'real Kafka': async () => ({
    bootstrap: runningKafka().bootstrap,
    createTopic: topic => runningKafka().createTopic(topic, 1),
    close: async () => {}
  }),
  'the embedded broker': async () => {
    const cluster = await startEmbeddedCluster({ nodes: 3 })
    return {
      bootstrap: cluster.bootstrap,
      createTopic: async topic => cluster.createTopic(topic, { partitions: 1, replicationFactor: 3 }),
      close: () => cluster.close()
    }
  }
}

for (const [name, open] of Object.entries(places)) {
  describe(`codecs through ${name}`, () => {
    let place: Place
    before(async () => {
      place = await open()
    })
    after(() => place?.close())

    for (const codec of codecs) {
      it(`our ${codec} batches are read by kcat and by Java`, async () => {
        const topic = freshTopic(`ours-${codec}`)
        await place.createTopic(topic)
        const castellan = await startCastellan(place.bootstrap, { delivery: { compression: codec } })
        const outcomes = await castellan.produce(records.map(record => ({ ...record, topic, partition: 0 })))
        await castellan.close()
        expect(outcomes.filter(outcome => outcome.type !== 'delivered')).to.deep.equal([])
        expect((await kcatConsume(place.bootstrap, topic)).map(asText)).to.deep.equal(records)
        const all = ['--from-beginning', '--max-messages', String(records.length), '--timeout-ms', '30000']
        const read = await runTool('consoleConsumer', ['--bootstrap-server', place.bootstrap, '--topic', topic, ...all])
        expect(read.trimEnd()).to.equal(
          records
            .map(record => record.value)
            .join('\n')
            .trimEnd()
        )
      })

      it(`kcat's and Java's ${codec} batches are read by us`, async () => {
        const topic = freshTopic(`theirs-${codec}`)
        await place.createTopic(topic)
        await kcatProduce(place.bootstrap, topic, records, ...withoutNone(codec))
        const lines = records.map(record => record.value).join('\n')
        const produce = ['--bootstrap-server', place.bootstrap, '--topic', topic, '--compression-codec', codec]
        await runTool('consoleProducer', produce, { input: `${lines}\n` })
        const castellan = await startCastellan(place.bootstrap)
        const back = (await castellan.readAll(topic, 0)).map(asText)
        await castellan.close()
        expect(back).to.deep.equal([...records, ...records.map(({ value }) => ({ key: 'null', value }))])
      })
    }
  })
}
