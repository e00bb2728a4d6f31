import { expect } from 'chai'
import { ConfluentStage } from '../support/confluent-stage.js'
import { freshTopic } from '../support/target-cluster.js'
import { runningKafka } from './shared-cluster.js'

type Json = ReturnType<typeof JSON.parse>

describe('a partition that is moved to a broker which is away', function () {
  this.timeout(180_000)
  let stage: ConfluentStage
  before(async () => {
    stage = await ConfluentStage.open()
  })
  after(() => stage?.close())

  it("is among the reassignments of Confluent's API until the broker is back", async () => {
    const cluster = runningKafka()
    const topic = freshTopic('moving')
    const [stays, goes] = cluster.nodeIds as [number, number]
    await cluster.createTopic(topic, 1)
    const base = `/v3/clusters/${((await stage.get('/v3/clusters')).body as Json).data[0].cluster_id}`
    const get = async (path: string): Promise<{ status: number; body: Json }> => stage.get(base + path)
    const ofTopic = async (): Promise<Json[]> => (await get(`/topics/${topic}/partitions/-/reassignment`)).body.data

    await cluster.admin.ask('reassign', topic, 0, stays)
    await cluster.waitFor('one replica', async () => {
      return (await cluster.partitions(topic))[0]!.replicas.length === 1 && (await ofTopic()).length === 0
    })
    try {
      await stage.cluster.killNode(goes)
      await cluster.waitFor('a cluster without the broker', async () => {
        const { status, body } = await get('/brokers')
        return status === 200 && body.data.every(({ broker_id }: Json) => broker_id !== goes)
      })
      await cluster.admin.ask('reassign', topic, 0, goes)
      const moved = { topic_name: topic, partition_id: 0, adding_replicas: [goes], removing_replicas: [stays] }
      const [found] = await ofTopic()
      expect(found).to.deep.include(moved)
      const { data } = (await get('/topics/-/partitions/-/reassignment')).body
      expect(data.find(({ topic_name }: Json) => topic_name === topic)).to.deep.equal(found)
      expect((await get(`/topics/${topic}/partitions/0/reassignment`)).body).to.deep.equal(found)
    } finally {
      await stage.cluster.reviveNode(goes)
    }
    await cluster.waitFor('the end of the move', async () => (await ofTopic()).length === 0)
    expect((await get(`/topics/${topic}/partitions/0/reassignment`)).status).to.equal(404)
  })
})
