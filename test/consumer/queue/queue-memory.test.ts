import { expect } from 'chai'
import { MIB } from '../../../src/core/bytes.js'
import type { HeldRecords } from '../../../src/core/record-budget.js'
import { LOCK_MS, type QueuesScript, ScriptedQueues } from './scripted-queues.js'

describe('a queue whose records take memory', () => {
  let script: ScriptedQueues
  const answers: HeldRecords[] = []

  const start = (options: QueuesScript): void => {
    script = new ScriptedQueues(options)
  }
  const pass = (ms: number): Promise<void> => script.time.pass(ms, 100)
  /** An answer that leaves, or is not read. */
  const answer = (client: string, bytes: number): HeldRecords => {
    const held = script.records.hold(bytes, client)
    answers.push(held)
    return held
  }
  const value = (bytes: number): string => 'x'.repeat(bytes)

  afterEach(async () => {
    for (const held of answers.splice(0)) held.release()
    await script.end()
    expect(script.records.heldBytes).to.equal(0)
  })

  it('counts a record from its fetch until its client is answered, and again when it comes back', async () => {
    start({ recordBytes: 1_000 })
    const first = await script.acquire({ count: 2 })
    script.reader.acquire({ offset: 1, value: value(100) })
    expect([script.records.heldBytes, script.records.bytesOf('someone')]).to.deep.equal([100, 100])
    await pass(200)
    expect(first.offsets).to.deep.equal([1])
    expect(script.records.heldBytes).to.equal(0)
    script.queues.takeBack(first.messages)
    expect([script.records.heldBytes, script.records.bytesOf('someone')]).to.deep.equal([100, 0])
    await pass(LOCK_MS)
    expect(script.records.heldBytes).to.equal(0)
  })

  it('counts what a client was about to get to nobody when it has gone', async () => {
    start({ recordBytes: 1_000 })
    const gone = await script.acquire({ count: 2 })
    script.reader.acquire({ offset: 1, value: value(100) })
    gone.leave()
    expect([script.records.heldBytes, script.records.bytesOf('someone')]).to.deep.equal([100, 0])
  })

  it('gives a message to another client where one has no room, and to that one when it has', async () => {
    start({ recordBytes: 1_000 })
    const unread = answer('a', 600)
    const a = await script.acquire({ client: 'a' })
    const b = await script.acquire({ client: 'b' })
    script.reader.acquire({ offset: 1, value: value(100) })
    await script.time.pass(0)
    expect([a.offsets, b.offsets]).to.deep.equal([undefined, [1]])
    script.reader.acquire({ offset: 2, value: value(100) })
    await script.time.pass(0)
    expect(a.offsets).to.equal(undefined)
    unread.release()
    await script.time.pass(0)
    expect(a.offsets).to.deep.equal([2])
  })

  it('asks Kafka for nothing more for a client without room, and asks when it has', async () => {
    start({ recordBytes: 1_000 })
    const unread = answer('a', 600)
    await script.acquire({ client: 'a', count: 3 })
    const { events } = script.reader
    script.reader.acquire({ offset: 1, value: value(100) })
    await script.time.pass(0)
    expect(events.demand().messages).to.equal(0)
    const { wakes } = script.reader
    unread.release()
    await script.time.pass(0)
    expect(script.reader.wakes).to.be.greaterThan(wakes)
    expect(events.demand().messages).to.equal(2)
  })

  it('answers with what it has when there is no room for the next message', async () => {
    start({ recordBytes: 1_000 })
    const client = await script.acquire({ count: 20 })
    script.reader.acquire(...Array.from({ length: 8 }, (_, offset) => ({ offset, value: value(100) })))
    expect(client.offsets).to.deep.equal([0, 1, 2, 3])
    const next = await script.acquire({ count: 2 })
    expect(next.offsets).to.deep.equal([4, 5])
  })

  it('refuses a client at the end of its wait that got nothing although a message was there', async () => {
    start({ recordBytes: 1_000 })
    answer('a', 600)
    const a = await script.acquire({ client: 'a', waitMs: 1_000 })
    await pass(1_200)
    expect(a.offsets, 'no message was there').to.deep.equal([])
    const again = await script.acquire({ client: 'a', waitMs: 1_000 })
    script.reader.acquire({ offset: 1, value: value(100) })
    await pass(900)
    expect(again.results).to.deep.equal([])
    await pass(300)
    expect(again.results[0]).to.include({
      code: 'overloaded',
      retriable: true,
      setting: 'advanced.http.answersMaxBytes'
    })
  })

  it('keeps the lock of a message for which nobody has room, and never releases it while clients wait', async () => {
    start({ recordBytes: 1_000 })
    const unread = answer('a', 600)
    let a = await script.acquire({ client: 'a' })
    script.reader.acquire({ offset: 1, value: value(100) }, { offset: 2, value: value(100) })
    for (let second = 0; second < 100; second++) {
      if (a.results.length > 0) a = await script.acquire({ client: 'a' })
      await pass(1_000)
    }
    expect(new Set(script.reader.words)).to.deep.equal(new Set(['renew 1', 'renew 2']))
    expect(script.queues.held).to.equal(2)
    unread.release()
    await script.time.pass(0)
    expect(a.offsets).to.deep.equal([1])
    await pass(2 * LOCK_MS)
    expect(script.reader.words.at(-1)).to.equal('release 2')
  })

  it('keeps it no longer than a client may', async () => {
    start({ recordBytes: 1_000, limits: { maxLockMs: 40_000 } })
    answer('a', 600)
    await script.acquire({ client: 'a', waitMs: 60_000 })
    script.reader.acquire({ offset: 1, value: value(100) })
    await pass(54_000)
    expect(script.reader.words).to.not.include('release 1')
    await pass(2_000)
    expect(script.reader.words.at(-1)).to.equal('release 1')
  })

  it('lets records that are larger than a share pass, one at a time', async () => {
    start({ recordBytes: 1_000 })
    const [a, b] = [await script.acquire({ client: 'a' }), await script.acquire({ client: 'b' })]
    script.reader.acquire({ offset: 1, value: value(2_000) })
    expect(a.offsets).to.deep.equal([1])
    const leaving = answer('a', 2_000)
    script.reader.acquire({ offset: 2, value: value(2_000) })
    await script.time.pass(0)
    expect(b.offsets).to.equal(undefined)
    leaving.release()
    await script.time.pass(0)
    expect(b.offsets).to.deep.equal([2])
  })

  it('asks Kafka for as many of the largest messages of late as there is room for', async () => {
    start({ recordBytes: 10 * MIB })
    await script.acquire({ count: 500, waitMs: 60_000 })
    const demand = (): number => script.reader.events.demand().messages
    expect(demand(), 'none was seen').to.equal(10)
    await pass(50_000)
    script.reader.acquire({ offset: 1, value: value(MIB / 4) })
    await pass(1_000)
    await script.acquire({ count: 500, waitMs: 60_000, client: 'b' })
    expect(demand()).to.equal(40)
    await pass(30_000)
    script.reader.acquire({ offset: 2, value: value(MIB / 8) })
    await pass(29_000)
    await script.acquire({ count: 500, waitMs: 60_000, client: 'c' })
    expect(demand(), 'the larger one is of the minute before').to.equal(40)
    await pass(32_000)
    await script.acquire({ count: 500, waitMs: 60_000, client: 'd' })
    expect(demand()).to.equal(80)
  })

  for (const [minutes, then] of [
    ['fewer than two', 40],
    ['two', 10]
  ] as const)
    it(`asks for ${then} when a client has worked for ${minutes} minutes on the largest message, and no other was seen`, async () => {
      start({ recordBytes: 10 * MIB })
      await script.acquire({ lockMs: 600_000 })
      script.reader.acquire({ offset: 1, value: value(MIB / 4) })
      await pass(minutes === 'two' ? 120_000 : 119_000)
      await script.acquire({ count: 500 })
      expect(script.reader.events.demand().messages).to.equal(then)
    })

  it('asks Kafka for one message for one queue at a time while there is no room', async () => {
    start({ recordBytes: MIB })
    answer('someone else', MIB)
    for (const topic of ['one', 'two', 'three'])
      await script.acquire({ topic, client: topic, waitMs: 60_000, count: 5 })
    const demands = (): number[] => script.readers.map(({ events }) => events.demand().messages)
    const wakes = (): number[] => script.readers.map(reader => reader.wakes)
    const before = wakes()
    expect(demands()).to.deep.equal([1, 0, 0])
    await pass(500)
    expect(wakes()[1]).to.be.greaterThan(before[1]!)
    await pass(600)
    expect(script.readers[1]!.events.demand().messages).to.equal(1)
    expect(demands()).to.deep.equal([0, 1, 0])
    script.readers[1]!.acquire({ offset: 1, value: value(100) })
    await pass(1_100)
    expect(demands(), 'it has a message for which there is no room').to.deep.equal([1, 0, 0])
  })

  it('refuses a client at the end of its wait if Kafka was asked for nothing, because there is no room', async () => {
    start({ recordBytes: MIB })
    const unread = answer('someone else', MIB)
    const asked = await script.acquire({ topic: 'one', client: 'a', waitMs: 500 })
    const notAsked = await script.acquire({ topic: 'two', client: 'b', waitMs: 500 })
    const demands = (): number[] => script.readers.map(({ events }) => events.demand().messages)
    expect(demands()).to.deep.equal([1, 0])
    await pass(600)
    expect(asked.offsets).to.deep.equal([])
    expect(notAsked.results[0]).to.include({ code: 'overloaded', setting: 'advanced.http.answersMaxBytes' })
    const next = await script.acquire({ topic: 'two', client: 'b', waitMs: 500 })
    unread.release()
    expect(demands().at(-1)).to.equal(1)
    await pass(600)
    expect(next.offsets, 'there was room').to.deep.equal([])
  })

  it('tells a client that there are no messages where nothing is held, and more queues wait than may each fetch one', async () => {
    start({ recordBytes: MIB })
    const ask = (topic: string) => script.acquire({ topic, waitMs: 500 })
    const acquires = [await ask('one'), await ask('two'), await ask('three')]
    const demands = script.readers.map(({ events }) => events.demand().messages)
    expect(demands, 'one has the turn').to.deep.equal([1, 0, 0])
    await pass(600)
    expect(acquires.map(({ results: [result] }) => result?.type)).to.deep.equal(['acquired', 'acquired', 'acquired'])
  })
})
