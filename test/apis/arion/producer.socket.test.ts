import { expect } from 'chai'
import { MessageIds } from '../../../src/apis/arion/producer.js'
import type { DurableLogStats } from '../../../src/verbs/verbs.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { ask, jsonOf, type RawAnswer, type ServedArion, type ServeOptions, serveArion } from './stage.js'

describe('arion: what is counted of messages by HTTP, and what is answered when they fail', () => {
  let served: ServedArion
  afterEach(() => served?.http.close())
  const serve = async (options: ServeOptions = {}): Promise<ServedArion> => (served = await serveArion(options))
  const post = (path: string, body = 'hello', headers: readonly string[] = []): Promise<RawAnswer> =>
    ask(served.url, 'POST', path, body, headers)
  const stats = async (): Promise<unknown> => jsonOf(await ask(served.url, 'GET', '/stats')).queue
  const byHand = (): FakeVerbs => new FakeVerbs({ outcome: 'by hand' })
  const NO_SEGMENTS = { 'num-slabs': 0, 'num-active-slabs': 0, retried: 0 }

  it('messages are in progress until their outcome is known, whoever waits for it', async () => {
    const { verbs } = await serve({ verbs: byHand() })
    const sync = post('/sync/t', 'four')
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    await post('/async/t', 'elevenbytes')
    expect(await stats()).to.deep.equal({ ...NO_SEGMENTS, enqueued: 2, completed: 0, 'in-progress': 2 })
    verbs.calls[1]!.settle([failure('timedOut')])
    verbs.calls[0]!.settle([delivered()])
    await sync
    expect(await stats()).to.deep.equal({ ...NO_SEGMENTS, enqueued: 2, completed: 2, 'in-progress': 0 })
    expect(await served.statsd()).to.include({
      'arion.broadcast.attempt.count': 2,
      'arion.broadcast.error.count': 1,
      'arion.broadcast.time.count': 1,
      'arion.queue.message_size.count': 2,
      'arion.queue.message_size.max': 11,
      'arion.api.sync_put_time.count': 1,
      'arion.api.async_put_time.count': 1,
      'arion.queue.enqueued': 2,
      'arion.queue.completed': 2,
      'arion.queue.in_progress': 0,
      'arion.queue.num_slabs': 0,
      'arion.kafka_producer.record_send_rate': 0,
      'arion.kafka_producer.waiting_threads': 0
    })
  })

  it('a message that is refused was never in the queue', async () => {
    await serve({ verbs: new FakeVerbs({ refuse: () => failure('overloaded') }) })
    for (const mode of ['sync', 'async']) {
      const answer = await post(`/${mode}/t`)
      expect([answer.status, jsonOf(answer).error]).to.deep.equal([503, 'unable to enqueue message'])
      expect(answer.headers.get('x-castellan-persisted')).to.equal('no')
    }
    expect(await stats()).to.deep.equal({ status: 'empty' })
    expect(await served.statsd()).to.include({
      'arion.broadcast.attempt.count': 0,
      'arion.api.sync_put_time.count': 0,
      'arion.api.async_put_time.count': 0,
      'arion.api.server_error.count': 2,
      'arion.queue.enqueued': 0
    })
  })

  it('a message whose outcome cannot be told is answered 500, nothing is known of it, and why is logged', async () => {
    for (const [mode, durability] of [
      ['sync', 'memory'],
      ['async', 'disk']
    ] as const) {
      const verbs = byHand()
      const produce = verbs.produce.bind(verbs)
      verbs.produce = (records, options) => ({
        ...produce(records, options),
        accepted: () => Promise.reject(new Error('made up')),
        ...(mode === 'sync' && { outcomes: () => Promise.reject(new Error('made up')) })
      })
      await serve({ verbs, settings: { durability } })
      const answer = await post(`/${mode}/t`)
      expect([answer.status, answer.body, answer.headers.get('x-castellan-persisted')]).to.deep.equal([
        500,
        '{"status":"error","message":"server encountered an error processing request","details":"made up"}',
        'unknown'
      ])
      expect(served.lines.map(({ message }) => message)).to.include('a request to produce failed unexpectedly')
      await served.http.close()
    }
    await serve()
  })

  it('a message that Kafka refuses has no id, one that is still tried has', async () => {
    const pending = { ...failure('timedOut'), persisted: 'pending' as const }
    await serve({
      verbs: new FakeVerbs({ outcome: ({ topic }) => (topic === 'later' ? pending : failure('kafka')) })
    })
    const refused = await post('/sync/t')
    expect([refused.status, jsonOf(refused)]).to.deep.equal([
      500,
      { status: 'error', error: 'made up for a test: kafka' }
    ])
    const later = await post('/sync/later')
    expect([later.status, Object.keys(jsonOf(later)), later.headers.get('x-castellan-persisted')]).to.deep.equal([
      504,
      ['status', 'error', 'id'],
      'pending'
    ])
  })

  it('the queue on disk is that of the log: empty until it has had an entry or a slab', async () => {
    const log = { segmentCount: 0, enqueued: 0, completed: 0, openEntries: 0, deadLetters: 0 } as DurableLogStats
    let now: DurableLogStats | undefined = log
    const verbs = new FakeVerbs()
    verbs.durableLog = (async () => now) as never
    await serve({ verbs, settings: { durability: 'disk' } })
    const seen = async (stats_: DurableLogStats | undefined): Promise<unknown> => {
      now = stats_
      return stats()
    }
    const empty = { status: 'empty' }
    expect(await seen(log)).to.deep.equal(empty)
    expect(await seen(undefined)).to.deep.equal(empty)
    const some = { retried: 0, completed: 0, 'in-progress': 0, 'dead-letters': 0 }
    expect(await seen({ ...log, segmentCount: 1 })).to.deep.equal({
      ...some,
      'num-slabs': 1,
      'num-active-slabs': 1,
      enqueued: 0
    })
    expect(await seen({ ...log, enqueued: 1 })).to.deep.equal({
      ...some,
      'num-slabs': 0,
      'num-active-slabs': 0,
      enqueued: 1
    })
    verbs.durableLog = () => Promise.reject(new Error('a log that can do nothing'))
    expect(await stats()).to.deep.equal(empty)
    expect((await served.statsd())['arion.queue.enqueued']).to.equal(0)
  })

  it('connections, answers and the end of the process are counted', async () => {
    await serve()
    await post('/sync/t')
    await post('/nowhere')
    const before = await served.statsd()
    expect(before).to.include({
      'arion.start.count': 1,
      'arion.stop.count': 0,
      'arion.api.success.count': 1,
      'arion.api.client_error.count': 1,
      'arion.api.idle_close.count': 0
    })
    expect(before['arion.api.connections']! + before['arion.api.connection_duration.count']!).to.equal(2)
    await served.stop()
    expect((await served.statsd())['arion.stop.count']).to.equal(1)
  })

  it('a connection that is silent is closed and counted', async () => {
    await serve({ settings: { idleTimeoutMs: 100 } })
    const silent = await RawSocket.open(served.url)
    expect(await silent.untilClosed()).to.equal('')
    expect((await served.statsd())['arion.api.idle_close.count']).to.equal(1)
  })
})

const random = Buffer.from('ffeeddccbbaa9988', 'hex')

/** From the beginning of the Gregorian calendar to 1970 in steps of 100 ns. Source: RFC 9562, 5.1. */
const STEPS_BEFORE_1970 = 122_192_928_000_000_000n
const LOW_END = 2n ** 32n

/** The time in an id: its lower 32 bits come first, then 16 more, then the version and the last 12. */
function stepsOf(id: string): bigint {
  const [low, middle, high] = id.split('-')
  return BigInt(`0x${high!.replace(/^1/, '')}${middle}${low}`)
}

describe('arion message ids', () => {
  it('arion 7: are UUIDs of version 1 with the time in them', () => {
    // The id of Arion's documents, made at 2016-02-02T23:31:26.063Z.
    expect(
      new MessageIds(Buffer.from('82e7b44ee83bda87', 'hex')).next(Date.parse('2016-02-02T23:31:26.063Z'))
    ).to.match(/^13ce[0-9a-f]{4}-ca05-11e5-82e7-b54ee83bda87$/)
    expect(new MessageIds(random).next(0)).to.equal('13814000-1dd2-11b2-bfee-ddccbbaa9988')
  })

  it('arion 8: are not repeated, within a millisecond or when the clock is set back', () => {
    const ids = new MessageIds(random)
    const seen = new Set<string>()
    const now = Date.UTC(2026, 0, 1)
    for (let count = 0; count < 25_000; count++) seen.add(ids.next(now - (count % 7)))
    expect(seen.size).to.equal(25_000)
    expect(seen.has(ids.next(now + 60_000))).to.equal(false)
  })

  it('count steps of 100 ns from the beginning of the millisecond, over the end of the lower 32 bits', () => {
    // The last millisecond whose first step is below a multiple of 2 to the power of 32.
    const end = (STEPS_BEFORE_1970 / LOW_END + 5_000_000n) * LOW_END
    const ms = Number((end - STEPS_BEFORE_1970) / 10_000n)
    for (const start of [ms, Date.UTC(2026, 0, 1)]) {
      const ids = new MessageIds(random)
      const first = BigInt(start) * 10_000n + STEPS_BEFORE_1970
      const all = Array.from({ length: 20_001 }, () => ids.next(start))
      expect(all.findIndex((id, count) => stepsOf(id) !== first + BigInt(count))).to.equal(-1)
      expect(new Set(all.map(id => id.slice(18)))).to.deep.equal(new Set(['-bfee-ddccbbaa9988']))
      expect(stepsOf(ids.next(start + 2)), 'of a millisecond that is used up by one step').to.equal(first + 20_001n)
      expect(stepsOf(ids.next(start + 3))).to.equal(first + 30_000n)
    }
  })

  it('have the variant of the standard, and a node that no network card has', () => {
    for (const [bytes, end] of [
      ['0000000000000000', '8000-010000000000'],
      ['ffffffffffffffff', 'bfff-ffffffffffff']
    ] as const) {
      expect(new MessageIds(Buffer.from(bytes, 'hex')).next(0).slice(-17)).to.equal(end)
    }
  })
})
