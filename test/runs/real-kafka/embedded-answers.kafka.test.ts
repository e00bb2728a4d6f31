import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type AskedNode, announcedVersions, describeKafkaAnswers, topicDefaults } from '../../support/kafka-answers.js'
import { RawKafka } from '../../support/raw-kafka.js'
import { runningKafka } from './shared-cluster.js'

const kafkaNode = (): AskedNode => {
  const { bootstrap, nodeIds } = runningKafka()
  const [host = '', port] = bootstrap.split(',')[0]!.split(':')
  return { nodeId: nodeIds[0]!, host, port: Number(port) }
}

/** Settings of topics that Kafka 4.4 has and 4.3 has not. */
const NEWER: ReadonlySet<unknown> = new Set([
  'errors.deadletterqueue.group.enable',
  'max.decompressed.message.bytes',
  'remote.copy.lag.bytes',
  'remote.copy.lag.ms'
])

describe('the embedded broker and Kafka', () => {
  let cluster: EmbeddedCluster
  let embedded: RawKafka
  let kafka: RawKafka
  before(async () => {
    cluster = await startEmbeddedCluster()
    embedded = await RawKafka.connect(cluster.nodes[0]!)
    kafka = await RawKafka.connect(kafkaNode())
  })
  after(async () => {
    kafka?.close()
    embedded?.close()
    await cluster?.close()
  })

  describeKafkaAnswers('Kafka gives the answers that the embedded broker imitates', kafkaNode)

  it('the embedded broker announces no version of an API that Kafka does not', async () => {
    const ofKafka = new Map((await announcedVersions(kafka)).map(([key, ...versions]) => [key, versions]))
    for (const [key, lowest, highest] of await announcedVersions(embedded)) {
      expect(lowest, `lowest version of API ${key}`).to.equal(ofKafka.get(key)?.[0])
      expect(highest, `highest version of API ${key}`).to.be.at.most(ofKafka.get(key)![1]!)
    }
  })

  it('a topic has the same settings with the same defaults in both', async () => {
    await runningKafka().createTopic('with-defaults', 1)
    cluster.createTopic('with-defaults')
    const ofKafka = (await topicDefaults(kafka, 'with-defaults')).filter(([name]) => !NEWER.has(name))
    expect(await topicDefaults(embedded, 'with-defaults')).to.deep.equal(ofKafka)
  })
})
