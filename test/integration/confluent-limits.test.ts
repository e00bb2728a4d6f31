import { expect } from 'chai'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { ConfluentStage, JSON_RECORDS, V2 } from '../support/confluent-stage.js'
import { inWorld } from '../support/in-world.js'

describe('confluent: limits and refusals', () => {
  inWorld()
  let opened: ConfluentStage | undefined
  afterEach(async () => {
    await opened?.close()
    opened = undefined
  })
  const open = async (settings: Readonly<Record<string, string>>): Promise<ConfluentStage> =>
    (opened = await ConfluentStage.open(settings))

  it('confluent 23: a topic that Kafka denies is answered 403, with the codes of all records', async () => {
    const stage = await open({})
    const { faults } = stage.cluster
    if (faults === undefined) {
      console.log('      SKIPPED on real Kafka, whose nodes have no authorizer here')
      return
    }
    const topic = await stage.topic(1)
    const { TOPIC_AUTHORIZATION_FAILED } = errorCodes
    faults.add({ api: 'Produce', topic }, { type: 'error', errorCode: TOPIC_AUTHORIZATION_FAILED })
    const { status, type, body } = await stage.produce(topic, JSON_RECORDS, [{ value: 1 }, { value: 2 }])
    const { offsets } = body as { offsets: { error_code: number }[] }
    expect([status, type, offsets.map(({ error_code }) => error_code)]).to.deep.equal([403, V2, [40301, 40301]])
    expect(await stage.endOf(topic, 0)).to.equal(0)
  })
})

describe('confluent: a cluster that does not answer', () => {
  inWorld()
  let stage: ConfluentStage
  before(async () => {
    stage = await ConfluentStage.open({ 'apis.confluent.syncTimeoutMs': '1000' })
  })
  after(() => stage?.close())

  it('confluent 22: each record is answered 50003 once, within the time limit', async () => {
    const { cluster } = stage
    const topic = await stage.topic(1)
    expect((await stage.produce(topic, JSON_RECORDS, [{ value: 0 }])).status).to.equal(200)
    try {
      await Promise.all(cluster.nodeIds.map(nodeId => cluster.pauseNode(nodeId)))
      const { status, type, body, persisted } = await stage.produce(topic, JSON_RECORDS, [{ value: 1 }, { value: 2 }])
      const { offsets } = body as { offsets: { error_code: number; offset: unknown }[] }
      expect([status, type]).to.deep.equal([200, V2])
      expect(persisted).to.not.match(/y/)
      expect(offsets.map(({ error_code, offset }) => [error_code, offset])).to.deep.equal([
        [50003, null],
        [50003, null]
      ])
    } finally {
      await Promise.all(cluster.nodeIds.map(nodeId => cluster.resumeNode(nodeId)))
    }
  })
})
