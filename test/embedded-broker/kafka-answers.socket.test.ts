import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { describeKafkaAnswers } from '../support/kafka-answers.js'

describe('the embedded broker answers as Kafka does', () => {
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster()
  })
  after(() => cluster.close())

  describeKafkaAnswers('for settings and odd records', () => cluster.nodes[0]!)
})
