import { expect } from 'chai'
import { withMark } from '../../src/consumer/group/ack-encoding.js'
import { CastellanError, TimedOutError } from '../../src/core/errors.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { type EmbeddedStack, startCastellan, startEmbeddedStack } from '../support/castellan.js'

const PATIENCE_MS = 15_000

describe('offsets of groups that the gateway tells and sets', () => {
  let stack: EmbeddedStack
  beforeEach(async () => {
    stack = await startEmbeddedStack()
    stack.cluster.createTopic('orders', { partitions: 2 })
  })
  afterEach(() => stack.close())

  const write = async (...values: string[]): Promise<void> => {
    const records = values.map(value => ({ topic: 'orders', partition: 1, key: null, value }))
    const options = { partitioner: 'murmur2', deadlineMs: PATIENCE_MS } as const
    const outcomes = await stack.verbs.produce(records, options).outcomes()
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const offsets = (topic = 'orders', group = 'billing') => stack.verbs.groups.offsets(group, topic, PATIENCE_MS)
  const commit = (partition: number, offset: number, metadata?: string) =>
    stack.verbs.groups.commit('billing', 'orders', new Map([[partition, { offset, metadata }]]), PATIENCE_MS)
  const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => expect.fail('it succeeded'),
      (error: unknown) => error
    )

  it('are told for every partition, also where nothing is written or committed', async () => {
    await write('a', 'b')
    expect(await offsets()).to.deep.equal([
      { partition: 0, earliest: 0, latest: 0, committed: undefined, acknowledged: [] },
      { partition: 1, earliest: 0, latest: 2, committed: undefined, acknowledged: [] }
    ])
  })

  it('are told as they were committed, backwards too, with metadata as it stands', async () => {
    await write('a', 'b')
    expect([...(await commit(1, 2, 'first'))]).to.deep.equal([[1, 'committed']])
    expect((await offsets())![1]!.committed).to.deep.include({ offset: 2, metadata: 'first' })
    await commit(1, 0)
    expect((await offsets())![1]!.committed!.offset).to.equal(0)
    expect((await offsets('orders', 'others'))![1]!.committed).to.equal(undefined)
  })

  it('are told where they were committed in this topic, and not where in a former one of the name', async () => {
    await write('a', 'b')
    const { topicId } = (await stack.verbs.topics(['orders'], PATIENCE_MS)).get('orders')!
    const former = 'BBBBBBBBQACAAAAAAAAAAg'
    const commitMarked = async (id: string | undefined) => {
      const { offset, metadata } = withMark({ offset: 1, metadata: '' }, id)
      await commit(1, offset, metadata)
    }
    await commitMarked(former)
    expect((await offsets())![1]).to.deep.include({ committed: undefined, beginsAt: 0 })
    await commitMarked(topicId)
    expect((await offsets())![1]!.committed).to.deep.equal({ offset: 1 })
  })

  it('are not told of a topic that does not exist, which asking does not create', async () => {
    expect(await offsets('no-such-topic')).to.equal(undefined)
    expect([...(await stack.verbs.topics('all', PATIENCE_MS)).keys()]).to.not.include('no-such-topic')
  })

  it('are refused for a partition that does not exist', async () => {
    const offset = { offset: 1 }
    const outcomes = await stack.verbs.groups.commit(
      'billing',
      'orders',
      new Map([
        [0, offset],
        [7, offset]
      ]),
      PATIENCE_MS
    )
    expect([...outcomes]).to.deep.equal([
      [0, 'committed'],
      [7, 'unknownTopicOrPartition']
    ])
  })

  it('are set although a coordinator does not know the partition at first', async () => {
    const unknown = { type: 'error', errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION } as const
    const fault = stack.cluster.faults.add({ api: 'OffsetCommit', count: 3 }, unknown)
    expect([...(await commit(1, 2))]).to.deep.equal([[1, 'committed']])
    expect(fault.fired).to.equal(3)
    expect((await offsets())![1]!.committed!.offset).to.equal(2)
  })

  it('are told of many partitions without taking the places of all waiting requests', async () => {
    stack.cluster.createTopic('wide', { partitions: 600 })
    const found = (await offsets('wide'))!
    expect(found.map(({ partition }) => partition)).to.deep.equal(Array.from({ length: 600 }, (_, at) => at))
  })

  it('are answered with the error of Kafka where they cannot be told', async () => {
    const errorCode = errorCodes.GROUP_AUTHORIZATION_FAILED
    stack.cluster.faults.add({ api: 'OffsetFetch', count: Infinity }, { type: 'error', errorCode })
    expect(await errorOf(offsets()))
      .to.be.instanceOf(CastellanError)
      .with.property('code', 'notAuthorized')
    stack.cluster.faults.clear()
  })

  it('are answered with the last cause when their time is over', async () => {
    const away = startCastellan('127.0.0.1:1')
    while (away.router.awayBecause === undefined) await new Promise(resolve => setTimeout(resolve, 5))
    for (const asked of [
      away.verbs.groups.offsets('billing', 'orders', 50),
      away.verbs.groups.commit('billing', 'orders', new Map([[0, { offset: 1 }]]), 50)
    ]) {
      const error = await errorOf(asked)
      expect(error).to.be.instanceOf(TimedOutError)
      expect((error as Error).message).to.match(/was not answered within 50 ms: no connection to 127\.0\.0\.1:1/)
    }
    await away.close()
  })

  it('belong to topics that are all listed, whatever their names are', async () => {
    stack.cluster.createTopic('__proto__', { partitions: 1 })
    expect([...(await stack.verbs.topics('all', PATIENCE_MS)).keys()]).to.include.members(['orders', '__proto__'])
  })
})
