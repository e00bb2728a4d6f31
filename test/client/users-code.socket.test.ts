import { expect } from 'chai'
import sinon from 'sinon'
import {
  ActorSystem,
  askRouter,
  type Castellan,
  type Logger,
  type MetricsLogger,
  openCastellan
} from '../../src/index.js'
import { onBroker } from '../support/stage.js'

const boom = (): never => {
  throw new Error('boom')
}
const reject = async (): Promise<void> => boom()
const wordless = (): never => {
  throw Object.create(null)
}
const throwingMetrics: MetricsLogger = { count: boom, time: boom, gauge: boom }
const throwingLog: Logger = { debug: boom, info: boom, warn: boom, error: boom }
const orders0 = { topic: 'orders', partition: 0 }
const latest = { type: 'fetchOffset', topicPartition: orders0, offsetType: 'latest' } as const

describe('code of the user of the library that fails', () => {
  const stage = onBroker(undefined, true)
  let warn: sinon.SinonStub
  beforeEach(() => {
    stage.cluster.createTopic('orders', { partitions: 1 })
    warn = sinon.stub(process, 'emitWarning')
  })
  afterEach(() => warn.restore())

  const warnings = (): string[] => warn.args.map(([message]) => String(message))

  async function write(castellan: Castellan): Promise<void> {
    expect((await castellan.produce({ topic: 'orders', value: 'one' })).map(({ type }) => type)).to.deep.equal([
      'delivered'
    ])
  }

  /** Writes a record, reads it, and reads it for a group. */
  async function useAll(castellan: Castellan): Promise<void> {
    await write(castellan)
    expect(await askRouter(castellan.router.ref, latest)).to.include({ type: 'success', offset: 1 })
    for await (const record of castellan.read('orders')) expect(String(record.value)).to.equal('one')
    await castellan.groups.consume('billing', 'orders', 500)
  }

  const loggers: readonly (readonly [string, object, string])[] = [
    ['metrics that throw', { metrics: throwingMetrics }, 'the metrics logger threw: boom'],
    ['a log that throws', { log: throwingLog }, 'the log threw: boom'],
    [
      'a log that rejects',
      { log: { debug: reject, info: reject, warn: reject, error: reject } },
      'the log threw: boom'
    ],
    ['metrics that reject', { metrics: { count: reject, time: reject } }, 'the metrics logger threw: boom'],
    [
      'metrics that throw what has no text',
      { metrics: { count: wordless, time: wordless } },
      'the metrics logger threw: something without a text (object)'
    ]
  ]
  for (const [what, options, message] of loggers) {
    it(`stops nothing and is told once: ${what}`, async () => {
      const castellan = await stage.library(options)
      await useAll(castellan)
      // Delivery reports its gauges once a second.
      await new Promise(resolve => setTimeout(resolve, 1_200))
      expect(await askRouter(castellan.router.ref, latest)).to.include({ type: 'success', offset: 1 })
      await stage.close(castellan)
      expect(warnings()).to.deep.equal([message])
    })
  }

  it('is none where a metrics logger has the two methods of Castle', async () => {
    const counted: string[] = []
    const metrics: MetricsLogger = { count: (_, name) => void counted.push(name), time() {} }
    await useAll(await stage.library({ metrics }))
    expect(counted).to.include('fetches')
    expect(warnings()).to.deep.equal([])
  })

  it('ends the wait of its own request only, where it is isWanted', async () => {
    const castellan = await stage.library()
    const atEnd = {
      type: 'fetchData',
      topicPartition: orders0,
      offset: 0,
      maxWaitMs: 20_000,
      timeoutMs: 30_000
    } as const
    const waiting = askRouter(castellan.router.ref, atEnd)
    const thrown = await askRouter(castellan.router.ref, { ...atEnd, isWanted: boom })
    expect(thrown.type).to.equal('noMessages')
    await write(castellan)
    expect((await waiting).type).to.equal('success')
    expect(warnings()).to.deep.equal(['isWanted of a request threw: boom'])
  })

  it('does not end reading and is told once, where it is an onWarning that throws or rejects', async () => {
    await write(await stage.library())
    stage.cluster.faults.add({ api: 'Fetch', count: 8 }, { type: 'dropRequest' })
    const calls = [0, 0]
    const callbacks = [boom, reject].map((fail, at) => () => {
      calls[at]!++
      return fail()
    })
    const read = async (onWarning: () => unknown): Promise<void> => {
      const { read } = await stage.library({ router: { callTimeoutMs: 300 } })
      for await (const { value } of read('orders', { requestTimeoutMs: 200, onWarning }))
        expect(String(value)).to.equal('one')
    }
    await Promise.all([...callbacks, ...callbacks].map(read))
    for (const count of calls) expect(count).to.be.greaterThan(1)
    expect(warnings()).to.deep.equal(['onWarning threw: boom', 'onWarning threw: boom'])
  })

  it('fails its own records only, where it is a partitioner that throws or returns a promise', async () => {
    const castellan = await stage.library()
    const one = { topic: 'orders', key: 'k', value: 'x' }
    const failing = [boom, reject, wordless].map(partitioner => castellan.produce(one, { partitioner } as never))
    const messages = (await Promise.all(failing)).map(([outcome]) => 'message' in outcome! && outcome.message)
    expect(messages).to.deep.equal([
      'the partitioner threw: boom',
      'the partitioner has to choose a partition from 0 to 0, not a promise',
      'the partitioner threw: something without a text (object)'
    ])
    await write(castellan)
  })

  it('stops nothing, where it is the reply of a requester that rejects', async () => {
    const castellan = await stage.library()
    const replied = new Promise<void>(resolve => {
      const reply = (): Promise<void> => {
        resolve()
        return reject()
      }
      castellan.router.ref.tell({ ...latest, requester: { reply } } as never)
    })
    await replied
    await useAll(castellan)
  })

  it('leaves nothing behind where openCastellan rejects it', async () => {
    const brokers = stage.bootstrap
    await new Promise(resolve => setImmediate(resolve))
    const before = process.getActiveResourcesInfo().sort()
    for (const wrong of [{ metrics: { count() {} } }, { log: { info() {} } }, { onFatal: 'exit' }, { system: {} }]) {
      const error = await openCastellan({ brokers, ...wrong } as never).catch(rejected => rejected)
      expect(error).to.include({ name: 'ConfigError' })
      expect(error.message).to.contain(Object.keys(wrong)[0])
    }
    expect(process.getActiveResourcesInfo().sort()).to.deep.equal(before)
  })
})

describe('a stopped Router', () => {
  const stage = onBroker(undefined, true)

  it('answers failed after close, to one and to many', async () => {
    const castellan = await stage.library()
    await castellan.close()
    expect(await askRouter(castellan.router.ref, latest)).to.include({ type: 'failed', code: 'shuttingDown' })
    const [first, second] = await askRouter(castellan.router.ref, [latest, { type: 'produce', records: [] }])
    expect(first).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(second).to.deep.include({ type: 'completed', outcomes: [] })
  })

  it('answers failed when its actors were stopped without it, also what it was asked before', async () => {
    stage.cluster.createTopic('orders', { partitions: 1 })
    const system = new ActorSystem()
    const castellan = await stage.library({ system })
    await askRouter(castellan.router.ref, latest)
    const atEnd = {
      type: 'fetchData',
      topicPartition: orders0,
      offset: 0,
      maxWaitMs: 20_000,
      timeoutMs: 30_000
    } as const
    const waiting = askRouter(castellan.router.ref, atEnd)
    await new Promise(resolve => setTimeout(resolve, 300))
    const unhandled = askRouter(castellan.router.ref, latest)
    system.stop()
    const after = askRouter(castellan.router.ref, latest)
    for (const asked of [waiting, unhandled, after]) {
      expect(await asked).to.include({ type: 'failed', code: 'shuttingDown' })
    }
  })
})
