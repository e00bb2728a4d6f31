import { expect } from 'chai'
import { UnavailableError } from '../../../src/core/errors.js'
import type { FetchCall, FetchResponse } from '../../../src/kafka/broker-client.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { type FetchDataCall, FetchLines } from '../../../src/router/processors/fetch-lines.js'
import { waitersOf } from '../../../src/router/processors/long-poll.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { SeededRandom } from '../../support/random.js'
import { FetchStage, offsetsOf } from './fetch-stage.js'

const SESSION = 7
const PATIENT_MS = 10_000
const PATIENCE_MS = 100

const at = (partition: number) => ({ topic: 'perf', partition })
const record = (offset: number) => ({ batches: [fakeBatch(offset, [5])] })
/** What a call says of the session, and which partitions it names from which offset. */
const saidBy = ({ session, partitions }: FetchCall) => ({
  id: session?.id,
  epoch: session?.epoch,
  named: partitions.map(({ partition, fetchOffset }) => `${partition}@${fetchOffset}`),
  forgotten: session?.forgotten.map(({ partition }) => partition)
})

describe('fetch data processor: its session', () => {
  let stage: FetchStage
  let results: FetchDataResult[][]

  /** Readers of so many partitions at the end of their logs, and the call that begins the session. */
  async function waiting(partitions: number, maxWaitMs = PATIENT_MS): Promise<[FetchDataCall, FetchCall]> {
    results = Array.from({ length: partitions }, (_, partition) => stage.ask(50, at(partition), [], maxWaitMs))
    for (let left = partitions; left > 0; ) {
      const call = stage.issue()
      stage.answer(call, Object.fromEntries([...call.partitions.keys()].map(key => [`${key}@50`, {}])))
      left -= call.partitions.size
    }
    return stage.send('tail')
  }
  const allAt50 = (partitions: number) =>
    Object.fromEntries(Array.from({ length: partitions }, (_, partition) => [`perf/${partition}@50`, {}]))
  /** The same, one poll later, in the session. */
  async function inSession(partitions: number, maxWaitMs = PATIENT_MS): Promise<[FetchDataCall, FetchCall]> {
    const [call] = await waiting(partitions, maxWaitMs)
    stage.tell(call, SESSION, allAt50(partitions))
    return stage.send('tail')
  }
  const open = (): number => results.filter(answers => answers.length === 0).length

  beforeEach(() => {
    stage = new FetchStage(PATIENCE_MS, 'readUncommitted', 6_000)
    stage.identity = { topicId: 'id', leaderEpoch: 3 }
  })

  it('begins with all partitions, and names none while nothing changes', async () => {
    const [first, asked] = await waiting(3)
    expect(saidBy(asked)).to.deep.equal({ id: 0, epoch: 0, named: ['0@50', '1@50', '2@50'], forgotten: [] })
    stage.tell(first, SESSION, allAt50(3))
    for (const epoch of [1, 2, 3]) {
      const [call, next] = await stage.send('tail')
      expect(saidBy(next)).to.deep.equal({ id: SESSION, epoch, named: [], forgotten: [] })
      expect(next).to.include({ maxWaitMs: PATIENCE_MS, minBytes: 1 })
      expect(stage.tell(call, SESSION)).to.deep.equal([])
    }
    expect(open()).to.equal(3)
  })

  it('is not for calls that catch up', async () => {
    stage.ask(50, at(0))
    const [, asked] = await stage.send()
    expect(asked.session).to.equal(undefined)
  })

  it('names a partition again from the next record on, and gives it up when nobody asks for more', async () => {
    const [call] = await inSession(2)
    stage.tell(call, SESSION, { 'perf/1@50': record(50) })
    expect(offsetsOf(results[1]![0])).to.deep.equal([50])
    const [second, asked] = await stage.send('tail')
    expect(saidBy(asked)).to.include({ epoch: 2 })
    expect(saidBy(asked).named).to.deep.equal(['1@51'])
    stage.tell(second, SESSION)
    const [, last] = await stage.send('tail')
    expect(saidBy(last)).to.deep.equal({ id: SESSION, epoch: 3, named: [], forgotten: [1] })
    expect(open()).to.equal(1)
  })

  it('keeps a partition whose reader asks for more during the call', async () => {
    const [call] = await inSession(2)
    stage.tell(call, SESSION, { 'perf/1@50': record(50) })
    const [second] = await stage.send('tail')
    const more = stage.ask(51, at(1), [], PATIENT_MS)
    stage.tell(second, SESSION)
    const [third, asked] = await stage.send('tail')
    expect(saidBy(asked)).to.include({ epoch: 3 }).and.to.deep.include({ named: [], forgotten: [] })
    stage.tell(third, SESSION, { 'perf/1@51': record(51) })
    expect(more.map(offsetsOf)).to.deep.equal([[51]])
  })

  it('answers a partition once that a broker names twice', async () => {
    const [call] = await inSession(1)
    const response = { throttleTimeMs: 0, errorCode: 0, sessionId: SESSION, sizeBytes: 9, partitions: [] }
    const told: FetchResponse['partitions'][number][] = []
    const { processResponse } = stage.fetch.tail
    stage.fetch.tail.processResponse = (same, { partitions }: FetchResponse) => {
      told.push(...partitions)
      return processResponse(same, { ...response, partitions: [...partitions, ...partitions] })
    }
    stage.tell(call, SESSION, { 'perf/0@50': record(50) })
    expect(told).to.have.length(1)
    expect(results[0]!.map(offsetsOf)).to.deep.equal([[50]])
  })

  it('names a partition anew when its leader epoch changes, without an answer to its reader', async () => {
    const [call] = await inSession(2)
    stage.readCache.setIdentity('perf/1', { topicId: 'id', leaderEpoch: 4 })
    expect(stage.tell(call, SESSION)).to.deep.equal([])
    const [, asked] = await stage.send('tail')
    expect(asked.partitions.map(({ partition, currentLeaderEpoch }) => [partition, currentLeaderEpoch])).to.deep.equal([
      [1, 4]
    ])
    expect(open()).to.equal(2)
  })

  it('gives the requests for a topic that was created anew back, and begins another session for the new one', async () => {
    const [call] = await inSession(2)
    const renewed = { topicId: 'another', leaderEpoch: 0 }
    stage.readCache.setIdentity('perf/1', renewed)
    const back = stage.tell(call, SESSION, { 'perf/1@50': record(50) })
    expect(back.map(({ reason, requests }) => [reason, requests.map(({ key }) => key)])).to.deep.equal([
      ['retryLater', ['perf/1']]
    ])
    expect(results[1], 'the record is of the former log').to.deep.equal([])
    stage.identity = renewed
    const again = stage.ask(0, at(1))
    stage.answer(stage.issue(), { 'perf/1@0': {} })
    const [, asked] = await stage.send('tail')
    expect(saidBy(asked)).to.deep.equal({ id: SESSION, epoch: 0, named: ['0@50', '1@0'], forgotten: [] })
    expect(again).to.deep.equal([])
  })

  it('gives a request back whose topic was forgotten while nothing was new', async () => {
    const [call] = await inSession(2)
    stage.readCache.forget('perf/0')
    expect(stage.tell(call, SESSION).map(({ reason }) => reason)).to.deep.equal(['retryLater'])
    expect(saidBy((await stage.send('tail'))[1]).forgotten).to.deep.equal([0])
  })

  for (const errorCode of [70, 71, 106]) {
    it(`is begun anew at once after code ${errorCode}, and nobody notices`, async () => {
      const [call] = await inSession(3)
      const joined = stage.ask(50, at(2), [], PATIENT_MS)
      expect(stage.tell(call, 0, {}, { errorCode })).to.deep.equal([])
      const [next, asked] = await stage.send('tail')
      expect(saidBy(asked)).to.deep.equal({ id: 0, epoch: 0, named: ['0@50', '1@50', '2@50'], forgotten: [] })
      expect(open()).to.equal(3)
      stage.tell(next, 8, { ...allAt50(3), 'perf/2@50': record(50) })
      expect([results[2]!, joined].map(([answer]) => offsetsOf(answer))).to.deep.equal([[50], [50]])
      expect(saidBy((await stage.send('tail'))[1])).to.include({ id: 8, epoch: 1 })
    })
  }

  it('is not begun over and over where a broker refuses its first call: the requests go back', async () => {
    const [call] = await waiting(2)
    const back = stage.tell(call, 0, {}, { errorCode: 70 })
    expect(back.flatMap(({ reason, requests }) => requests.map(() => reason))).to.deep.equal([
      'retryLater',
      'retryLater'
    ])
    expect(stage.fetch.tail.isEmpty).to.equal(true)
  })

  it('is begun anew after a lost connection, and ends the one that the broker may still have', async () => {
    const [call] = await inSession(2)
    const lost = new UnavailableError('brokerUnreachable', 'cut')
    const back = stage.fetch.tail.callFailed(call, lost, true)
    expect(back).to.have.length(2)
    expect(stage.fetch.tail.isEmpty).to.equal(true)
    for (const request of back) stage.again(request)
    const [, asked] = await stage.send('tail')
    expect(saidBy(asked)).to.deep.equal({ id: SESSION, epoch: 0, named: ['0@50', '1@50'], forgotten: [] })
  })

  it('is not there with a broker that has none: each call names all', async () => {
    const [call] = await waiting(2)
    stage.tell(call, 0, allAt50(2))
    for (let round = 0; round < 3; round++) {
      const [next, asked] = await stage.send('tail')
      expect(saidBy(asked)).to.deep.equal({ id: 0, epoch: 0, named: ['0@50', '1@50'], forgotten: [] })
      stage.tell(next, 0, allAt50(2))
    }
    expect(open()).to.equal(2)
  })

  it('ends when a broker answers with another one: what it left out is asked for again', async () => {
    const [call] = await inSession(2)
    stage.tell(call, 9)
    expect(saidBy((await stage.send('tail'))[1]))
      .to.include({ epoch: 0 })
      .and.to.deep.include({
        named: ['0@50', '1@50']
      })
    expect(open()).to.equal(2)
  })

  it('goes by names while a topic has no id, and by ids again once it has left', async () => {
    stage.identity = { topicId: undefined, leaderEpoch: -1 }
    const nameless = stage.ask(1, { topic: 'old', partition: 0 }, [], 200)
    stage.answer(stage.issue(), { 'old/0@1': {} })
    stage.identity = { topicId: 'id', leaderEpoch: 3 }
    stage.ask(50, at(0), [], PATIENT_MS)
    stage.answer(stage.issue(), { 'perf/0@50': {} })
    const ids: (boolean | undefined)[] = []
    for (let round = 0; round < 5; round++) {
      const [call, { session, partitions }] = await stage.send('tail')
      ids.push(session?.usesTopicIds)
      stage.now += PATIENCE_MS
      const told = partitions.map(({ topic, partition, fetchOffset }) => [`${topic}/${partition}@${fetchOffset}`, {}])
      stage.tell(call, SESSION, Object.fromEntries(told))
    }
    expect(nameless[0]).to.include({ type: 'noMessages' })
    expect(ids[0]).to.equal(false)
    expect(ids.at(-1)).to.equal(true)
  })

  it('tells readers that there are no messages when their time is over, and not before, of many partitions too', async () => {
    const [first] = await inSession(1_500, 2_000)
    const answered: number[] = []
    let call = first
    for (stage.now = 500; stage.now <= 2_500; stage.now += 500) {
      stage.tell(call, SESSION)
      answered.push(1_500 - open())
      if (stage.fetch.tail.isEmpty) break
      ;[call] = await stage.send('tail')
    }
    expect(answered).to.deep.equal([0, 0, 0, 1_500])
    expect(results[0]![0]).to.deep.include({ type: 'noMessages', leaderEpoch: 3 })
  })

  it('takes an answer of a broker that throttles, which leaves out all partitions, for no news of any', async () => {
    const session = await inSession(1)
    const [reader] = [stage.ask(50, at(0))]
    stage.now += PATIENCE_MS
    stage.tell(session[0], SESSION, {}, { throttleTimeMs: 1_000 })
    expect(reader).to.deep.equal([])
    const [call] = await stage.send('tail')
    stage.tell(call, SESSION, { 'perf/0@50': record(50) })
    expect(reader!.map(({ type }) => type)).to.deep.equal(['success'])
  })

  it('ends the waits of many readers whom nobody wants any more, each some seconds later at most', async () => {
    let isWanted = true
    const many = 2_000
    const answers: FetchDataResult[] = []
    for (let partition = 0; partition < many; partition++) {
      const asked = { topicPartition: at(partition), offset: 50, maxWaitMs: PATIENT_MS, isWanted: () => isWanted }
      const request = stage.accept('fetchData', asked, answers)
      request.identity = stage.identity
      stage.fetch.addToQueue(request)
    }
    stage.answer(stage.issue(), allAt50(many))
    stage.tell((await stage.send('tail'))[0], SESSION, allAt50(many))
    stage.tell((await stage.send('tail'))[0], SESSION)
    isWanted = false
    for (let left = 5; left > 0; left--) {
      const [call] = await stage.send('tail')
      stage.now += 1_000
      stage.tell(call, SESSION)
      if (answers.length > 0) break
    }
    expect(answers).to.have.length(many)
    expect(stage.now).to.be.at.most(5_000)
  })

  it('leaves requests queued where a broker asks for a pause, so that they can be served or taken meanwhile', async () => {
    const [call] = await inSession(2)
    stage.tell(call, SESSION, {}, { throttleTimeMs: 1_000 })
    const early = stage.ask(49, at(0))
    stage.answer(stage.issue(), { 'perf/0@49': { batches: [fakeBatch(49, [5, 5])] } })
    expect([early, results[0]!].map(([answer]) => offsetsOf(answer))).to.deep.equal([[49, 50], [50]])
    expect(stage.fetch.drain().map(({ key }) => key)).to.deep.equal(['perf/1'])
    expect(stage.fetch.tail.isEmpty).to.equal(true)
  })

  it('asks for a partition whose records had no capacity in the answer without waiting', async () => {
    const [call] = await inSession(2)
    stage.tell(call, SESSION, { 'perf/1@50': { highWatermark: 60, nextOffset: 50 } })
    expect([...stage.issue('catchUp').partitions.keys()]).to.deep.equal(['perf/1'])
    expect(saidBy((await stage.send('tail'))[1]).forgotten).to.deep.equal([1])
  })

  it('loses no request for one offset, whatever each knows of the topic', () => {
    const queues = new FetchLines({ identityOf: () => undefined, identityVersion: 1 }, () => undefined)
    const requests = ['one', 'another'].map(topicId => {
      const request = stage.accept('fetchData', { topicPartition: at(0), offset: 5 })
      request.identity = { topicId, leaderEpoch: 0 }
      return request
    })
    let waiting = 0
    for (const request of requests) {
      queues.addAtTail(request.key, 5, [request])
      const call = queues.takeCall('tail', 10, 0, 0)!
      queues.ended(call)
      waiting = [...call.partitions.values()].flatMap(waitersOf).length
    }
    expect(waiting).to.equal(2)
  })

  it('takes turns where partitions have no capacity in one poll', async () => {
    stage = new FetchStage(PATIENCE_MS, 'readUncommitted', 1)
    stage.identity = { topicId: 'id', leaderEpoch: 3 }
    const [first] = await waiting(25)
    const polled: number[] = []
    const seen = new Set<number>()
    let call = first
    for (let round = 0; round < 6; round++) {
      const asked = new Set([...call.partitions.values()].map(({ partition }) => partition))
      polled.push(asked.size)
      for (const partition of asked) seen.add(partition)
      stage.tell(call, SESSION)
      ;[call] = await stage.send('tail')
    }
    expect(Math.max(...polled)).to.be.at.most(10)
    expect(seen.size).to.equal(25)
  })

  /** A broker that keeps to KIP-227 over logs that only have an end, and forgets sessions now and then. */
  class Broker {
    readonly ends = new Map<string, number>()
    #session: { id: number; epoch: number; from: Map<string, number>; told: Map<string, number> } | undefined
    #lastId = 0
    readonly #random: SeededRandom

    constructor(random: SeededRandom) {
      this.#random = random
    }

    forget(): void {
      this.#session = undefined
    }

    /** The table for `tell`, or a code. */
    answer({ session, partitions }: FetchCall): { code: number; id: number; table: Record<string, object> } {
      const { id, epoch, forgotten } = session!
      const isNew = epoch === 0
      if (isNew) this.#session = { id: ++this.#lastId, epoch: 0, from: new Map(), told: new Map() }
      const mine = this.#session
      if (mine === undefined || (!isNew && mine.id !== id)) return { code: 70, id: 0, table: {} }
      if (mine.epoch !== epoch) return { code: 71, id: 0, table: {} }
      mine.epoch++
      for (const { topic, partition, fetchOffset } of partitions) mine.from.set(`${topic}/${partition}`, fetchOffset)
      for (const { topic, partition } of forgotten) {
        mine.from.delete(`${topic}/${partition}`)
        mine.told.delete(`${topic}/${partition}`)
      }
      const table: Record<string, object> = {}
      for (const [key, from] of mine.from) {
        const end = this.ends.get(key) ?? 0
        const hasCapacity = this.#random.next() < 0.8
        const entry =
          end > from && hasCapacity ? { ...record(from), highWatermark: end } : { nextOffset: from, highWatermark: end }
        if (isNew || end > from || mine.told.get(key) !== end) table[`${key}@${from}`] = entry
        mine.told.set(key, end)
      }
      return { code: 0, id: mine.id, table }
    }
  }

  it('skips no record and gives none twice, whatever becomes of sessions and calls', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      stage = new FetchStage(PATIENCE_MS, 'readUncommitted', 6)
      stage.identity = { topicId: 'id', leaderEpoch: 3 }
      const random = new SeededRandom(seed)
      const broker = new Broker(random)
      const readers = Array.from({ length: 8 }, (_, partition) => ({
        partition,
        read: [] as number[],
        asked: 0,
        answers: [] as FetchDataResult[]
      }))
      const ask = (reader: (typeof readers)[number]): void => {
        reader.asked++
        const topicPartition = at(reader.partition)
        const asked = { topicPartition, offset: reader.read.length, maxWaitMs: random.pick([0, 150, PATIENT_MS]) }
        stage.again(stage.accept('fetchData', asked, reader.answers))
      }
      const readOn = (): void => {
        for (const reader of readers) {
          expect(reader.answers.length, 'one answer each').to.be.at.most(reader.asked)
          if (reader.answers.length < reader.asked || random.next() < 0.3) continue
          const last = reader.answers.at(-1)
          if (last?.type === 'success') for (const { offset } of last.batch) reader.read.push(offset)
          ask(reader)
        }
      }
      const write = (): void => {
        const key = `perf/${random.between(0, 7)}`
        broker.ends.set(key, (broker.ends.get(key) ?? 0) + 1)
      }
      const calls = new Map<'catchUp' | 'tail', [FetchDataCall, FetchCall]>()
      const step = async (isCalm: boolean): Promise<void> => {
        stage.now += random.between(0, 60)
        if (!isCalm && random.next() < 0.3) write()
        if (!isCalm && random.next() < 0.05) broker.forget()
        readOn()
        for (const slot of ['catchUp', 'tail'] as const) {
          if (!calls.has(slot) && !stage.fetch[slot].isEmpty) {
            const call = stage.fetch[slot].nextCall()
            if (call) calls.set(slot, await sentWith(slot, call as FetchDataCall))
          } else if (calls.has(slot) && random.next() < 0.6) {
            const [call, asked] = calls.get(slot)!
            calls.delete(slot)
            const lost = isCalm ? 1 : random.next()
            if (lost < 0.05) {
              const back = stage.fetch[slot].callFailed(call, new UnavailableError('brokerUnreachable', 'cut'), true)
              for (const request of back) stage.again(request)
              continue
            }
            const back =
              slot === 'tail' ? tellFrom(call, broker.answer(asked)) : stage.answer(call, catchUpTable(asked))
            for (const { requests } of back) for (const request of requests) stage.again(request)
          }
        }
      }
      const catchUpTable = ({ partitions }: FetchCall) =>
        Object.fromEntries(
          partitions.map(({ topic, partition, fetchOffset }) => {
            const end = broker.ends.get(`${topic}/${partition}`) ?? 0
            return [
              `${topic}/${partition}@${fetchOffset}`,
              end > fetchOffset ? record(fetchOffset) : { highWatermark: end }
            ]
          })
        )
      const tellFrom = (call: FetchDataCall, { code, id, table }: ReturnType<Broker['answer']>) =>
        stage.tell(call, id, table, { errorCode: code })
      const sentWith = async (slot: 'catchUp' | 'tail', call: FetchDataCall): Promise<[FetchDataCall, FetchCall]> => {
        const asked: FetchCall[] = []
        await stage.fetch[slot].send({ fetch: async (one: FetchCall) => asked.push(one) } as never, call)
        return [call, { ...asked[0]!, partitions: [...asked[0]!.partitions] }]
      }
      for (let round = 0; round < 400; round++) await step(false)
      for (let round = 0; round < 400; round++) await step(true)
      for (const { partition, read } of readers) {
        const end = broker.ends.get(`perf/${partition}`) ?? 0
        expect(read, `seed ${seed}, partition ${partition}`).to.deep.equal(
          Array.from({ length: end }, (_, offset) => offset)
        )
      }
    }
  })
})
