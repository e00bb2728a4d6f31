import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Castellan, Message, RunOptions } from '../../../src/client.js'
import { onCluster } from '../../support/stage.js'

const KEYS = 6

/** A promise that the test resolves. */
function ending(): { readonly promise: Promise<void>; resolve(): void } {
  let resolve = (): void => undefined
  const promise = new Promise<void>(resolved => (resolve = resolved))
  return { promise, resolve: () => resolve() }
}

/** Handlers of a group, several at a time, with real times. */
describe('run, with several handlers at a time', function () {
  this.timeout(60_000)
  const stage = onCluster()
  let topic: string
  let results: string
  let group: string
  let stop: AbortController
  let running: Promise<void>[]

  beforeEach(async () => {
    topic = await stage.topic('jobs')
    results = await stage.topic('done')
    group = `workers ${topic}`
    stop = new AbortController()
    running = []
  })
  afterEach(async () => {
    stop.abort()
    await Promise.all(running)
  })

  const open = (consumer: object = {}) =>
    stage.library({ router: { isolationLevel: 'readCommitted' }, consumer: { start: 'earliest', ...consumer } })
  const write = (castellan: Castellan, count: number, keyOf: (at: number) => string) =>
    castellan.produceOrThrow(
      Array.from({ length: count }, (_, at) => ({ topic, partition: 0, key: keyOf(at), value: `${at}` }))
    )
  const start = (castellan: Castellan, handler: (message: Message) => unknown, options: RunOptions): void => {
    const run = castellan.consume({ group, topics: topic, signal: stop.signal }).run(handler, options)
    run.catch(() => undefined)
    running.push(run)
  }
  const committed = async (castellan: Castellan): Promise<number | null> =>
    (await castellan.admin.offsets(group, topic))[0]?.committed ?? null

  it('handles all of a partition once where none may be offered again, and commits none before', async () => {
    const castellan = await open({ maxRetries: 0, ackTimeoutMs: 1_000, commitIntervalMs: 10 })
    await write(castellan, 40, () => 'k')
    const handled: number[] = []
    const end = ending()
    start(
      castellan,
      async ({ offset, retries }) => {
        expect(retries).to.equal(0)
        await sleep(300)
        expect(await committed(castellan), 'committed before it was handled').to.be.below(offset + 1)
        handled.push(offset)
        if (offset === 39) end.resolve()
      },
      { concurrency: 8 }
    )
    await Promise.race([end.promise, running[0]])
    expect(handled).to.deep.equal(Array.from({ length: 40 }, (_, at) => at))
    while ((await committed(castellan)) !== 40) await sleep(20)
  })

  it('handles all others of a partition beside one whose handler never resolves', async () => {
    const castellan = await open()
    await write(castellan, 400, at => (at % 4 === 0 ? 'stuck' : `k${at % 50}`))
    const handled = new Set<number>()
    const end = ending()
    start(
      castellan,
      async ({ offset, key }) => {
        if (String(key) === 'stuck') return new Promise(() => undefined)
        handled.add(offset)
        if (handled.size === 300) end.resolve()
      },
      { concurrency: 8, order: 'key' }
    )
    await end.promise
    // The handler that never resolves is not waited for.
    running = []
  })

  it('writes each result once, and those of a key in order, where transactions abort, and where handlers repeat them', async () => {
    const castellan = await open({ commitIntervalMs: 10 })
    const count = 200
    await write(castellan, count, at => `k${at % KEYS}`)
    let tries = 0
    let written = 0
    const end = ending()
    const handle = async (message: Message): Promise<void> => {
      const mayFail = tries++ % 4 === 3
      const id = `${group} ${tries % 8}`
      const run = castellan.transaction(id, async tx => {
        await tx.produce({ topic: results, partition: 0, key: message.key, value: message.value })
        tx.ack(message)
        if (mayFail) throw new TypeError('no')
      })
      try {
        await run
        written++
      } catch (error) {
        expect(error).to.be.instanceOf(TypeError)
        if (message.offset % 2 === 0) await handle(message)
      }
      if (written === count) end.resolve()
    }
    start(castellan, handle, { concurrency: 8, order: 'key' })
    await Promise.race([end.promise, running[0]])
    // The last transactions may become visible a moment after their end was answered.
    let visible = 0
    for await (const _ of castellan.read(results, { from: 'earliest', follow: true })) if (++visible === count) break
    const byKey = new Map<string, number[]>()
    for await (const { key, value } of castellan.read(results, { from: 'earliest' })) {
      const of = byKey.get(String(key)) ?? []
      byKey.set(String(key), of)
      of.push(Number(value))
    }
    for (const [key, values] of byKey) {
      const expected = Array.from({ length: count }, (_, at) => at).filter(at => `k${at % KEYS}` === key)
      expect(values, key).to.deep.equal(expected)
    }
    expect(byKey.size).to.equal(KEYS)
  })
})
