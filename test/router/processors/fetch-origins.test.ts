import { expect } from 'chai'
import type { BatchOrigin } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Asked, retried } from './asked.js'

const origin: BatchOrigin = { baseOffset: 50, lastOffset: 54, producerId: 7, producerEpoch: 0, baseSequence: 3 }
const whole = { batches: [{ origins: [origin] }], nextOffset: 55, sizeBytes: 900 }
const none = { batches: [], nextOffset: 50, sizeBytes: 0 }

describe('fetchOrigins', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('fetchOrigins')))
  const ask = (offset = 50, partition = 0) => {
    const request = asked.ask({ topicPartition: { topic: 'orders', partition }, offset })
    request.identity = { topicId: 'id', leaderEpoch: 9 }
    return request
  }
  const at = (records: object, more: object = {}, partition = 0) => ({
    topic: 'orders',
    partition,
    errorCode: 0,
    highWatermark: 60,
    records,
    ...more
  })
  const answered = (...partitions: object[]) => ({ errorCode: 0, sessionId: 0, sizeBytes: 1_000, partitions })

  it('reads all partitions in one call that does not wait, also what is not committed', async () => {
    ask()
    ask(70, 1)
    await asked.settle(answered(at(whole), at({ ...none, nextOffset: 75 }, {}, 1)))
    const { call } = asked.sent[0] as { call: { partitions: { fetchOffset: number }[] } }
    expect(call).to.include({ isolationLevel: 'readUncommitted', maxWaitMs: 0, minBytes: 0 })
    expect(call.partitions.map(({ fetchOffset }) => fetchOffset)).to.deep.equal([50, 70])
    expect(asked.told).to.deep.equal([
      [{ type: 'success', origins: [origin], nextOffset: 55, sizeBytes: 900 }],
      [{ type: 'success', origins: [], nextOffset: 75, sizeBytes: 0 }]
    ])
  })

  it('has no messages only where the leader says that readers have seen all', async () => {
    const request = ask()
    expect(await asked.settle(answered(at(none)))).to.deep.equal(retried([request]))
    ask()
    await asked.settle(answered(at(none, { highWatermark: 50 })))
    expect(asked.told).to.deep.equal([[], [{ type: 'noMessages' }]])
  })

  it('is read again when a broker throttles, for such an answer leaves out all partitions', async () => {
    const request = ask()
    expect(await asked.settle({ ...answered(), throttleTimeMs: 900 })).to.deep.equal(retried([request]))
  })

  it('is asked again or told by what the broker says', async () => {
    for (const [errorCode, fate] of [
      [errorCodes.NOT_LEADER_OR_FOLLOWER, 'notLeader'],
      [errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'unknownTopicOrPartition'],
      [errorCodes.REQUEST_TIMED_OUT, 'retryLater'],
      [errorCodes.OFFSET_OUT_OF_RANGE, 'offsetOutOfRange'],
      [errorCodes.TOPIC_AUTHORIZATION_FAILED, 'failed']
    ] as const) {
      ask()
      const back = await asked.settle(answered(at(none, { errorCode })))
      const told = asked.told.at(-1)![0]
      expect(told?.type ?? back[0]?.reason).to.equal(fate)
    }
    ask()
    await asked.settle(answered(at({ ...none, corruption: { offset: 50, nextOffset: 55, reason: 'CRC' } })))
    expect(asked.told.at(-1)).to.deep.equal([{ type: 'corruptMessage' }])
  })
})
