import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { FetchCall, FetchResponse } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import type { FetchDataCall } from '../../../src/router/processors/fetch-lines.js'
import { ReadersAtEnd } from '../../../src/router/processors/long-poll.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'
import { type OpenRequest, reply } from '../../../src/router/requests/open-requests.js'
import { fakeBatch, fakeBatchOf } from '../../support/fake-batch.js'
import { turns } from '../../support/ticks.js'
import { B, FetchStage, offsetsOf, T16 } from './fetch-stage.js'
import { ProcessorStage } from './stage.js'

const LARGEST = 1_000_000
const SMALLEST = 64 * 1024

describe('fetch data processor: its calls', () => {
  it('ask without waiting for records that exist, and let the broker wait at the end of the log', async () => {
    const stage = new FetchStage(100)
    stage.identity = { topicId: 'id', leaderEpoch: 3 }
    stage.ask(50)
    const [call, catchUp] = await stage.send()
    expect(catchUp).to.deep.include({
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: LARGEST,
      isolationLevel: 'readUncommitted',
      timeoutMs: 5_000,
      partitions: [{ ...T16, topicId: 'id', fetchOffset: 50, maxBytes: 498_452, currentLeaderEpoch: 3 }]
    })
    stage.answer(call, { 'perf/16@50': {} })
    const [, tail] = await stage.send('tail')
    expect(tail).to.include({ maxWaitMs: 100, minBytes: 1, timeoutMs: 5_100 })
    expect(stage.metrics.of('fetches')).to.equal(2)
  })

  const PATIENT_MS = 10_000

  /** The long poll of a partition each, all at the end of their logs. */
  async function longPollOf(stage: FetchStage, partitions: number, maxWaitMs?: number): Promise<FetchCall> {
    const end = { highWatermark: 50 }
    const names = Array.from({ length: partitions }, (_, partition) => ({ topic: 'perf', partition }))
    for (const name of names) stage.ask(50, name, [], maxWaitMs)
    for (let left = partitions; left > 0; ) {
      const call = stage.issue()
      stage.answer(call, Object.fromEntries([...call.partitions.keys()].map(key => [`${key}@50`, end])))
      left -= call.partitions.size
    }
    return (await stage.send('tail'))[1]
  }

  it('poll many idle partitions less often, a second apart at most, where their readers are patient', async () => {
    const polls = [
      [100, PATIENT_MS],
      [600, PATIENT_MS],
      [5_000, PATIENT_MS],
      [5_000, 200]
    ] as const
    const lengths: number[] = []
    for (const [partitions, maxWaitMs] of polls) {
      const call = await longPollOf(new FetchStage(100, 'readUncommitted', 2_000), partitions, maxWaitMs)
      expect(call.partitions).to.have.length(partitions)
      lengths.push(call.maxWaitMs)
    }
    expect(lengths).to.deep.equal([100, 300, 1_000, 100])
  })

  it('poll briefly for a minute after a reader without much patience, which may come again during a poll', async () => {
    const lengths: number[] = []
    for (const laterMs of [59_999, 60_000]) {
      const stage = new FetchStage(100, 'readUncommitted', 2_000)
      stage.ask(7, B)
      stage.answer(stage.issue(), { 'api/17@7': { batches: [fakeBatch(7, [10])], highWatermark: 8 } })
      stage.now += laterMs
      lengths.push((await longPollOf(stage, 1_000, PATIENT_MS)).maxWaitMs)
    }
    expect(lengths).to.deep.equal([100, 500])
  })

  it('poll briefly while readers wait for the next long poll', async () => {
    const call = await longPollOf(new FetchStage(100, 'readUncommitted', 100), 1_001, PATIENT_MS)
    expect([call.partitions.length, call.maxWaitMs]).to.deep.equal([1_000, 100])
  })

  it('never wait where the Router does not', async () => {
    const stage = new FetchStage(0, 'readUncommitted', 2_000)
    stage.ask(50, T16, [], PATIENT_MS)
    expect((await stage.send())[1].maxWaitMs).to.equal(0)
  })

  it('are named for their slots', () => {
    const { catchUp, tail } = new FetchStage().fetch
    expect([catchUp.name, tail.name]).to.deep.equal(['catchUp', 'tail'])
  })

  it('ask for a quarter after a time-out, down to 64 KiB, and for twice as much after each answer', async () => {
    const stage = new FetchStage()
    const sizes: number[] = []
    for (const isAnswered of [false, false, false, true, true, true, true, true, true]) {
      stage.ask(1)
      const [call, { maxBytes }] = await stage.send()
      sizes.push(maxBytes)
      if (isAnswered) stage.answer(call, { 'perf/16@1': { highWatermark: 1 } })
      else stage.fetch.catchUp.callFailed(call, new TimedOutError('Fetch', 1), true)
    }
    const grown = [1, 2, 4, 8].map(times => times * SMALLEST)
    expect(sizes).to.deep.equal([LARGEST, LARGEST / 4, SMALLEST, ...grown, LARGEST, LARGEST])
  })

  it('ask for what the most demanding request of an offset wants, and for no more than the Router allows', async () => {
    const sizes: (number | undefined)[] = []
    for (const wishes of [[10], [10, 20, 15], [10, undefined], [498_453], [498_451]]) {
      const stage = new FetchStage()
      for (const wish of wishes) stage.ask(1, T16, [], undefined, wish)
      const [, { partitions }] = await stage.send()
      sizes.push(partitions[0]!.maxBytes)
    }
    expect(sizes).to.deep.equal([10, 20, 498_452, 498_452, 498_451])
  })

  it('ask for twice as much of a partition that brought no record although there are some', async () => {
    const stage = new FetchStage()
    stage.ask(1, B, [], undefined, 1_000)
    const results = stage.ask(1, T16, [], undefined, 1_000)
    const there = { batches: [fakeBatch(1, [10])], highWatermark: 9 }
    stage.answer(stage.issue(), { 'api/17@1': there, 'perf/16@1': { highWatermark: 9 } })
    const [call, { partitions }] = await stage.send()
    expect(partitions.map(({ topic, maxBytes }) => [topic, maxBytes])).to.deep.equal([['perf', 2_000]])
    stage.answer(call, { 'perf/16@1': there })
    expect(offsetsOf(results[0])).to.deep.equal([1])
  })

  it('ask for no more of a partition that brought no record because the response was full', async () => {
    const there = { batches: [fakeBatch(1, [10])], highWatermark: 9 }
    for (const [roomBytes, askedBytes] of [
      [999, 1_000],
      [1_000, 2_000]
    ] as const) {
      const stage = new FetchStage()
      stage.ask(1, B, [], undefined, 1_000)
      stage.ask(1, T16, [], undefined, 1_000)
      const table = { 'api/17@1': there, 'perf/16@1': { highWatermark: 9 } }
      stage.tell(stage.issue(), 0, table, { sizeBytes: LARGEST - roomBytes })
      const [, { partitions }] = await stage.send()
      expect(partitions.map(({ topic, maxBytes }) => [topic, maxBytes])).to.deep.equal([['perf', askedBytes]])
    }
  })

  it('ask for as much as before after a lost connection', async () => {
    const stage = new FetchStage()
    stage.ask(1)
    const [call] = await stage.send()
    const lost = new UnavailableError('brokerUnreachable', 'cut')
    expect(stage.fetch.catchUp.callFailed(call, lost, true)).to.have.length(1)
    stage.ask(1)
    const [, { maxBytes }] = await stage.send()
    expect(maxBytes).to.equal(LARGEST)
  })

  it('give all who wait for them back when they fail, but those who were answered, and nobody joins them then', () => {
    const stage = new FetchStage()
    stage.ask(1)
    const call = stage.issue()
    const joined = stage.accept('fetchData', { topicPartition: T16, offset: 1 })
    const answered = stage.accept('fetchData', { topicPartition: T16, offset: 1 })
    for (const one of [joined, answered]) stage.fetch.addToQueue(one as OpenRequest)
    answered.settled = true
    const back = stage.fetch.catchUp.callFailed(call, new TimedOutError('Fetch', 1), true)
    expect([back.length, back.includes(joined as OpenRequest)]).to.deep.equal([2, true])
    stage.ask(1)
    expect(stage.fetch.catchUp.isEmpty, 'asked by a call of its own').to.equal(false)
  })

  it('count the bytes that came, and requests that shared a call', () => {
    const stage = new FetchStage()
    for (let reader = 0; reader < 2; reader++) stage.ask(1)
    const call = stage.issue()
    for (let reader = 0; reader < 3; reader++) stage.ask(1)
    stage.answer(call, { 'perf/16@1': { batches: [fakeBatch(1, [5])] } })
    const counts = ['bytes_fetched', 'batched_requests', 'avoided_fetches', 'cache_hits', 'invalid_messages']
    expect(counts.map(name => stage.metrics.of(name))).to.deep.equal([100, 2, 3, 0, 0])
    stage.hit(1)
    expect(stage.metrics.of('cache_hits')).to.equal(1)
    stage.ask(9)
    stage.answer(stage.issue(), { 'perf/16@9': { errorCode: errorCodes.CORRUPT_MESSAGE } })
    expect(stage.metrics.of('invalid_messages')).to.equal(1)
    stage.ask(9)
    stage.answer(stage.issue(), { 'perf/16@9': { errorCode: 3 } })
    expect(stage.metrics.of('unknown_topic_or_partition_responses')).to.equal(1)
  })

  describe('are answered', () => {
    const settle = (stage: FetchStage, call: FetchDataCall, response: Partial<FetchResponse>) =>
      stage.fetch[call.slot].processResponse(call, {
        throttleTimeMs: 0,
        errorCode: 0,
        sessionId: 0,
        sizeBytes: 0,
        partitions: [],
        ...response
      })

    it('with a partition left out: it is asked for again', () => {
      const stage = new FetchStage()
      const results = stage.ask(1)
      const [back] = settle(stage, stage.issue(), {})
      expect([back?.reason, back?.requests.length, results]).to.deep.equal(['retryLater', 1, []])
    })

    it('with an error of the whole call: it is that of every partition', () => {
      const stage = new FetchStage()
      const answers = [stage.ask(1), stage.ask(1, B)]
      settle(stage, stage.issue(), { errorCode: errorCodes.CLUSTER_AUTHORIZATION_FAILED })
      for (const [answer] of answers) expect(answer).to.include({ type: 'failed', errorCode: 31 })
    })
  })

  describe('bring no records', () => {
    /** Settles a call for offset 10, of which the broker tells this. */
    const settle = (stage: FetchStage, slot: 'catchUp' | 'tail', records: object, highWatermark = 20) => {
      const partition = {
        ...T16,
        errorCode: 0,
        highWatermark,
        lastStableOffset: highWatermark,
        logStartOffset: 0,
        preferredReadReplica: -1,
        records: { sizeBytes: 0, batches: [], nextOffset: 10, hasPartialBatch: false, isLeftOut: false, ...records }
      } as unknown as FetchResponse['partitions'][number]
      const response = { throttleTimeMs: 0, errorCode: 0, sessionId: 0, sizeBytes: 0, partitions: [partition] }
      return stage.fetch[slot].processResponse(stage.issue(slot), response)
    }
    const unavailable = (offset: number) => ({ unavailable: { offset, reason: 'no such codec here' } })

    it('where their compression is not known here: that is told, and reading goes on before such a batch', () => {
      const stage = new FetchStage()
      const results = stage.ask(10)
      settle(stage, 'catchUp', { ...unavailable(12), nextOffset: 12 })
      expect(results).to.deep.equal([])
      expect([...stage.issue().partitions.values()].map(({ position }) => position)).to.deep.equal([12])
      const another = new FetchStage()
      const told = another.ask(10)
      settle(another, 'catchUp', unavailable(10))
      expect(told[0]).to.include({ type: 'failed', code: 'protocol', message: 'no such codec here', retriable: false })
    })

    it('where what comes first is compacted away, before one that is damaged or too large', () => {
      for (const records of [
        { corruption: { offset: 12, nextOffset: 15, reason: 'crc' } },
        { tooLarge: { offset: 12, nextOffset: 15, maxBytes: 1_000 } }
      ]) {
        const stage = new FetchStage()
        const results = stage.ask(10)
        expect(settle(stage, 'catchUp', { ...records, nextOffset: 12 })).to.deep.equal([])
        expect(results).to.deep.equal([])
        expect([...stage.issue().partitions.values()].map(({ position }) => position)).to.deep.equal([12])
      }
    })

    it('to a long poll although there are some: they are asked for without waiting, by who waits still', () => {
      const stage = new FetchStage(100)
      const results = stage.ask(10)
      settle(stage, 'catchUp', {}, 10)
      expect(settle(stage, 'tail', {}, 20)).to.deep.equal([])
      expect(results).to.deep.equal([])
      expect([...stage.issue().partitions.keys()]).to.deep.equal(['perf/16'])
      expect(stage.fetch.tail.isEmpty).to.equal(true)
    })

    it('and nobody waits any more: nothing is asked again', () => {
      const stage = new FetchStage()
      const request = stage.accept('fetchData', { topicPartition: T16, offset: 10 })
      stage.fetch.addToQueue(request as OpenRequest)
      stage.ask(1, B)
      const call = stage.issue()
      request.settled = true
      stage.answer(call, { 'perf/16@10': { highWatermark: 20 }, 'api/17@1': { highWatermark: 1 } })
      expect(stage.fetch.catchUp.isEmpty).to.equal(true)
    })
  })

  for (const [passedMs, polled] of [
    [99, ['perf/16', 'api/17']],
    [100, ['perf/16']]
  ] as const) {
    it(`are for ${polled.length} of two partitions ${passedMs} ms after the readers of one were answered`, () => {
      const stage = new FetchStage(100)
      stage.ask(50)
      stage.ask(7, B)
      stage.answer(stage.issue(), { 'perf/16@50': {}, 'api/17@7': {} })
      stage.answer(stage.issue('tail'), { 'api/17@7': { batches: [fakeBatch(7, [5])] }, 'perf/16@50': {} })
      stage.now += passedMs
      expect([...stage.issue('tail').partitions.keys()]).to.have.members(polled)
    })
  }

  it('are for partitions whose readers were answered just now at the end of the log only', () => {
    const stage = new FetchStage(100)
    stage.ask(50)
    stage.ask(7, B)
    stage.answer(stage.issue(), { 'perf/16@50': {}, 'api/17@7': {} })
    stage.answer(stage.issue('tail'), { 'api/17@7': { batches: [fakeBatch(7, [5])] }, 'perf/16@50': {} })
    stage.ask(1, { topic: 'many', partition: 0 })
    expect([...stage.issue().partitions.keys()]).to.deep.equal(['many/0'])
    expect([...stage.issue('tail').partitions.keys()]).to.have.members(['perf/16', 'api/17'])
  })

  it('answer all who want a refused offset, in the queue as well, and nobody else', () => {
    const stage = new FetchStage()
    const first = stage.ask(5)
    const call = stage.issue()
    stage.identity = { topicId: undefined, leaderEpoch: 0 }
    const [same, other] = [stage.ask(5), stage.ask(6)]
    stage.answer(call, { 'perf/16@5': { errorCode: errorCodes.OFFSET_OUT_OF_RANGE } })
    expect([first, same, other].map(([one]) => one?.type)).to.deep.equal([
      'offsetOutOfRange',
      'offsetOutOfRange',
      undefined
    ])
  })

  it('answer queued requests from the batch that came, up to its last record', () => {
    const stage = new FetchStage()
    stage.ask(10)
    const call = stage.issue()
    const [before, last, behind] = [stage.ask(9), stage.ask(14), stage.ask(15)]
    stage.answer(call, { 'perf/16@10': { batches: [fakeBatchOf(10, 5, 50)] } })
    expect([before, last, behind].map(([one]) => offsetsOf(one))).to.deep.equal([undefined, [14], undefined])
  })

  it('are possible for whole offsets and limits only', () => {
    const problemOf = (offset: number, partition = 0, maxBytes?: unknown): string | undefined => {
      const request = { topicPartition: { topic: 'orders', partition }, offset, maxBytes }
      return (descriptorOf('fetchData').problemOf(request as never) as { code?: string } | undefined)?.code
    }
    expect([problemOf(0), problemOf(0, 0, 1), problemOf(0, 0, 2 ** 40)]).to.deep.equal([
      undefined,
      undefined,
      undefined
    ])
    const problems = [problemOf(1.5), problemOf(0, -1), ...[0, -1, 1.5, '1', null].map(most => problemOf(0, 0, most))]
    expect(new Set(problems)).to.deep.equal(new Set(['invalidRequest']))
  })
})

describe('readers at the end of a log', () => {
  let stage: ProcessorStage
  let readers: ReadersAtEnd
  beforeEach(() => {
    stage = new ProcessorStage()
    readers = new ReadersAtEnd()
  })
  const reader = (results: FetchDataResult[] = []): OpenRequest<'fetchData'> => {
    const one = stage.accept('fetchData', { topicPartition: T16, offset: 5 }, results)
    readers.add([one])
    return one
  }

  it('give way after a second, one at a time, the first one first', () => {
    const [first, second]: FetchDataResult[][] = [[], []]
    reader(first)
    stage.now = 1
    reader(second)
    readers.answerOldest(999)
    expect([first, second]).to.deep.equal([[], []])
    readers.answerOldest(1_001)
    expect([first!.map(({ type }) => type), second]).to.deep.equal([['noMessages'], []])
    readers.answerOldest(1_001)
    expect(second!.map(({ type }) => type)).to.deep.equal(['noMessages'])
    readers.answerOldest(9_000)
    expect([first!.length, second!.length]).to.deep.equal([1, 1])
  })

  it('keep their places when they go on waiting, and are passed over when they were answered', () => {
    const [first, second]: FetchDataResult[][] = [[], []]
    const one = reader(first)
    const answered = reader()
    answered.settled = true
    reader(second)
    readers.add([one])
    readers.answerOldest(1_000)
    expect([first!.length, second!.length]).to.deep.equal([1, 0])
    readers.answerOldest(1_000)
    expect(second).to.have.length(1)
  })

  it('are held no longer than they wait', async () => {
    const left = Array.from({ length: 300 }, () => {
      const one = reader()
      reply(one, { type: 'noMessages' })
      return new WeakRef(one)
    })
    // What a weak reference points to is kept until the turn in which that was made is over.
    await turns(2)
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    collectGarbage()
    expect(left.filter(one => one.deref() !== undefined)).to.deep.equal([])
    expect(readers).to.be.instanceOf(ReadersAtEnd)
  })

  it('are found behind thousands who have left', () => {
    const results: FetchDataResult[] = []
    reader(results)
    for (let left = 0; left < 5_000; left++) reader().settled = true
    readers.answerOldest(1_000)
    expect(results).to.have.length(1)
  })
})
