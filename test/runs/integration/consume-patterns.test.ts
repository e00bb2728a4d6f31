import { expect } from 'chai'
import { inTime } from '../../../src/core/in-time.js'
import {
  type Castellan,
  type ConsumeOptions,
  type Consumer,
  InvalidRequestError,
  openCastellan
} from '../../../src/index.js'
import { freshTopic, type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const CHECK_MS = 1_000
const quick = { heartbeatIntervalMs: 200, partitionCheckMs: CHECK_MS, subscriptionTimeoutMs: 3_000 }

describe('a loop over the topics that match a pattern', () => {
  inWorld()
  let cluster: TargetCluster
  let castellan: Castellan
  /** Each test has topics and a group of its own, which begin with it. */
  let name: string
  const open = (consumer = {}) => openCastellan({ brokers: cluster.bootstrap, consumer: { ...quick, ...consumer } })
  before(async () => {
    cluster = await targetCluster()
    castellan = await open()
  })
  beforeEach(() => {
    name = freshTopic('p')
  })
  after(async () => {
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  const write = async (topic: string, ...values: string[]): Promise<void> => {
    await castellan.produceOrThrow(values.map(value => ({ topic, value })))
  }
  /** Makes a topic with these records. */
  const make = async (topic: string, ...values: string[]): Promise<void> => {
    await cluster.createTopic(topic, 1)
    await write(topic, ...values)
  }
  const consume = (start?: ConsumeOptions['start'], pattern = `${name}-.*`, by = castellan): Consumer =>
    by.consume({ group: name, pattern, start })
  /** Takes so many messages and acknowledges them. The loop goes on. */
  const take = async (loop: Consumer, count: number): Promise<string[]> => {
    const values: string[] = []
    while (values.length < count) {
      const next = await inTime(loop.next(), 60_000, () => undefined)
      if (next === undefined) throw new Error(`within a minute there is nothing after ${values}`)
      if (next.done) break
      values.push(String(next.value.value))
      next.value.ack()
    }
    return values.sort()
  }
  const pass = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
  const viewIn = (by: Castellan) => [...by.groups.views()].find(({ group }) => group === name)
  /** The topics that the group reads in this process. */
  const reads = (): readonly string[] => viewIn(castellan)?.topics.toSorted() ?? []
  /** Waits until the group was assigned its only partition, and where it begins was decided. */
  const begun = async (by = castellan): Promise<void> => {
    while (viewIn(by)?.partitions !== 1) await pass(100)
  }

  it('gives the messages of those whose whole name matches', async () => {
    await make(`${name}-a`, 'a')
    await make(`${name}-b`, 'b')
    await make(`${name}`, 'too short')
    await make(`x${name}-a`, 'too long')
    const loop = consume('earliest')
    expect(await take(loop, 2)).to.deep.equal(['a', 'b'])
    expect(reads()).to.deep.equal([`${name}-a`, `${name}-b`])
    await loop.return!()
  })

  for (const start of [undefined, 'latest'] as const)
    it(`gives every record of a topic that comes later, where a new group begins at the end (start ${start})`, async () => {
      await make(`${name}-a`, 'old')
      const loop = consume(start)
      const taken = take(loop, 3)
      await begun()
      await write(`${name}-a`, 'a')
      await make(`${name}-b`, 'b1')
      await pass(2 * CHECK_MS)
      await write(`${name}-b`, 'b2')
      expect(await taken).to.deep.equal(['a', 'b1', 'b2'])
      // It finds both topics at once, and names the same start.
      const other = consume(start)
      const next = take(other, 1)
      await loop.return!()
      await write(`${name}-b`, 'b3')
      expect(await next).to.deep.equal(['b3'])
      await other.return!()
    })

  it('waits for the first topic that matches, and gives every record of it', async () => {
    const loop = consume()
    const taken = take(loop, 1)
    await pass(CHECK_MS)
    await make(`${name}-a`, 'first')
    expect(await taken).to.deep.equal(['first'])
    await loop.return!()
  })

  it('begins in topics that come later where its start says so', async () => {
    const now = Date.now()
    await make(`${name}-a`)
    const own = await open({ partitionCheckMs: 5_000 })
    const loop = consume({ timestampMs: now - 60_000 }, undefined, own)
    const marker = take(loop, 1)
    await begun(own)
    await make(`${name}-b`, 'marker')
    expect(await marker).to.deep.equal(['marker'])
    // That look-up was just now, so the next one finds both records.
    const taken = take(loop, 1)
    await cluster.createTopic(`${name}-c`, 1)
    await castellan.produceOrThrow(
      [120_000, 0].map(ageMs => ({ topic: `${name}-c`, value: `${ageMs}`, timestampMs: now - ageMs }))
    )
    expect(await taken).to.deep.equal(['0'])
    await loop.return!()
    await own.close({ timeoutMs: 0 })
  })

  it('gives every record of a topic that came while the group had no member', async () => {
    await make(`${name}-a`)
    const former = await open()
    const loop = consume(undefined, undefined, former)
    const taken = take(loop, 1)
    await begun(former)
    await write(`${name}-a`, 'a1')
    expect(await taken).to.deep.equal(['a1'])
    await former.close()
    await make(`${name}-b`, 'b1')
    await write(`${name}-a`, 'a2')
    const next = consume()
    expect(await take(next, 2)).to.deep.equal(['a2', 'b1'])
    await next.return!()
  })

  it('reads topics that were deleted no more', async () => {
    await make(`${name}-a`, 'a')
    await make(`${name}-b`, 'b')
    const loop = consume('earliest')
    expect(await take(loop, 2)).to.deep.equal(['a', 'b'])
    const next = take(loop, 2)
    await castellan.admin.deleteTopic(`${name}-b`)
    while (reads().length > 1) await pass(100)
    expect(reads()).to.deep.equal([`${name}-a`])
    await make(`${name}-b`, 'anew')
    await write(`${name}-a`, 'kept')
    expect(await next).to.deep.equal(['anew', 'kept'])
    await loop.return!()
  })

  it('leaves out what Kafka calls internal, and what begins with __ unless the pattern does', async () => {
    await make(`__${name}-a`, 'hidden')
    await make(`${name}-a`, 'open')
    const loop = consume('earliest', `.*${name}-a|__consumer_offsets`)
    expect(await take(loop, 1)).to.deep.equal(['open'])
    expect(reads()).to.deep.equal([`${name}-a`])
    const other = castellan.consume({ group: `${name}-x`, pattern: `__${name}.*|__consumer.*`, start: 'earliest' })
    expect(await take(other, 1)).to.deep.equal(['hidden'])
    const views = [...castellan.groups.views()].filter(({ group }) => group === `${name}-x`)
    expect(views.map(({ topics }) => topics)).to.deep.equal([[`__${name}-a`]])
    await loop.return!()
    await other.return!()
  })

  it('ends without a topic when it is aborted, and with its process', async () => {
    const stop = new AbortController()
    const aborted = castellan.consume({ group: name, pattern: 'none', signal: stop.signal }).next()
    const own = await open()
    const closed = own.consume({ group: name, pattern: 'none' }).next()
    await pass(CHECK_MS)
    stop.abort()
    await own.close()
    for (const { done } of [await aborted, await closed]) expect(done).to.equal(true)
    const late = await own
      .consume({ group: name, pattern: 'none' })
      .next()
      .catch(error => error.code)
    expect(late, 'begun after the end').to.equal('shuttingDown')
  })

  it('looks for topics again where no broker answered', async () => {
    await make(`${name}-a`, 'a')
    for (const api of ['OffsetFetch', 'Metadata'] as const)
      cluster.faults?.add({ api, count: 2 }, { type: 'close', afterWork: true })
    const loop = consume('earliest')
    expect(await take(loop, 1)).to.deep.equal(['a'])
    await loop.return!()
  })

  const mistakes: readonly (readonly [object, RegExp])[] = [
    [{}, /the name of a topic is needed, or a list of names$/],
    [{ topics: 'a', pattern: 'b' }, /^consume: topics or a pattern, not both$/],
    [{ pattern: '' }, /^consume: a pattern is a text such as/],
    [{ pattern: /a/ }, /^consume: a pattern is a text such as/],
    [{ pattern: 'a(' }, /^consume: the pattern is not valid: .*missing closing \)/],
    [{ pattern: '(?=a)' }, /^consume: the pattern is not valid: /],
    [{ pattern: '(a{100}){100}' }, /^consume: the pattern is not valid: it has \d+ parts/],
    [{ patern: 'a' }, /did you mean pattern\?$/]
  ]
  for (const [wrong, message] of mistakes)
    it(`is refused when consume is called with ${JSON.stringify(wrong)}: ${message}`, () => {
      expect(() => castellan.consume({ group: name, ...wrong } as never)).to.throw(InvalidRequestError, message)
    })
})
