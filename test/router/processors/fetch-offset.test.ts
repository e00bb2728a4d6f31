import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { Asked, CALL_TIMEOUT_MS, retried } from './asked.js'

const LATEST = -1
const EARLIEST = -2

describe('fetchOffset', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('fetchOffset')))
  const ask = (offsetType: unknown, partition = 0) =>
    asked.ask({ topicPartition: { topic: 'orders', partition }, offsetType })
  const at = (partition: number, more: object = {}) => ({
    topic: 'orders',
    partition,
    errorCode: 0,
    offset: 7,
    ...more
  })
  const timesOf = (call: number): number[] =>
    (asked.sent[call]!.call as { partitions: { timestamp: number }[] }).partitions.map(({ timestamp }) => timestamp)

  it('asks for all partitions in one call, and for one kind of offset of each at a time', async () => {
    ask('earliest')
    ask('latest', 1)
    ask('latest')
    ask('earliest')
    expect(await asked.settle({ partitions: [at(1), at(0, { offset: 0 })] })).to.deep.equal([])
    expect(asked.sent[0]!.call).to.deep.equal({
      isolationLevel: 'readUncommitted',
      timeoutMs: CALL_TIMEOUT_MS,
      partitions: [
        { topic: 'orders', partition: 0, timestamp: EARLIEST },
        { topic: 'orders', partition: 1, timestamp: LATEST }
      ]
    })
    expect(asked.told.map(told => told.map(({ offset }) => offset))).to.deep.equal([[0], [7], [], [0]])
    await asked.next()
    expect(timesOf(1)).to.deep.equal([LATEST])
  })

  it('takes whole milliseconds from 0 on, as far as the protocol can tell them', async () => {
    for (const timestampMs of [0, -5, 1.9, 2 ** 62, 2 ** 63]) ask({ timestampMs })
    for (let call = 0; call < 3; call++) await asked.next()
    expect(asked.sent.map((_, call) => timesOf(call)[0])).to.deep.equal([0, 1, 2 ** 62])
    expect(await asked.next(), 'equal times share a call').to.equal(undefined)
  })

  it('is impossible for a time that is no number, and for no kind of offset at all', () => {
    const problemOf = (offsetType: unknown, partition = 0): string | undefined => {
      const request = { topicPartition: { topic: 'orders', partition }, offsetType }
      return (descriptorOf('fetchOffset').problemOf(request as never) as { code?: string } | undefined)?.code
    }
    for (const good of ['earliest', 'latest', { timestampMs: 0 }]) expect(problemOf(good)).to.equal(undefined)
    for (const bad of ['last', undefined, {}, { timestampMs: '5' }, { timestampMs: Number.NaN }]) {
      expect(problemOf(bad), JSON.stringify(bad)).to.equal('invalidRequest')
    }
    expect(problemOf('latest', -1)).to.equal('invalidRequest')
  })

  it('is asked again where the answer leaves a partition out, and answered once where it comes twice', async () => {
    const [, left] = [ask('latest'), ask('latest', 1)]
    const back = await asked.settle({ partitions: [at(0), at(0, { offset: 9 }), at(5)] })
    expect(back).to.deep.equal(retried([left!]))
    expect(asked.told.map(told => told.map(({ offset }) => offset))).to.deep.equal([[7], []])
  })

  it('goes to another leader with all that waits for the same partition', async () => {
    const first = ask('latest')
    const call = await asked.next()
    const [waits] = [ask('earliest'), ask('latest', 1)]
    const partitions = [at(0, { errorCode: errorCodes.NOT_LEADER_OR_FOLLOWER })]
    expect(asked.processor.processResponse(call, { partitions })).to.deep.equal([
      { reason: 'notLeader', requests: [first, waits] }
    ])
    expect(asked.processor.drain()).to.have.length(1)
  })

  it('is confirmed, asked again or told by what the broker says, and unknown partitions are counted', async () => {
    const fates: readonly (readonly [number, string])[] = [
      [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'unknownTopicOrPartition'],
      [errorCodes.REQUEST_TIMED_OUT, 'retryLater'],
      [errorCodes.UNKNOWN_LEADER_EPOCH, 'staleTopic'],
      [errorCodes.CORRUPT_MESSAGE, 'retryLater']
    ]
    for (const [errorCode, reason] of fates) {
      const request = ask('latest')
      const back = await asked.settle({ partitions: [at(0, { errorCode, offset: -1 })] })
      expect(back).to.deep.equal([{ reason, requests: [request] }])
    }
    expect(asked.metrics.of('unknown_topic_or_partition_responses')).to.equal(1)
    for (const errorCode of [errorCodes.OFFSET_OUT_OF_RANGE, errorCodes.TOPIC_AUTHORIZATION_FAILED]) {
      ask('latest')
      expect(await asked.settle({ partitions: [at(0, { errorCode })] })).to.deep.equal([])
      expect(asked.told.at(-1)![0]).to.include({ type: 'failed', errorCode })
    }
  })

  it('takes an offset that comes with the code of damage for the answer, offset 0 as well', async () => {
    for (const offset of [0, 7]) {
      ask('latest')
      await asked.settle({ partitions: [at(0, { errorCode: errorCodes.CORRUPT_MESSAGE, offset })] })
      expect(asked.told.at(-1)![0]).to.include({ type: 'success', offset })
    }
  })

  it('is not asked for the latest offset when nobody waits for that time any more', async () => {
    const late = ask({ timestampMs: 5 })
    const call = await asked.next()
    late.settled = true
    asked.processor.processResponse(call, { partitions: [at(0, { offset: -1 })] })
    expect(asked.processor.isEmpty).to.equal(true)
  })

  it('is not asked when it was answered while it waited, nor given back', async () => {
    ask('latest').settled = true
    expect(await asked.next()).to.equal(undefined)
    ask('earliest').settled = true
    const open = ask('latest')
    const call = await asked.next()
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([open])
    open.settled = true
    expect(asked.processor.callFailed(call, new Error('cut'), true)).to.deep.equal([])
    ask('latest').settled = true
    const waits = ask('earliest')
    expect(asked.processor.drain()).to.deep.equal([waits])
  })
})
