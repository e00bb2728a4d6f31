import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { Returned } from '../../../src/router/processors/queue-processor.js'
import { Asked, CALL_TIMEOUT_MS, type Told } from './asked.js'

describe('fetchTopicMetadata', () => {
  const found = (topic: string, errorCode = 0): object => ({ topic, errorCode, partitions: [], isInternal: false })
  let asked: Asked
  beforeEach(() => (asked = new Asked('fetchTopicMetadata')))

  const namesOf = (at: number): unknown => (asked.sent[at]!.call as { topics: unknown }).topics
  const mayCreate = (at: number): unknown =>
    (asked.sent[at]!.call as { allowAutoTopicCreation: boolean }).allowAutoTopicCreation

  it('gives each who waits what it asked for, in one call', async () => {
    asked.ask({ topics: ['orders'] })
    asked.ask({ topics: ['payments', 'invented'] })
    await asked.settle({ brokers: [], topics: [found('orders'), found('payments'), found('more')] })
    expect(namesOf(0)).to.deep.equal(['orders', 'payments', 'invented'])
    const topics = asked.told.map(([told]) => told!.topics as Map<string, { errorCode: number }>)
    expect(topics.map(of => Array.from(of, ([name, { errorCode }]) => [name, errorCode]))).to.deep.equal([
      [['orders', 0]],
      [
        ['payments', 0],
        ['invented', errorCodes.UNKNOWN_TOPIC_OR_PARTITION]
      ]
    ])
    expect(asked.metadata).to.have.length(1)
  })

  it('asks for all topics before named ones, which wait', async () => {
    asked.ask({ topics: ['orders'] })
    asked.ask({})
    await asked.settle({ brokers: [], topics: [found('orders')] })
    expect(namesOf(0)).to.equal(null)
    expect(asked.told.map(({ length }) => length)).to.deep.equal([0, 1])
    expect([...(asked.told[1]![0]!.topics as Map<string, unknown>).keys()]).to.deep.equal(['orders'])
    await asked.next()
    expect(namesOf(1)).to.deep.equal(['orders'])
  })

  it('asks for named topics in every second call, however many ask for all topics', async () => {
    asked.ask({ topics: ['orders'] })
    for (let call = 0; call < 4; call++) {
      asked.ask({})
      asked.ask({ topics: ['payments'] })
      await asked.next()
    }
    expect([0, 1, 2, 3].map(namesOf)).to.deep.equal([null, ['orders', 'payments'], null, ['payments']])
  })

  it('asks for up to 2,000 names in one call, and for more where one request names them', async () => {
    const names = (count: number, from: string): string[] => Array.from({ length: count }, (_, at) => `${from}-${at}`)
    asked.ask({ topics: names(1_999, 'a') })
    asked.ask({ topics: names(1, 'b') })
    asked.ask({ topics: names(1, 'c') })
    asked.ask({ topics: names(2_001, 'd') })
    for (let call = 0; call < 3; call++) await asked.next()
    expect([0, 1, 2].map(call => (namesOf(call) as string[]).length)).to.deep.equal([2_000, 1, 2_001])
  })

  it('makes no call when everybody was answered meanwhile, and gives back who was not', async () => {
    asked.ask({ topics: ['orders'] }).settled = true
    asked.ask({}).settled = true
    expect(await asked.next()).to.equal(undefined)
    expect(asked.processor.isEmpty).to.equal(true)
    asked.ask({ topics: ['orders'] }).settled = true
    const open = asked.ask({ topics: ['payments'] })
    expect([asked.processor.drain(), asked.processor.drain()]).to.deep.equal([[open], []])
    asked.processor.addToQueue(open)
    const call = await asked.next()
    expect(asked.sent[0]!.call).to.include({ timeoutMs: CALL_TIMEOUT_MS })
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([open])
  })

  it('says of missing topics that may be created whether that still waits', async () => {
    asked.waiting = ['waits', 'here']
    asked.ask({ topics: ['waits', 'missing', 'here'], allowAutoTopicCreation: true })
    asked.ask({ topics: ['waits'] })
    await asked.settle({ brokers: [], topics: [found('here')] })
    const waitsOf = (at: number) =>
      Array.from(asked.told[at]![0]!.topics as Map<string, { creationWaits?: boolean }>, ([name, one]) => [
        name,
        one.creationWaits
      ])
    expect(waitsOf(0)).to.deep.equal([
      ['waits', true],
      ['missing', undefined],
      ['here', undefined]
    ])
    expect(waitsOf(1), 'nobody may create it').to.deep.equal([['waits', undefined]])
  })

  it('has missing topics created only for who may, only as many as are admitted, after the answer', async () => {
    asked.admitted = ['wanted']
    asked.ask({ topics: ['wanted', 'too-many', 'here'], allowAutoTopicCreation: true })
    asked.ask({ topics: ['not-wanted'], allowAutoTopicCreation: false })
    await asked.settle({ brokers: [], topics: [found('wanted', errorCodes.UNKNOWN_TOPIC_OR_PARTITION), found('here')] })
    expect(mayCreate(0)).to.equal(false)
    expect(asked.told.map(({ length }) => length)).to.deep.equal([1, 1])
    expect(asked.processor.isEmpty).to.equal(false)
    await asked.settle({ brokers: [], topics: [] })
    expect(namesOf(1)).to.deep.equal(['wanted'])
    expect(mayCreate(1)).to.equal(true)
    expect(asked.processor.isEmpty, 'a creation is asked for once').to.equal(true)
  })

  it('has nothing created where a topic exists, or where something else is wrong with it', async () => {
    asked.admitted = ['orders', 'secret']
    asked.ask({ topics: ['orders', 'secret'], allowAutoTopicCreation: true })
    const topics = [found('orders'), found('secret', errorCodes.TOPIC_AUTHORIZATION_FAILED)]
    await asked.settle({ brokers: [], topics })
    expect(asked.processor.isEmpty).to.equal(true)
  })
})

describe('metadata of committed offsets', () => {
  const mark = 'V1|CONSUMER_METADATA'
  const fetched = async (stored: string | null, rawMetadata: boolean): Promise<unknown> => {
    const asked = new Asked('fetchConsumerOffset')
    asked.ask({ groupId: 'billing', topicPartition: { topic: 'orders', partition: 0 }, rawMetadata })
    const at = { topic: 'orders', partition: 0, errorCode: 0, offset: 0, metadata: stored }
    await asked.settle({ errorCode: 0, partitions: [at] })
    return asked.told[0]![0]!.offsetAndMetadata
  }
  const committed = async (metadata: string | undefined, rawMetadata: boolean): Promise<unknown> => {
    const asked = new Asked('commitConsumerOffset')
    const offsetAndMetadata = metadata === undefined ? { offset: 0 } : { offset: 0, metadata }
    asked.ask({ groupId: 'billing', topicPartition: { topic: 'orders', partition: 0 }, offsetAndMetadata, rawMetadata })
    await asked.next()
    return (asked.sent[0]!.call as { partitions: { metadata: string }[] }).partitions[0]!.metadata
  }

  it('is written with the mark of Castle, and read only with it', async () => {
    expect(await committed('note', false)).to.equal(`${mark}note`)
    expect(await committed(undefined, false)).to.equal('')
    expect(await fetched(`${mark}note`, false)).to.deep.equal({ offset: 0, metadata: 'note' })
    expect(await fetched('note', false)).to.deep.equal({ offset: 0 })
    expect(await fetched(null, false)).to.deep.equal({ offset: 0 })
  })

  it('is left as it is where the reader says so; empty means none', async () => {
    expect(await committed('note', true)).to.equal('note')
    expect(await fetched('note', true)).to.deep.equal({ offset: 0, metadata: 'note' })
    expect(await fetched('', true)).to.deep.equal({ offset: 0 })
    expect(await fetched(null, true)).to.deep.equal({ offset: 0 })
  })
})

describe('offset of a time', () => {
  const at = { topic: 'orders', partition: 0 }
  const settle = async (
    position: object,
    answer: object
  ): Promise<{ told: Told[]; back: readonly Returned[]; asked: Asked }> => {
    const asked = new Asked('fetchOffset')
    asked.ask({ topicPartition: at, ...position })
    const back = await asked.settle({ partitions: [{ ...at, errorCode: 0, timestampMs: -1, ...answer }] })
    return { told: asked.told[0]!, back, asked }
  }

  it('is the end of the log where no record is that late', async () => {
    const { told, asked } = await settle({ offsetType: { timestampMs: 0 } }, { offset: -1 })
    expect(told).to.deep.equal([])
    await asked.settle({ partitions: [{ ...at, errorCode: 0, timestampMs: -1, offset: 7 }] })
    expect(told[0]).to.include({ type: 'success', offset: 7 })
    const times = asked.sent.map(
      ({ call }) => (call as { partitions: { timestamp: number }[] }).partitions[0]!.timestamp
    )
    expect(times).to.deep.equal([0, -1])
  })

  it('is refused where there is none that can be true', async () => {
    for (const offsetType of ['latest', 'earliest']) {
      const { told } = await settle({ offsetType }, { offset: -1 })
      expect(told[0]).to.include({ type: 'failed', code: 'protocol' })
    }
    const { told } = await settle({ offsetType: { timestampMs: 5 } }, { offset: -2 })
    expect(told[0]).to.include({ type: 'failed', code: 'protocol' })
  })
})
