import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { Asked, CALL_TIMEOUT_MS, retried } from './asked.js'

describe('fetchEpochEnd', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('fetchEpochEnd')))
  const ask = (leaderEpoch: number, partition = 0) => {
    const request = asked.ask({ topicPartition: { topic: 'orders', partition }, leaderEpoch })
    request.identity = { topicId: undefined, leaderEpoch: 9 }
    return request
  }
  const at = (partition: number, more: object = {}) => ({
    topic: 'orders',
    partition,
    errorCode: 0,
    leaderEpoch: 4,
    endOffset: 60,
    ...more
  })

  it('asks for all partitions in one call, as the leader that is known, and for one epoch of each at a time', async () => {
    ask(4)
    ask(5)
    ask(6, 1)
    ask(4)
    const [first] = [await asked.settle({ partitions: [at(1, { leaderEpoch: 6 }), at(0)] })]
    expect(first).to.deep.equal([])
    const call = (partition: number, leaderEpoch: number) => ({
      topic: 'orders',
      partition,
      currentLeaderEpoch: 9,
      leaderEpoch
    })
    expect(asked.sent).to.deep.equal([
      { api: 'offsetForLeaderEpoch', call: { timeoutMs: CALL_TIMEOUT_MS, partitions: [call(0, 4), call(1, 6)] } }
    ])
    const told = { type: 'success', endOffset: 60, currentLeaderEpoch: 9 }
    expect(asked.told).to.deep.equal([
      [{ ...told, leaderEpoch: 4 }],
      [],
      [{ ...told, leaderEpoch: 6 }],
      [{ ...told, leaderEpoch: 4 }]
    ])
    await asked.next()
    expect((asked.sent[1]!.call as { partitions: unknown }).partitions).to.deep.equal([call(0, 5)])
  })

  it('finds nothing where the log knows no such epoch, or the answer is impossible', async () => {
    for (const answer of [{ leaderEpoch: -1, endOffset: -1 }, { endOffset: -1 }, { leaderEpoch: -1 }]) {
      ask(4)
      await asked.settle({ partitions: [at(0, answer)] })
      expect(asked.told.at(-1)).to.deep.equal([{ type: 'notFound', currentLeaderEpoch: 9 }])
    }
    ask(4)
    await asked.settle({ partitions: [at(0, { endOffset: undefined })] })
    expect(asked.told.at(-1)![0]).to.include({ type: 'failed' })
  })

  it('is confirmed, asked again or told by what the broker says', async () => {
    const fates: readonly (readonly [number, string])[] = [
      [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'unknownTopicOrPartition'],
      [errorCodes.NOT_LEADER_OR_FOLLOWER, 'notLeader'],
      [errorCodes.FENCED_LEADER_EPOCH, 'notLeader'],
      [errorCodes.UNKNOWN_LEADER_EPOCH, 'staleTopic'],
      [errorCodes.CORRUPT_MESSAGE, 'retryLater'],
      [errorCodes.REQUEST_TIMED_OUT, 'retryLater']
    ]
    for (const [errorCode, reason] of fates) {
      const request = ask(4)
      const back = await asked.settle({ partitions: [at(0, { errorCode, leaderEpoch: -1, endOffset: -1 })] })
      expect(back).to.deep.equal([{ reason, requests: [request] }])
    }
    for (const errorCode of [errorCodes.TOPIC_AUTHORIZATION_FAILED, errorCodes.UNSUPPORTED_VERSION]) {
      ask(4)
      expect(await asked.settle({ partitions: [at(0, { errorCode })] })).to.deep.equal([])
      expect(asked.told.at(-1)![0]).to.include({ type: 'failed', errorCode, retriable: false })
    }
  })

  it('is asked again where the answer leaves a partition out, or does not come', async () => {
    const [, left] = [ask(4), ask(4, 1)]
    expect(await asked.settle({ partitions: [at(0), at(5)] })).to.deep.equal(retried([left!]))
    const request = ask(4)
    const call = await asked.next()
    expect(asked.processor.callFailed(call, new Error(), true)).to.deep.equal([request])
    const waits = ask(5)
    expect([asked.processor.drain(), asked.processor.isEmpty]).to.deep.equal([[waits], true])
  })

  it('is impossible without an epoch', () => {
    const topicPartition = { topic: 'orders', partition: 0 }
    const problemOf = (request: object) => descriptorOf('fetchEpochEnd').problemOf(request as never)?.code
    expect(problemOf({ topicPartition, leaderEpoch: 0 })).to.equal(undefined)
    for (const leaderEpoch of [-1, 1.5, undefined]) {
      expect(problemOf({ topicPartition, leaderEpoch })).to.equal('invalidRequest')
    }
  })
})
