import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_RECORDS } from '../../support/confluent-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { kafkaVersion } from './jars.js'
import { runTool } from './java-tools.js'
import { runningKafka } from './shared-cluster.js'

type Json = ReturnType<typeof JSON.parse>

describe('a group of the protocol of KIP-848', function () {
  this.timeout(180_000)
  let stage: ConfluentStage
  before(async function () {
    // The protocol is ready for use from Kafka 4.0 on.
    if (kafkaVersion.startsWith('3.')) this.skip()
    stage = await ConfluentStage.open()
  })
  after(() => stage?.close())

  /** A member of this protocol, until the signal. */
  const consume = (group: string, topic: string, signal: AbortSignal) => {
    const names = ['--bootstrap-server', runningKafka().bootstrap, '--topic', topic, '--group-id', group]
    return runTool('verifiableConsumer', [...names, '--group-protocol', 'consumer', '--reset-policy', 'earliest'], {
      signal
    })
  }

  it("has its state, members, assignments and lags in Confluent's API, and readers in Kafka-Pixy's", async () => {
    const group = freshTopic('new-group')
    const topic = await stage.topic(2)
    const values = [1, 2, 3, 4].map(value => ({ value, partition: 0 }))
    await stage.produce(topic, JSON_RECORDS, values)
    const clusterId = ((await stage.get('/v3/clusters')).body as Json).data[0].cluster_id
    const path = `/v3/clusters/${clusterId}/consumer-groups`
    const json = async (rest: string): Promise<Json> => {
      const { status, body } = await stage.get(path + rest)
      expect([rest, status]).to.deep.equal([rest, 200])
      return body as Json
    }
    const listed = async (): Promise<Json> =>
      (await json('')).data.find(({ consumer_group_id }: Json) => consumer_group_id === group)

    // The consumer reads on until it has seen what is asked about it.
    const seen: Record<string, Json> = {}
    const stop = new AbortController()
    const reading = consume(group, topic, stop.signal)
    try {
      await runningKafka().waitFor('a member that reads both partitions and has committed', async () => {
        const found = await stage.get(`${path}/${group}/lag-summary`)
        if (found.status !== 200) return false
        seen.consumers = (await json(`/${group}/consumers`)).data
        seen.lags = (await json(`/${group}/lags`)).data
        return seen.consumers.length === 1 && seen.lags.every(({ lag }: Json) => lag === 0)
      })
      const [consumer] = seen.consumers
      seen.assignments = (await json(`/${group}/consumers/${consumer.consumer_id}/assignments`)).data
      seen.group = await json(`/${group}`)
      seen.listed = await listed()
      const ofTopic = `${stage.app.urls.shared}/pixy/topics/${topic}/consumers`
      for (const [name, query] of [
        ['pixy', `?group=${group}`],
        ['pixyAll', '']
      ] as const) {
        seen[name] = JSON.parse((await call(ofTopic + query)).body)
      }
    } finally {
      stop.abort()
      await reading
    }
    expect(seen.group).to.include({
      state: 'STABLE',
      type: 'CONSUMER',
      is_simple: false,
      partition_assignor: 'uniform'
    })
    expect(seen.listed).to.deep.equal(seen.group)
    expect(seen.group.is_mixed_consumer_group).to.equal(false)
    expect(Object.values(seen.pixy[group])).to.deep.equal([[0, 1]])
    expect(seen.pixyAll[group]).to.deep.equal(seen.pixy[group])
    expect(seen.assignments.map(({ partition_id }: Json) => partition_id)).to.deep.equal([0, 1])
    expect(seen.lags.map(({ consumer_id }: Json) => consumer_id)).to.include(seen.consumers[0].consumer_id)

    // Without members the group still has its offsets.
    await stage.produce(topic, JSON_RECORDS, values.slice(0, 1))
    await runningKafka().waitFor('the group without its member', async () => {
      return (await json(`/${group}`)).state === 'EMPTY'
    })
    expect(await json(`/${group}/lags/${topic}/partitions/0`)).to.include({
      lag: 1,
      current_offset: 4,
      consumer_id: ''
    })
    expect(await json(`/${group}/lag-summary`)).to.include({ total_lag: 1 })
  })

  it("is mixed by Confluent's API while a member of the older protocol is in it", async () => {
    const group = freshTopic('mixed-group')
    const topic = await stage.topic(2)
    const clusterId = ((await stage.get('/v3/clusters')).body as Json).data[0].cluster_id
    const found = async (): Promise<Json> =>
      (await stage.get(`/v3/clusters/${clusterId}/consumer-groups/${group}`)).body
    const isMixed = async (): Promise<boolean> => (await found()).is_mixed_consumer_group === true
    const stop = new AbortController()
    const reading = consume(group, topic, stop.signal)
    let joining: Promise<unknown> | undefined
    try {
      await runningKafka().waitFor('a group with a member', async () => (await found()).state === 'STABLE')
      expect(await isMixed()).to.equal(false)
      // Whether the other member is given records in time does not matter.
      joining = stage.join(group, topic).catch(() => undefined)
      await runningKafka().waitFor('a group with members of both protocols', isMixed)
    } finally {
      stop.abort()
      await Promise.all([reading, joining])
    }
  })
})
