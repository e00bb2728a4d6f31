import { expect } from 'chai'
import { UnavailableError } from '../../../src/core/errors.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Asked, retried } from './asked.js'

const LOST = new UnavailableError('brokerUnreachable', 'the connection was lost')
const topics = (errorCode: number, errorMessage: string | null = null) => ({
  topics: [{ topic: 'orders', errorCode, errorMessage }]
})

describe('changes of topics', () => {
  const request = {
    topic: 'orders',
    partitions: 2,
    replicationFactor: 1,
    assignments: new Map(),
    configs: new Map([['retention.ms', '5']]),
    total: 3,
    validateOnly: false
  }
  const changes = ['createTopic', 'deleteTopic', 'createPartitions'] as const

  it('are one call each, in the order in which they came', async () => {
    const asked = new Asked('createTopic')
    asked.ask(request)
    asked.ask({ ...request, topic: 'payments' })
    await asked.next()
    await asked.next()
    expect(await asked.next()).to.equal(undefined)
    const times = { brokerTimeoutMs: 4_000, timeoutMs: 5_000 }
    const { topic, partitions, replicationFactor, assignments, configs, validateOnly } = request
    const call = { topics: [{ topic, partitions, replicationFactor, assignments, configs }], validateOnly, ...times }
    expect(asked.sent[0]).to.deep.equal({ api: 'createTopics', call })
    expect(asked.sent.map(one => (one.call as typeof call).topics[0]!.topic)).to.deep.equal(['orders', 'payments'])
  })

  it('are not sent again after a call without an answer, which may arrive later', async () => {
    for (const kind of changes) {
      const asked = new Asked(kind)
      asked.ask(request)
      expect(asked.processor.callFailed(await asked.next(), LOST, true), kind).to.deep.equal([])
      expect(
        asked.told[0]!.map(({ type }) => type),
        kind
      ).to.deep.equal(['timedOut'])
    }
  })

  it('are sent again when they only check, and when no call was sent before', async () => {
    for (const kind of changes) {
      const asked = new Asked(kind)
      const waits = asked.ask(request)
      expect(asked.processor.callFailed(await asked.next(), LOST, false), kind).to.deep.equal([waits])
    }
    for (const kind of ['createTopic', 'createPartitions'] as const) {
      const asked = new Asked(kind)
      const waits = asked.ask({ ...request, validateOnly: true })
      expect(asked.processor.callFailed(await asked.next(), LOST, true), kind).to.deep.equal([waits])
    }
  })

  it('that delete are sent again with an id, which no later topic has: where it is unknown then, the topic is gone', async () => {
    for (const [isInDoubt, type] of [
      [true, 'success'],
      [false, 'failed']
    ] as const) {
      const asked = new Asked('deleteTopic')
      const waits = asked.ask({ ...request, topicId: 'id' })
      expect(asked.processor.callFailed(await asked.next(), LOST, isInDoubt)).to.deep.equal([waits])
      asked.processor.addToQueue(waits)
      await asked.settle(topics(errorCodes.UNKNOWN_TOPIC_ID))
      expect(asked.told[0]!.map(told => told.type)).to.deep.equal([type])
      expect(asked.sent.map(({ call }) => (call as { topicIds?: unknown }).topicIds)).to.deep.equal([['id'], ['id']])
    }
  })
})

describe('settings', () => {
  const resource = { type: 'topic', name: 'orders' } as const

  it('are changed by one call, which is repeated after a lost connection', async () => {
    const asked = new Asked('alterConfigs')
    const changes = [{ name: 'retention.ms', value: null }]
    const waits = asked.ask({ resource, changes, validateOnly: true })
    expect(asked.processor.callFailed(await asked.next(), LOST, true)).to.deep.equal([waits])
    asked.processor.addToQueue(waits)
    await asked.settle({ errorCode: 0, errorMessage: null })
    const call = { resource, changes, validateOnly: true, timeoutMs: 5_000 }
    expect(asked.sent).to.deep.equal([1, 2].map(() => ({ api: 'alterConfigs', call })))
    expect(asked.told[0]).to.deep.equal([{ type: 'success' }])
  })
})

describe('the offsets of a group', () => {
  const partition = (number: number, offset: number | undefined, errorCode = 0) => ({
    topic: 'orders',
    partition: number,
    offset,
    metadata: null,
    errorCode
  })

  it('are all that have a value', async () => {
    const asked = new Asked('fetchGroupOffsets')
    asked.ask({ groupId: 'billing' })
    await asked.settle({ errorCode: 0, partitions: [partition(0, 7), partition(1, -1), partition(2, undefined)] })
    const offsets = [{ topic: 'orders', partition: 0, offset: 7, metadata: '' }]
    expect(asked.told[0]).to.deep.equal([{ type: 'success', offsets }])
  })
})

describe('the end of committed records', () => {
  const topicPartition = { topic: 'orders', partition: 0 }

  it('is asked for as a reader of committed records, whatever others read', async () => {
    const asked = new Asked('fetchStableEnd')
    asked.ask({ topicPartition })
    asked.ask({ topicPartition })
    await asked.next()
    const call = {
      isolationLevel: 'readCommitted',
      partitions: [{ ...topicPartition, timestamp: -1 }],
      timeoutMs: 5_000
    }
    expect(asked.sent).to.deep.equal([{ api: 'listOffsets', call }])
  })
})

describe('look-ups of the cluster', () => {
  const cluster = { clusterId: 'c', controllerId: 1, brokers: [] }

  it('share a call while they wait, and join no call in flight', async () => {
    const asked = new Asked('describeCluster')
    asked.ask({})
    asked.ask({})
    const inFlight = await asked.next()
    asked.ask({})
    asked.processor.processResponse(inFlight, { throttleTimeMs: 0, topics: [], ...cluster })
    expect(asked.told.map(told => told.length)).to.deep.equal([1, 1, 0])
    expect(asked.processor.isEmpty).to.equal(false)
    await asked.settle({ topics: [], ...cluster, clusterId: 'd' })
    expect(asked.told.map(([told]) => told!.clusterId)).to.deep.equal(['c', 'c', 'd'])
  })

  it('of the operations on topics leave out topics of which none are reported', async () => {
    const asked = new Asked('fetchTopicOperations')
    asked.ask({ topics: ['a', 'b'] })
    const known = { topic: 'a', authorizedOperations: ['READ'] }
    await asked.settle({ ...cluster, topics: [known, { topic: 'b' }] } as never)
    expect(asked.told.at(-1)).to.deep.equal([{ type: 'success', operations: new Map([['a', ['READ']]]) }])
    const call = { topics: ['a', 'b'], allowAutoTopicCreation: false, withAuthorizedOperations: true }
    expect(asked.sent.at(-1)).to.deep.equal({ api: 'metadata', call: { ...call, timeoutMs: 5_000 } })
  })

  it('share a call only where they ask for the same', async () => {
    const topic = (name: string) => ({ type: 'topic', name })
    const asked = new Asked('describeConfigs')
    for (const names of [['a', 'b'], ['a'], ['a', 'b']]) asked.ask({ resources: names.map(topic) })
    asked.ask({ resources: [{ type: 'broker', name: 'a' }] })
    while ((await asked.next()) !== undefined);
    const sent = asked.sent as unknown as { call: { resources: { type: string; name: string }[] } }[]
    expect(sent.map(({ call }) => call.resources.map(({ type, name }) => `${type} ${name}`))).to.deep.equal([
      ['topic a', 'topic b'],
      ['topic a'],
      ['broker a']
    ])
  })

  it('are asked again, or given back, together', async () => {
    const asked = new Asked('fetchGroupOffsets')
    const waits = [asked.ask({ groupId: 'g' }), asked.ask({ groupId: 'g' })]
    expect(asked.processor.callFailed(await asked.next(), LOST, true)).to.deep.equal(waits)
    for (const one of waits) asked.processor.addToQueue(one)
    const back = await asked.settle({ errorCode: errorCodes.COORDINATOR_LOAD_IN_PROGRESS, partitions: [] })
    expect(back).to.deep.equal(retried(waits))
    for (const one of waits) asked.processor.addToQueue(one)
    waits[0]!.settled = true
    expect(asked.processor.drain()).to.deep.equal([waits[1]])
    expect(asked.processor.isEmpty).to.equal(true)
  })
})
