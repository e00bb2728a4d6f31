import { expect } from 'chai'
import { ConfluentStage, JSON_RECORDS, V2 } from '../../support/confluent-stage.js'
import { inWorld } from './in-world.js'

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
