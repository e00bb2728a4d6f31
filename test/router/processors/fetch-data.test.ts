import { expect } from 'chai'
import sinon from 'sinon'
import type { BrokerClient, FetchCall } from '../../../src/kafka/broker-client.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import type { FetchDataCall } from '../../../src/router/processors/fetch-lines.js'
import { type OpenRequest, reply } from '../../../src/router/requests/open-requests.js'
import { fakeBatch, fakeBatchOf } from '../../support/fake-batch.js'
import type { ScriptedFetch } from '../../support/scripted-client.js'
import { B, FetchStage, offsetsOf, T16 } from './fetch-stage.js'

describe('fetch data processor', () => {
  it('castle 17 answers equal and covered requests from one response, each once', () => {
    const stage = new FetchStage()
    const first = stage.ask(4000)
    const call = stage.issue()
    const [r1, r2, r3] = [stage.ask(4000), stage.ask(4010), stage.ask(4040)]
    stage.answer(call, { 'perf/16@4000': { batches: [fakeBatchOf(4000, 20, 400)] } })
    expect(offsetsOf(first[0])).to.have.length(20)
    expect(r1[0]?.type === 'success' && first[0]?.type === 'success' && r1[0].batch === first[0].batch).to.equal(true)
    expect(offsetsOf(r2[0])).to.deep.equal([4010, 4011, 4012, 4013, 4014, 4015, 4016, 4017, 4018, 4019])
    expect(r3).to.have.length(0)
    expect(stage.metrics.of('avoided_fetches')).to.equal(2)

    stage.answer(call, { 'perf/16@4000': { batches: [fakeBatchOf(4000, 20, 400)] } })
    expect(
      [first, r1, r2].map(results => results.length),
      'nobody is answered twice'
    ).to.deep.equal([1, 1, 1])

    const cached: FetchDataResult[] = []
    for (const offset of [4000, 4010]) {
      const request = stage.accept('fetchData', { topicPartition: T16, offset }, cached)
      expect(stage.fetch.answerFromCache(request)).to.equal(true)
    }
    expect(cached.map(result => (result.type === 'success' ? result.batch.recordCount : 0))).to.deep.equal([20, 10])
  })

  it('castle 19 gives an unknown partition back once, to be confirmed', () => {
    const stage = new FetchStage()
    stage.ask(4000)
    const returned = stage.answer(stage.issue(), { 'perf/16@4000': { errorCode: 3 } })
    expect(returned.map(({ reason, requests }) => [reason, requests.length])).to.deep.equal([
      ['unknownTopicOrPartition', 1]
    ])
  })

  it('castle 27 six equal requests get six answers (unlike Castle, where one requester got one)', () => {
    const stage = new FetchStage()
    const results: FetchDataResult[] = []
    for (let time = 0; time < 6; time++) stage.ask(5, T16, results)
    stage.answer(stage.issue(), { 'perf/16@5': { batches: [fakeBatch(5, [10])] } })
    expect(results.map(offsetsOf)).to.deep.equal([[5], [5], [5], [5], [5], [5]])
    expect(stage.metrics.of('fetches'), 'sent by hand').to.equal(0)
  })

  it('castle 9.16-D2 delivers the good records before damaged ones', () => {
    const stage = new FetchStage()
    const results = stage.ask(10)
    const corruption = { offset: 12, nextOffset: 15, reason: 'crc' }
    stage.answer(stage.issue(), {
      'perf/16@10': { batches: [fakeBatch(10, [5, 5])], corruption, highWatermark: 20 }
    })
    expect(offsetsOf(results[0])).to.deep.equal([10, 11])
  })

  it('castle 9.16-D2 asks once more where damage comes first, then says so and where to go on', () => {
    const stage = new FetchStage()
    const results = stage.ask(12)
    const damaged = { 'perf/16@12': { corruption: { offset: 12, nextOffset: 15, reason: 'crc' }, highWatermark: 20 } }
    const [returned] = stage.answer(stage.issue(), damaged)
    expect(returned).to.include({ reason: 'retryLater' })
    expect(results).to.have.length(0)
    for (const request of returned!.requests) stage.fetch.addToQueue(request)
    const call = stage.issue()
    const inside = stage.ask(13)
    const behind = stage.ask(15)
    stage.answer(call, damaged)
    expect(results[0]).to.deep.include({ type: 'corruptMessage', offset: 12, nextOffset: 15 })
    expect(inside[0]).to.deep.include({ type: 'corruptMessage', offset: 13, nextOffset: 15 })
    expect(behind).to.have.length(0)
    expect(stage.cache.entryCount).to.equal(0)
  })

  it('takes code 2 without records as damage, not as noMessages', () => {
    const stage = new FetchStage()
    const results = stage.ask(12)
    const [returned] = stage.answer(stage.issue(), { 'perf/16@12': { errorCode: 2 } })
    for (const request of returned!.requests) stage.fetch.addToQueue(request)
    stage.answer(stage.issue(), { 'perf/16@12': { errorCode: 2 } })
    expect(results[0]).to.deep.include({ type: 'corruptMessage', nextOffset: 13 })
  })

  it('castle 9.16-D8 answers a batch larger than the buffer whole, now and from the cache', () => {
    const stage = new FetchStage()
    const results = stage.ask(7)
    stage.answer(stage.issue(), { 'perf/16@7': { batches: [fakeBatch(7, [600_000])] } })
    expect(offsetsOf(results[0])).to.deep.equal([7])
    expect(stage.fetch.answerFromCache(stage.accept('fetchData', { topicPartition: T16, offset: 7 }))).to.equal(true)
  })

  it('castle 9.16-D9 answers an offset in a compacted gap with the first record behind it', () => {
    const stage = new FetchStage()
    const results = stage.ask(100)
    const queued = stage.ask(104)
    const call = stage.issue()
    stage.answer(call, { 'perf/16@100': { batches: [fakeBatch(103, [5, 5], 110)], highWatermark: 110 } })
    expect(offsetsOf(results[0])).to.deep.equal([103, 104])
    expect(results[0]?.type === 'success' && results[0].batch.nextOffset).to.equal(110)
    expect(offsetsOf(queued[0])).to.deep.equal([104])
  })

  it('castle 9.16-D9 reads on behind control batches and empty ones, and names the offset asked for', () => {
    const stage = new FetchStage()
    const results = stage.ask(200)
    stage.answer(stage.issue(), { 'perf/16@200': { nextOffset: 203, highWatermark: 210 } })
    expect(results).to.have.length(0)
    const call = stage.issue()
    expect([...call.partitions.values()].map(wanted => wanted.position)).to.deep.equal([203])
    stage.answer(call, { 'perf/16@203': { batches: [fakeBatch(203, [5])] } })
    expect(results[0]).to.include({ offset: 200 })
    expect(offsetsOf(results[0])).to.deep.equal([203])
  })

  it('castle 9.16-D9 answers noMessages where nothing but control batches follow up to the end', () => {
    const stage = new FetchStage()
    const results = stage.ask(200)
    stage.answer(stage.issue(), { 'perf/16@200': { nextOffset: 203, highWatermark: 203 } })
    stage.answer(stage.issue(), { 'perf/16@203': { highWatermark: 203 } })
    expect(results[0]).to.deep.include({ type: 'noMessages', offset: 200 })
  })

  it('takes empty below the high watermark as not served: first in the next call, not noMessages', () => {
    const stage = new FetchStage()
    const full = stage.ask(1, B)
    const notServed = stage.ask(50)
    stage.answer(stage.issue(), {
      'api/17@1': { batches: [fakeBatch(1, [900_000])] },
      'perf/16@50': { highWatermark: 60 }
    })
    expect(offsetsOf(full[0])).to.deep.equal([1])
    expect(notServed).to.have.length(0)
    stage.ask(2, B)
    const call = stage.issue()
    expect([...call.partitions.keys()]).to.deep.equal(['perf/16', 'api/17'])
  })

  it('a response that serves two of a hundred partitions serves the next two the next time', () => {
    const stage = new FetchStage(0, 'readUncommitted', 2_000)
    const answered = new Map<number, number>()
    const ask = (partition: number): void => {
      stage.ask((answered.get(partition) ?? 0) + 1, { topic: 'many', partition })
    }
    for (let partition = 0; partition < 100; partition++) ask(partition)
    for (let round = 0; round < 150; round++) {
      const call = stage.issue()
      const table: Record<string, ScriptedFetch> = {}
      const served: number[] = []
      for (const { partition, position } of call.partitions.values()) {
        const isServed = served.length < 2
        if (isServed) served.push(partition)
        table[`many/${partition}@${position}`] = isServed
          ? { batches: [fakeBatch(position, [5])], highWatermark: 1_000 }
          : { highWatermark: 1_000 }
      }
      stage.answer(call, table)
      for (const partition of served) {
        answered.set(partition, (answered.get(partition) ?? 0) + 1)
        ask(partition)
      }
    }
    expect([...answered.values()]).to.deep.equal(Array.from({ length: 100 }, () => 3))
  })

  it('a partition that a broker serves last, in whatever order it was asked, is asked for alone', () => {
    const stage = new FetchStage()
    const results = stage.ask(50)
    stage.ask(1, B)
    const call = stage.issue()
    stage.answer(call, { 'perf/16@50': { highWatermark: 60 }, 'api/17@1': { batches: [fakeBatch(1, [5])] } })
    stage.ask(2, B)
    const alone = stage.issue()
    expect([...alone.partitions.keys()]).to.deep.equal(['perf/16'])
    stage.answer(alone, { 'perf/16@50': { batches: [fakeBatch(50, [5])], highWatermark: 60 } })
    expect(offsetsOf(results[0])).to.deep.equal([50])
    expect([...stage.issue().partitions.keys()]).to.deep.equal(['api/17'])
  })

  it('a partition that skips what holds no record does not keep the first turn', () => {
    const stage = new FetchStage()
    stage.ask(200)
    stage.ask(1, B)
    const call = stage.issue()
    stage.answer(call, { 'perf/16@200': { nextOffset: 203, highWatermark: 300 }, 'api/17@1': { highWatermark: 9 } })
    expect([...stage.issue().partitions.keys()]).to.deep.equal(['api/17', 'perf/16'])
  })

  it('a batch that is too large when decompressed fails those who want it, and nobody else', () => {
    const stage = new FetchStage()
    const bomb = stage.ask(10)
    const innocent = stage.ask(1, B)
    const call = stage.issue()
    const [same, inside, behind] = [stage.ask(10), stage.ask(12), stage.ask(15)]
    const tooLarge = { offset: 10, nextOffset: 15, maxBytes: 1_000 }
    stage.answer(call, {
      'perf/16@10': { tooLarge, highWatermark: 20 },
      'api/17@1': { batches: [fakeBatch(1, [5])] }
    })
    for (const results of [bomb, same, inside]) {
      expect(results[0]).to.include({ type: 'failed', code: 'batchTooLarge', errorCode: undefined, retriable: false })
    }
    expect(bomb[0]?.type === 'failed' && bomb[0].message).to.contain('perf/16 at offset 10 takes more than 1000 bytes')
    expect(offsetsOf(innocent[0])).to.deep.equal([1])
    expect(behind).to.have.length(0)
  })

  it('what was left out for want of capacity keeps its turn, and less is asked for', async () => {
    const stage = new FetchStage()
    const first = stage.ask(1, B)
    const leftOut = stage.ask(10)
    stage.answer(stage.issue(), {
      'api/17@1': { batches: [fakeBatch(1, [5])] },
      'perf/16@10': { isLeftOut: true, highWatermark: 20 }
    })
    expect(offsetsOf(first[0])).to.deep.equal([1])
    expect(leftOut).to.have.length(0)
    stage.ask(2, B)
    const next = stage.issue()
    expect([...next.partitions.keys()]).to.deep.equal(['perf/16', 'api/17'])
    const asked: FetchCall[] = []
    const client = { fetch: async (fetch: FetchCall) => asked.push(fetch) } as unknown as BrokerClient
    await stage.fetch.catchUp.send(client, next)
    expect(asked[0]?.maxBytes).to.equal(500_000)
  })

  it('holds no request long after its time ran out, however many come while a broker does not answer', () => {
    const stage = new FetchStage()
    stage.ask(1)
    const call = stage.issue()
    const joinedBefore = (): number => call.partitions.get('perf/16')!.joined.length
    for (let at = 0; at < 50_000; at++) {
      const request = stage.accept('fetchData', { topicPartition: T16, offset: at % 2 === 0 ? 1 : 1 + at })
      stage.fetch.addToQueue(request)
      reply(request as OpenRequest<'fetchData'>, { type: 'timedOut' })
    }
    expect(joinedBefore()).to.be.at.most(10_000)
    const open = stage.ask(70_000)
    const next = stage.issue()
    expect([...next.partitions.values()].map(({ position }) => position)).to.deep.equal([70_000])
    expect(open).to.have.length(0)
  })

  it('does not ask in a hot loop when a partition that comes first is not served', () => {
    const stage = new FetchStage()
    stage.ask(50)
    const returned = stage.answer(stage.issue(), { 'perf/16@50': { highWatermark: 60 } })
    expect(returned[0]).to.include({ reason: 'retryLater' })
  })

  it('reads up to the last stable offset only where committed records are asked for', () => {
    const stage = new FetchStage(0, 'readCommitted')
    const results = stage.ask(50)
    stage.answer(stage.issue(), { 'perf/16@50': { highWatermark: 60, lastStableOffset: 50 } })
    expect(results[0]).to.include({ type: 'noMessages' })
  })

  it('serves partitions in turn when there are more than fit in a call', () => {
    const stage = new FetchStage()
    for (let partition = 0; partition < 5; partition++) {
      for (const offset of [1, 2]) stage.ask(offset, { topic: 'many', partition })
    }
    const first = stage.issue()
    expect([...first.partitions.keys()]).to.deep.equal(['many/0', 'many/1', 'many/2'])
    const second = stage.fetch.catchUp.nextCall() as FetchDataCall
    expect([...second.partitions.keys()]).to.deep.equal(['many/3', 'many/4', 'many/0'])
  })

  it('gives back everything of a partition whose leader has moved, in order', () => {
    const stage = new FetchStage()
    stage.ask(1)
    const call = stage.issue()
    stage.ask(1)
    stage.ask(9)
    stage.ask(5)
    stage.ask(7, B)
    const [returned] = stage.answer(call, { 'perf/16@1': { errorCode: 6 } })
    expect(returned?.reason).to.equal('notLeader')
    expect(returned?.requests.map(request => (request as OpenRequest<'fetchData'>).state.position)).to.deep.equal([
      1, 1, 9, 5
    ])
    expect([...stage.issue().partitions.keys()]).to.deep.equal(['api/17'])
  })

  it('forgets cached records once their offset turns out to be outside the log', () => {
    const stage = new FetchStage()
    stage.ask(1)
    stage.answer(stage.issue(), { 'perf/16@1': { batches: [fakeBatch(1, [5, 5])], highWatermark: 10 } })
    stage.ask(3)
    stage.answer(stage.issue(), { 'perf/16@3': { errorCode: 1 } })
    expect(stage.hit(1), 'it may be gone').to.equal(undefined)
    stage.ask(9)
    stage.answer(stage.issue(), { 'perf/16@9': { batches: [fakeBatch(9, [5])], highWatermark: 10 } })
    expect(stage.hit(1), 'the log was cut below 3 and has grown since').to.equal(undefined)
  })

  it('keeps what is above the log start when a fetch below it is refused', () => {
    const stage = new FetchStage()
    stage.ask(10)
    stage.answer(stage.issue(), {
      'perf/16@10': { batches: [fakeBatch(10, [5, 5, 5])], logStartOffset: 2, highWatermark: 20 }
    })
    const early = stage.ask(1)
    stage.answer(stage.issue(), { 'perf/16@1': { errorCode: 1 } })
    expect(early[0]?.type).to.equal('offsetOutOfRange')
    expect(stage.hit(10)).to.deep.equal([10, 11, 12])
    const removed = stage.ask(5)
    stage.answer(stage.issue(), { 'perf/16@5': { errorCode: 1 } })
    expect(removed[0]?.type).to.equal('offsetOutOfRange')
    expect(stage.hit(10), 'until it is known what is gone').to.equal(undefined)
    stage.ask(15)
    stage.answer(stage.issue(), {
      'perf/16@15': { batches: [fakeBatch(15, [5])], logStartOffset: 11, highWatermark: 20 }
    })
    expect(stage.hit(10), 'below the start').to.equal(undefined)
    expect(stage.hit(11)).to.deep.equal([11, 12])
    expect(stage.hit(15)).to.deep.equal([15])
  })

  it('drops what is above the end of the log that a fetch shows, and only that', () => {
    for (const topicId of ['id-of-this-topic', undefined]) {
      const stage = new FetchStage()
      stage.identity = { topicId, leaderEpoch: 3 }
      for (const [offset, batch] of [
        [0, fakeBatch(0, [5, 5])],
        [1000, fakeBatch(1000, [5, 5, 5])]
      ] as const) {
        stage.ask(offset)
        stage.answer(stage.issue(), { [`perf/16@${offset}`]: { batches: [batch], highWatermark: 1003 } })
      }
      expect(stage.hit(1001)).to.deep.equal([1001, 1002])
      stage.ask(2)
      stage.answer(stage.issue(), { 'perf/16@2': { highWatermark: 2 } })
      expect(stage.hit(1000)).to.equal(undefined)
      // Without an id it may as well be another topic of the same name.
      expect(stage.hit(0)).to.deep.equal(topicId === undefined ? undefined : [0, 1])
    }
  })

  it('serves and joins nothing of the log before when topic id or leader epoch are others', () => {
    for (const later of [
      { topicId: 'second', leaderEpoch: 0 },
      { topicId: 'first', leaderEpoch: 1 }
    ]) {
      const stage = new FetchStage()
      stage.identity = { topicId: 'first', leaderEpoch: 0 }
      stage.ask(0)
      stage.answer(stage.issue(), { 'perf/16@0': { batches: [fakeBatch(0, [5, 5, 5])], highWatermark: 3 } })
      expect(stage.hit(0)).to.deep.equal([0, 1, 2])
      stage.identity = later
      expect(stage.hit(0)).to.equal(undefined)
      stage.ask(3)
      stage.answer(stage.issue(), { 'perf/16@3': { batches: [fakeBatch(3, [5, 5])], highWatermark: 5 } })
      expect(stage.hit(0)).to.equal(undefined)
      expect(stage.hit(3)).to.deep.equal([3, 4])
    }
  })

  it('a late answer of a log that is gone is neither given nor cached', () => {
    const stage = new FetchStage()
    stage.identity = { topicId: 'first', leaderEpoch: 0 }
    const results = stage.ask(0)
    const call = stage.issue()
    const joined = stage.ask(0)
    stage.identity = { topicId: 'second', leaderEpoch: 0 }
    expect(stage.hit(0)).to.equal(undefined)
    const [returned] = stage.answer(call, { 'perf/16@0': { batches: [fakeBatch(0, [5, 5])], highWatermark: 2 } })
    expect([results.length, joined.length]).to.deep.equal([0, 0])
    expect(returned).to.deep.include({ reason: 'retryLater' })
    expect(returned?.requests).to.have.length(2)
    expect(stage.cache.entryCount).to.equal(0)
  })

  it('nobody joins a call to a log that is gone', () => {
    const stage = new FetchStage()
    stage.identity = { topicId: 'first', leaderEpoch: 0 }
    stage.ask(0)
    stage.issue()
    stage.identity = { topicId: 'second', leaderEpoch: 0 }
    stage.ask(0)
    expect(stage.issue().partitions.get('perf/16')).to.deep.include({ identity: stage.identity, joined: [] })
  })

  it('an answer of a former leader is given, since it was true, but not cached', () => {
    const stage = new FetchStage()
    stage.identity = { topicId: 'first', leaderEpoch: 0 }
    const results = stage.ask(0)
    const call = stage.issue()
    stage.identity = { topicId: 'first', leaderEpoch: 1 }
    expect(stage.hit(0)).to.equal(undefined)
    stage.answer(call, { 'perf/16@0': { batches: [fakeBatch(0, [5, 5])], highWatermark: 2 } })
    expect(offsetsOf(results[0])).to.deep.equal([0, 1])
    expect(stage.cache.entryCount).to.equal(0)
  })

  it('answers out of range for an offset of a topic that is gone, unless the new one begins there', () => {
    const stage = new FetchStage()
    stage.identity = { topicId: 'first', leaderEpoch: 0 }
    const [later, first] = [stage.ask(3), stage.ask(0)]
    const returned = [stage.issue(), stage.issue()].flatMap((call, at) =>
      stage.answer(call, { [`perf/16@${at === 0 ? 3 : 0}`]: { errorCode: 100 } })
    )
    stage.identity = { topicId: 'second', leaderEpoch: 0 }
    for (const request of returned.flatMap(({ requests }) => requests)) stage.again(request)
    const table = {
      'perf/16@3': { batches: [fakeBatch(3, [5])], highWatermark: 4 },
      'perf/16@0': { batches: [fakeBatch(0, [5])], highWatermark: 4 }
    }
    stage.answer(stage.issue(), table)
    stage.answer(stage.issue(), table)
    expect(later[0]?.type).to.equal('offsetOutOfRange')
    expect(offsetsOf(first[0])).to.deep.equal([0])
    expect(stage.hit(3), 'who asks for it now means the new topic').to.deep.equal([3])
  })

  it('a watermark that no log can have fails its own partition only, where it is needed', () => {
    const stage = new FetchStage()
    const [odd, good] = [stage.ask(10), stage.ask(1, B)]
    const call = stage.issue()
    stage.answer(call, { 'perf/16@10': { isOdd: true }, 'api/17@1': { batches: [fakeBatch(1, [5])] } })
    expect(odd[0]).to.include({ type: 'failed', code: 'protocol', retriable: false })
    expect(offsetsOf(good[0])).to.deep.equal([1])
  })

  it('forgets cached records that retention has removed', () => {
    const stage = new FetchStage()
    stage.ask(1)
    stage.answer(stage.issue(), { 'perf/16@1': { batches: [fakeBatch(1, [5, 5])], highWatermark: 10 } })
    stage.ask(8)
    stage.answer(stage.issue(), { 'perf/16@8': { batches: [fakeBatch(8, [5])], logStartOffset: 5 } })
    expect(stage.cache.get('perf/16', 1)).to.equal(undefined)
    expect(stage.cache.get('perf/16', 8)?.offset).to.equal(8)
  })

  it('answers a code nobody has heard of as a failure, retriable', () => {
    const stage = new FetchStage()
    const results = stage.ask(1)
    stage.answer(stage.issue(), { 'perf/16@1': { errorCode: 9_999 } })
    expect(results[0]).to.include({ type: 'failed', errorCode: 9_999, retriable: true })
  })

  it('has exactly one fate for every code there is', () => {
    for (let errorCode = -2; errorCode <= 255; errorCode++) {
      const stage = new FetchStage()
      const results = stage.ask(1)
      const returned = stage.answer(stage.issue(), { 'perf/16@1': { errorCode } })
      const fates = results.length + returned.flatMap(({ requests }) => requests).length
      expect(fates, `code ${errorCode}`).to.equal(1)
    }
  })

  describe('at the end of the log', () => {
    it('moves a partition to the tail and answers noMessages only after its own wait', () => {
      const stage = new FetchStage(100)
      const results = stage.ask(50)
      stage.answer(stage.issue(), { 'perf/16@50': {} })
      expect(results).to.have.length(0)
      expect(stage.issue()).to.equal(undefined)
      stage.now = 60
      const call = stage.issue('tail')
      stage.now = 90
      stage.answer(call, { 'perf/16@50': {} })
      expect(results, 'it has waited 90 ms of 100').to.have.length(0)
      stage.now = 100
      stage.answer(stage.issue('tail'), { 'perf/16@50': {} })
      expect(results[0]).to.include({ type: 'noMessages' })
    })

    it('a request that says so waits longer, in the same long polls', () => {
      const stage = new FetchStage(100)
      const [usual, patient] = [stage.ask(50), stage.ask(50, T16, [], 300)]
      stage.answer(stage.issue(), { 'perf/16@50': {} })
      for (stage.now = 100; stage.now < 300; stage.now += 100) {
        stage.answer(stage.issue('tail'), { 'perf/16@50': {} })
        expect([usual, patient].map(results => results.length)).to.deep.equal([1, 0])
      }
      stage.answer(stage.issue('tail'), { 'perf/16@50': {} })
      expect(patient[0]).to.include({ type: 'noMessages' })
    })

    it('a longer wait ends with the long poll after which it is not wanted any more', () => {
      const stage = new FetchStage(100)
      let isWanted = true
      const results: FetchDataResult[] = []
      const asked = { topicPartition: T16, offset: 50, maxWaitMs: 10_000, isWanted: () => isWanted }
      stage.fetch.addToQueue(stage.accept('fetchData', asked, results))
      stage.answer(stage.issue(), { 'perf/16@50': {} })
      stage.now = 100
      stage.answer(stage.issue('tail'), { 'perf/16@50': {} })
      expect(results).to.have.length(0)
      isWanted = false
      stage.now = 200
      stage.answer(stage.issue('tail'), { 'perf/16@50': {} })
      expect(results[0]).to.include({ type: 'noMessages' })
    })

    it('no request waits where readers do not wait', () => {
      const stage = new FetchStage(0)
      const results = stage.ask(50, T16, [], 300)
      stage.answer(stage.issue(), { 'perf/16@50': {} })
      expect(results[0]).to.include({ type: 'noMessages' })
    })

    it('a record for one of 1,000 readers makes no other ask again', () => {
      const stage = new FetchStage(100)
      const readers = Array.from({ length: 1_000 }, () => stage.ask(50))
      const lonely = stage.ask(7, B)
      stage.answer(stage.issue(), { 'perf/16@50': {}, 'api/17@7': {} })
      const call = stage.issue('tail')
      stage.answer(call, { 'api/17@7': { batches: [fakeBatch(7, [5])] }, 'perf/16@50': {} })
      expect(offsetsOf(lonely[0])).to.deep.equal([7])
      expect(readers.flat()).to.have.length(0)
      const next = stage.issue('tail')
      expect(next.partitions.get('perf/16')?.waiters).to.have.length(1_000)
    })

    it('keeps whoever was just answered in the next long poll, which they join on its way', () => {
      const stage = new FetchStage(100)
      stage.ask(50)
      stage.ask(7, B)
      stage.answer(stage.issue(), { 'perf/16@50': {}, 'api/17@7': {} })
      stage.answer(stage.issue('tail'), { 'api/17@7': { batches: [fakeBatch(7, [5])] }, 'perf/16@50': {} })
      const next = stage.issue('tail')
      const again = stage.ask(8, B)
      stage.answer(next, { 'api/17@8': { batches: [fakeBatch(8, [5])] }, 'perf/16@50': {} })
      expect(offsetsOf(again[0])).to.deep.equal([8])
    })

    it('does not poll for nobody', () => {
      const stage = new FetchStage(100)
      stage.ask(7, B)
      stage.answer(stage.issue(), { 'api/17@7': {} })
      stage.answer(stage.issue('tail'), { 'api/17@7': { batches: [fakeBatch(7, [5])] } })
      expect(stage.issue('tail')).to.equal(undefined)
    })

    it('asks without waiting for what may have been written while a long poll is on its way', () => {
      const stage = new FetchStage(100)
      stage.ask(50)
      stage.ask(7, B)
      stage.answer(stage.issue(), { 'perf/16@50': {}, 'api/17@7': { batches: [fakeBatch(7, [5])] } })
      stage.issue('tail')
      stage.ask(8, B)
      const call = stage.issue()
      expect([...call.partitions.keys()]).to.deep.equal(['api/17'])
    })

    it('gathers partitions for 10 ms that ask what may have been written, but none that has records to read', () => {
      const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      try {
        const stage = new FetchStage(100, 'readUncommitted', 100)
        const { catchUp } = stage.fetch
        let woken = 0
        stage.fetch.onReady(() => woken++)
        const partition = (at: number) => ({ topic: 'many', partition: at })
        const keysOf = (call: FetchDataCall): string[] => [...call.partitions.keys()]
        stage.ask(50)
        for (let at = 0; at < 5; at++) stage.ask(7, partition(at))
        const answers = Array.from({ length: 5 }, (_, at) => [
          `many/${at}@7`,
          { batches: [fakeBatch(7, [5])], highWatermark: 8 }
        ])
        stage.answer(stage.issue(), { 'perf/16@50': {}, ...Object.fromEntries(answers) })
        stage.issue('tail')
        stage.now += 100

        stage.ask(8, partition(0))
        const lone = stage.issue()
        expect(keysOf(lone), 'the first one asks at once').to.deep.equal(['many/0'])
        stage.ask(8, partition(1))
        stage.answer(lone, { 'many/0@8': { highWatermark: 8 } })
        stage.ask(8, partition(2))
        expect([catchUp.isEmpty, woken]).to.deep.equal([true, 0])
        stage.now += 10
        clock.tick(10)
        expect([catchUp.isEmpty, woken]).to.deep.equal([false, 1])
        const gathered = stage.issue()
        expect(keysOf(gathered)).to.deep.equal(['many/1', 'many/2'])
        stage.answer(gathered, { 'many/1@8': {}, 'many/2@8': {} })

        stage.ask(8, partition(3))
        expect(catchUp.isEmpty).to.equal(true)
        stage.ask(0, partition(9))
        expect(catchUp.isEmpty).to.equal(false)
        expect(keysOf(stage.issue())).to.deep.equal(['many/3', 'many/9'])
        stage.ask(8, partition(4))
        expect(clock.countTimers()).to.equal(1)
        stage.fetch.drain()
        expect(clock.countTimers()).to.equal(0)
      } finally {
        clock.restore()
      }
    })
  })
})
