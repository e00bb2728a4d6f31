import { expect } from 'chai'
import { startEmbeddedCluster } from '../../src/broker/start-embedded-cluster.js'
import type { CompressionCodec } from '../../src/wire/compression.js'
import { freshTopic } from '../support/target-cluster.js'
import { runTool } from './java-tools.js'
import { kcatConsume, kcatProduce } from './kcat.js'
import { runningKafka } from './shared-cluster.js'
import { WireSession } from './wire-session.js'

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
        const session = await WireSession.open(place.bootstrap, topic)
        expect((await session.produce(records, codec)).errorCode).to.equal(0)
        await session.close()
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
        const session = await WireSession.open(place.bootstrap, topic)
        const back = (await session.fetchAll()).map(asText)
        await session.close()
        expect(back).to.deep.equal([...records, ...records.map(({ value }) => ({ key: 'null', value }))])
      })
    }
  })
}
