import { EventEmitter, once } from 'node:events'
import { setImmediate as nextTurn, setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { type Castellan, openCastellan, type QueueMessage } from '../../src/client.js'
import { type Logger, silentLogger } from '../../src/core/model.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

describe('queues of a program', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan
  const warnings: string[] = []
  const log: Logger = { ...silentLogger, warn: (_, message) => void warnings.push(message ?? '') }
  beforeEach(async () => {
    warnings.length = 0
    cluster = await startEmbeddedCluster()
    cluster.createTopic('jobs', { partitions: 2 })
    castellan = await openCastellan({ brokers: cluster.bootstrap, log })
  })
  afterEach(async () => {
    await castellan.close()
    await cluster.close()
  })

  const write = (...values: string[]) => castellan.produceOrThrow(values.map(value => ({ topic: 'jobs', value })))
  const textOf = ({ value }: QueueMessage): string => String(value)
  const EARLIEST = { start: 'earliest', waitMs: 5_000 } as const

  it('give messages that are accepted, released and rejected, each by itself', async () => {
    await write('a', 'b', 'c')
    await using queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const taken: QueueMessage[] = []
    while (taken.length < 3) taken.push(...(await queue.acquire({ ...EARLIEST, count: 3 })))
    const [first, second, third] = taken.sort((one, other) => (textOf(one) < textOf(other) ? -1 : 1))
    expect(await first!.accept()).to.include({ outcome: 'done' })
    expect(await second!.reject()).to.include({ outcome: 'done' })
    expect(await third!.renew()).to.include({ outcome: 'done' })
    expect(await third!.release()).to.include({ outcome: 'done' })
    const [again] = await queue.acquire({ waitMs: 5_000 })
    expect([textOf(again!), again!.deliveryCount, again!.topic]).to.deep.equal(['c', 2, 'jobs'])
    expect(await third!.accept(), 'of the former delivery').to.include({ outcome: 'lost' })
    expect(await again!.accept()).to.include({ outcome: 'done' })
    expect(await queue.acquire({ waitMs: 300 })).to.deep.equal([])
  })

  it('begin an hour ago where partitions have no record that young, and skip nothing that is written from then on', async () => {
    const old = { topic: 'jobs', partition: 0, value: 'old', timestampMs: Date.now() - 7_200_000 }
    await castellan.produceOrThrow([old, { topic: 'jobs', partition: 1, value: 'young' }])
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const start = { durationMs: 3_600_000 }
    const first = await queue.acquire({ start, waitMs: 10_000, count: 5 })
    expect(first.map(textOf)).to.deep.equal(['young'])
    expect(await queue.acquire({ start, waitMs: 300 })).to.deep.equal([])
    await castellan.produceOrThrow([{ topic: 'jobs', partition: 0, value: 'written since' }])
    expect((await queue.acquire({ start, waitMs: 10_000 })).map(textOf)).to.deep.equal(['written since'])
  })

  it('of a topic without records begin an hour ago, too', async () => {
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    expect(await queue.acquire({ start: { durationMs: 3_600_000 }, waitMs: 300 })).to.deep.equal([])
    await write('first')
    expect((await queue.acquire({ waitMs: 10_000 })).map(textOf)).to.deep.equal(['first'])
  })

  it('handle no more messages at a time than they were told, and go on after a handler has failed', async () => {
    await write('a', 'b', 'c', 'd', 'fails')
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const handled: string[] = []
    let running = 0
    let most = 0
    const end = new AbortController()
    await queue.run(
      async message => {
        most = Math.max(most, ++running)
        await pass(20)
        running--
        if (textOf(message) === 'fails' && message.deliveryCount === 1) throw new Error('not now')
        handled.push(textOf(message))
        if (handled.length === 5) end.abort()
      },
      { concurrency: 2, start: 'earliest', signal: end.signal }
    )
    expect(handled.sort()).to.deep.equal(['a', 'b', 'c', 'd', 'fails'])
    expect([running, most]).to.deep.equal([0, 2])
    expect(warnings).to.include('the handler of a queue has failed')
  })

  it('end their waits with a signal and with close, and are told of it afterwards', async () => {
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const end = new AbortController()
    const waiting = queue.acquire({ waitMs: 60_000, signal: end.signal })
    end.abort()
    expect(await waiting).to.deep.equal([])
    const running = queue.run(() => undefined)
    const other = queue.acquire({ waitMs: 60_000 })
    await castellan.close()
    expect(await other).to.deep.equal([])
    await running
    for (const late of [queue.acquire(), queue.run(() => undefined)])
      expect(await late.catch(error => error.code)).to.equal('shuttingDown')
  })

  it('wait for handlers in flight when they are disposed of', async () => {
    await write('a')
    const steps: string[] = []
    const events = new EventEmitter()
    const started = once(events, 'started')
    const goes = once(events, 'goes')
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const handle = async (): Promise<void> => {
      events.emit('started')
      await goes
      steps.push('handled')
    }
    const running = queue.run(handle, { start: 'earliest' })
    await started
    const disposed = queue[Symbol.asyncDispose]().then(() => void steps.push('disposed of'))
    await nextTurn()
    events.emit('goes')
    await Promise.all([disposed, running])
    expect(steps).to.deep.equal(['handled', 'disposed of'])
  })

  it('give back what was acquired of them and not settled when they are disposed of, and nothing of others', async () => {
    await write('a', 'b', 'c', 'd')
    const other = castellan.queue({ topic: 'jobs', group: 'workers' })
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    const ofOther = await other.acquire(EARLIEST)
    const taken: QueueMessage[] = []
    while (taken.length < 3) taken.push(...(await queue.acquire({ waitMs: 5_000, count: 3 - taken.length })))
    expect(await taken[0]!.accept()).to.include({ outcome: 'done' })
    expect(await taken[1]!.renew()).to.include({ outcome: 'done' })
    await queue[Symbol.asyncDispose]()
    expect(await taken[1]!.accept(), 'of a message that was given back').to.include({ outcome: 'lost' })
    const again: QueueMessage[] = []
    while (again.length < 2) again.push(...(await other.acquire({ waitMs: 5_000, count: 2 })))
    expect(again.map(textOf).sort()).to.deep.equal(taken.slice(1).map(textOf).sort())
    expect(await other.acquire({ waitMs: 300 })).to.deep.equal([])
    expect(await ofOther[0]!.accept()).to.include({ outcome: 'done' })
  })

  it('give nothing when they were disposed of', async () => {
    const queue = castellan.queue({ topic: 'jobs', group: 'workers' })
    await queue[Symbol.asyncDispose]()
    for (const late of [queue.acquire(), queue.run(() => undefined)])
      expect(await late.catch(error => error.code)).to.equal('shuttingDown')
  })

  it('tell callers of their mistakes', async () => {
    const mistakes: readonly (() => unknown)[] = [
      () => castellan.queue({ topic: 'jobs' } as never),
      () => castellan.queue({ topic: 'jobs', groupId: 'workers' } as never),
      () => castellan.queue({ topic: 'jobs', group: 'workers' }).acquire({ count: 0 }),
      () => castellan.queue({ topic: 'jobs', group: 'workers' }).acquire({ start: 'begin' as never }),
      () => castellan.queue({ topic: 'jobs', group: 'workers' }).acquire({ wait: 5 } as never),
      () => castellan.queue({ topic: 'jobs', group: 'workers' }).run(undefined as never)
    ]
    const told: string[] = []
    for (const mistake of mistakes) {
      try {
        await mistake()
      } catch (error) {
        told.push((error as Error).message)
      }
    }
    expect(told).to.deep.equal([
      'queue: a group is needed',
      'queue: there is no option groupId; did you mean group?',
      'acquire: count is a whole number from 1 to 500',
      "acquire: start is one of 'earliest', 'latest', {durationMs: number}",
      'acquire: there is no option wait; did you mean waitMs?',
      'run: a function is needed that handles a message'
    ])
  })
})
