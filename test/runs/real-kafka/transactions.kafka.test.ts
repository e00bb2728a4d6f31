import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { type Castellan, type Message, openCastellan, type RunOptions } from '../../../src/client.js'
import { HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { until } from '../../support/pixy-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { runningKafka } from './shared-cluster.js'

const END_TXN = 26
const TXN_OFFSET_COMMIT = 28
const HELD_MS = 20_000
const CALL_TIMEOUT_MS = 1_500

/** The first so many records that have committed. Brokers may write the markers after the call has resolved. */
async function committed(castellan: Castellan, topic: string, count: number): Promise<string[]> {
  const values: string[] = []
  for await (const { value } of castellan.read(topic, { from: 'earliest', follow: true })) {
    values.push(String(value))
    if (values.length === count) break
  }
  return values.sort()
}

const open = (brokers: string) =>
  openCastellan({ brokers, router: { isolationLevel: 'readCommitted', callTimeoutMs: CALL_TIMEOUT_MS } })

describe('transactions on real Kafka whose bytes stand still on their way', function () {
  this.timeout(180_000)
  let castellan: Castellan
  let proxies: HoldingProxy[] = []
  let topic: string

  before(async () => {
    const { ports } = runningKafka()
    proxies = await Promise.all(
      ports.map(({ proxied: port }) => HoldingProxy.start({ port }, { host: '127.0.0.2', port }))
    )
    castellan = await open(ports.map(({ proxied }) => `127.0.0.2:${proxied}`).join(','))
  })
  after(async () => {
    await castellan?.close()
    for (const proxy of proxies) await proxy.close()
  })
  beforeEach(async () => {
    topic = freshTopic('held')
    await runningKafka().createTopic(topic, 1)
  })

  /** The first request with this key stands still for 20 s. */
  function hold(key: number): { readonly isHeld: () => boolean; readonly arrived: Promise<void> } {
    let held: ProxiedConnection | undefined
    const arrived = new Promise<void>(resolve => {
      for (const proxy of proxies) {
        proxy.onBytes = (connection, towards, bytes) => {
          if (held !== undefined || towards !== 'toServer' || bytes.length < 6 || bytes.readInt16BE(4) !== key) return
          held = connection
          connection.hold('toServer')
          setTimeout(() => {
            connection.release()
            setTimeout(resolve, 500)
          }, HELD_MS)
        }
      }
    })
    return { isHeld: () => held !== undefined, arrived }
  }

  it('commit once, and an end that comes 20 s late does not end the next one', async () => {
    const id = `etl ${topic}`
    const { isHeld, arrived } = hold(END_TXN)
    await castellan.transaction(id, tx => tx.produce({ topic, value: 'first' }))
    expect(isHeld()).to.equal(true)
    const thrown = new Error('no')
    const next = castellan.transaction(id, async tx => {
      await tx.produce({ topic, value: 'never' })
      await arrived
      await tx.produce({ topic, value: 'never either' })
      throw thrown
    })
    expect(await next.catch((error: unknown) => error)).to.equal(thrown)
    await castellan.transaction(id, tx => tx.produce({ topic, value: 'last' }))
    expect(await committed(castellan, topic, 2)).to.deep.equal(['first', 'last'])
  })

  it('commit their offsets, and some that come 20 s late change nothing', async () => {
    const [id, group] = [`etl ${topic}`, `billing ${topic}`]
    const commit = (offset: number) =>
      castellan.transaction(id, tx => tx.commitOffsets(group, [{ topic, partition: 0, offset }]))
    await commit(1)
    const { isHeld, arrived } = hold(TXN_OFFSET_COMMIT)
    await commit(2)
    expect(isHeld()).to.equal(true)
    await commit(3)
    await castellan.transaction(id, async tx => {
      await tx.commitOffsets(group, [{ topic, partition: 0, offset: 4 }])
      await arrived
    })
    // An end is answered before its markers are written.
    const committed = async () => (await castellan.admin.offsets(group, topic))[0]!.committed
    await until(async () => (await committed()) === 4)
  })
})

describe('transactions on real Kafka while brokers are killed and paused', function () {
  this.timeout(300_000)

  it('are read once each, or not at all where they were aborted', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('killed')
    await cluster.createTopic(topic, 3)
    const castellan = await open(cluster.bootstrap)
    const expected: string[] = []
    const failures: string[] = []
    let isOver = false
    let at = 0
    const writing = (async () => {
      for (; !isOver; at++) {
        const values = [0, 1, 2].map(part => `${at} ${part}`)
        const asked = castellan.transaction(`etl ${topic}`, async tx => {
          await tx.produce(values.map((value, partition) => ({ topic, partition, value })))
          if (at % 5 === 4) throw new TypeError('no')
        })
        await asked.then(
          () => expected.push(...values),
          (error: Error) => {
            if (!(error instanceof TypeError)) failures.push(`${error.name} ${error.message}`)
          }
        )
      }
    })()
    try {
      for (const nodeId of cluster.nodeIds) {
        await pass(2_000)
        await cluster.signal(nodeId, 'SIGKILL')
        await pass(4_000)
        cluster.startNode(nodeId)
        await cluster.healed(topic)
        await cluster.signal(nodeId, 'SIGSTOP')
        await pass(4_000)
        await cluster.signal(nodeId, 'SIGCONT')
        await cluster.healed(topic)
      }
    } finally {
      isOver = true
      await writing
    }
    expect(failures).to.deep.equal([])
    expect(at).to.be.greaterThan(50)
    await castellan.transaction(`etl ${topic}`, tx => tx.produce({ topic, partition: 0, value: 'x' }))
    const read = await committed(castellan, topic, expected.length + 1)
    expect(read).to.deep.equal([...expected.sort(), 'x'])
    await castellan.close()
    await cluster.electCoordinators()
  })
})

describe('handlers of run on real Kafka', function () {
  this.timeout(300_000)
  const KEYS = 12
  let castellan: Castellan
  let inputs: string
  let group: string
  let stop: AbortController
  let running: Promise<void>

  beforeEach(async () => {
    inputs = freshTopic('inputs')
    group = `workers ${inputs}`
    stop = new AbortController()
  })
  afterEach(async () => {
    stop.abort()
    await castellan?.close({ timeoutMs: 5_000 })
  })

  async function begin(count: number, partitions: number, consumer: object): Promise<void> {
    const cluster = runningKafka()
    await cluster.createTopic(inputs, partitions)
    const router = { isolationLevel: 'readCommitted', callTimeoutMs: CALL_TIMEOUT_MS } as const
    castellan = await openCastellan({
      brokers: cluster.bootstrap,
      router,
      consumer: { start: 'earliest', ...consumer }
    })
    await castellan.produceOrThrow(
      Array.from({ length: count }, (_, at) => ({ topic: inputs, key: `k${at % KEYS}`, value: `${at}` }))
    )
  }
  const handle = (handler: (message: Message) => unknown, options: RunOptions): void => {
    running = castellan.consume({ group, topics: inputs, signal: stop.signal }).run(handler, options)
    running.catch(() => undefined)
  }
  const inKey = (count: number, key: string) =>
    Array.from({ length: count }, (_, at) => at).filter(at => `k${at % KEYS}` === key)

  it('handle each message where none may be offered again, and commit none before', async () => {
    await begin(40, 1, { maxRetries: 0, ackTimeoutMs: 1_000 })
    const handled: string[] = []
    handle(
      async ({ value, offset }) => {
        await pass(300)
        const [place] = await castellan.admin.offsets(group, inputs)
        expect(place?.committed ?? 0).to.be.at.most(offset)
        handled.push(String(value))
      },
      { concurrency: 8 }
    )
    await until(async () => handled.length === 40)
    expect(handled).to.deep.equal(Array.from({ length: 40 }, (_, at) => `${at}`))
    await until(async () => (await castellan.admin.offsets(group, inputs))[0]!.committed === 40)
  })

  it('handle 300 of 300 messages beside one that never ends', async () => {
    await begin(360, 1, {})
    const handled = new Set<string>()
    handle(
      async ({ key, value }) => {
        if (String(key) === 'k0' || String(key) === 'k1') await new Promise(() => undefined)
        else handled.add(String(value))
      },
      { concurrency: 8, order: 'key' }
    )
    await until(async () => handled.size === 300)
  })

  it('write each result once, and those of a key in order, where transactions abort and brokers are killed', async () => {
    const cluster = runningKafka()
    const count = 1_200
    const results = freshTopic('results')
    await cluster.createTopic(results, 3)
    await begin(count, 3, { sessionTimeoutMs: 6_000, heartbeatIntervalMs: 500 })
    let attempts = 0
    let isQuick = false
    const failures = new Map<string, number>()
    handle(
      async message => {
        const attempt = attempts++
        if (!isQuick) await pass(40)
        const { key, value } = message
        const write = castellan.transaction(`etl ${inputs} ${message.partition} ${String(key)}`, async tx => {
          await tx.produce({ topic: results, key, value })
          tx.ack(message)
          if (attempt % 6 === 5) throw new TypeError('no')
        })
        await write.catch((error: { code?: string }) => {
          const name = error.code ?? 'thrown'
          failures.set(name, (failures.get(name) ?? 0) + 1)
        })
      },
      { concurrency: 8, order: 'key' }
    )
    for (const nodeId of cluster.nodeIds) {
      await pass(2_000)
      await cluster.signal(nodeId, 'SIGKILL')
      await pass(3_000)
      cluster.startNode(nodeId)
      await cluster.healed(results)
    }
    isQuick = true
    const byKey = new Map<string, number[]>()
    const add = ({ key, value }: { readonly key: Buffer | null; readonly value: Buffer | null }): void => {
      const of = byKey.get(String(key)) ?? []
      byKey.set(String(key), of)
      of.push(Number(value))
    }
    let seen = 0
    for await (const record of castellan.read(results, { from: 'earliest', follow: true })) {
      add(record)
      if (++seen === count) break
    }
    const before = seen
    stop.abort()
    await running
    byKey.clear()
    for await (const record of castellan.read(results, { from: 'earliest' })) {
      add(record)
      seen++
    }
    console.log('attempts, failures:', attempts, JSON.stringify([...failures]))
    expect(seen - before, 'no result twice').to.equal(count)
    for (const [key, values] of byKey) expect(values, key).to.deep.equal(inKey(count, key))
    expect(byKey.size).to.equal(KEYS)
    expect(failures.get('thrown')).to.be.greaterThan(50)
  })
})
