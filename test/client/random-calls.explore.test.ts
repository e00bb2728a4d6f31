import { expect } from 'chai'
import {
  AdminError,
  askRouter,
  type Castellan,
  CastellanError,
  type NewRecord,
  type ProduceOptions,
  type RecordOutcome,
  RequestManager
} from '../../src/client.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { SeededRandom, testSeed } from '../support/random.js'
import { onBroker } from '../support/stage.js'
import { walDirectoryOf } from '../support/wal-directory.js'

const CALLS = 10_000
const AT_ONCE = 100
/** What a call may take beyond its own limit on a busy machine. */
const SLACK_MS = 20_000
const TOPICS = ['orders', 'clicks', 'nowhere'] as const
const PARTITIONS = 3
const APIS = [
  'Produce',
  'Metadata',
  'ListOffsets',
  'OffsetFetch',
  'OffsetCommit',
  'DescribeConfigs',
  'InitProducerId'
] as const
const CODES = [
  errorCodes.NOT_LEADER_OR_FOLLOWER,
  errorCodes.REQUEST_TIMED_OUT,
  errorCodes.NOT_ENOUGH_REPLICAS,
  errorCodes.COORDINATOR_NOT_AVAILABLE,
  errorCodes.TOPIC_AUTHORIZATION_FAILED
]

/** A record that was handed in, and what its call was told. */
interface Written {
  readonly value: string
  readonly topic: string
  outcome: RecordOutcome | undefined
}

/** Random calls of a client whose brokers fail: each call gets one answer, in time, and what it says is true. */
class RandomCalls {
  readonly written: Written[] = []
  readonly problems: string[] = []
  readonly answers = new Map<string, number>()
  #started = 0
  readonly #castellan: Castellan
  readonly #random: SeededRandom
  readonly #manager: RequestManager<'produce'>
  /** The calls of the manager that are open, by the value of their first record. */
  readonly #asked = new Map<number, (outcomes: readonly RecordOutcome[]) => void>()

  constructor(castellan: Castellan, random: SeededRandom) {
    this.#castellan = castellan
    this.#random = random
    this.#manager = new RequestManager({
      router: castellan.router.ref,
      tellSelf: message =>
        setImmediate(() =>
          this.#manager.checkResult(message, {
            produce: { completed: ({ outcomes }) => this.#completed(message.requestId, outcomes) }
          })
        )
    })
  }

  #completed(requestId: number, outcomes: readonly RecordOutcome[]): void {
    const done = this.#asked.get(requestId)
    if (done === undefined) this.problems.push(`question ${requestId} has two answers`)
    this.#asked.delete(requestId)
    done?.(outcomes)
  }

  async make(): Promise<void> {
    const random = this.#random
    const limitMs = random.pick([50, 300, 1_000, 3_000])
    const end = random.next() < 0.3 ? new AbortController() : undefined
    const timer = end && setTimeout(() => end.abort(), random.between(0, limitMs))
    const startedAt = performance.now()
    const answer = await this.#any(limitMs, end?.signal)
    clearTimeout(timer)
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1)
    const tookMs = performance.now() - startedAt
    if (tookMs > limitMs + SLACK_MS) this.problems.push(`${answer}: ${tookMs} ms of ${limitMs}`)
  }

  #any(limitMs: number, signal: AbortSignal | undefined): Promise<string> {
    const kind = this.#random.next()
    if (kind < 0.4) return this.#produce(limitMs, signal)
    if (kind < 0.5) return this.#produceOrThrow(limitMs, signal)
    if (kind < 0.6) return this.#askRouter(limitMs)
    if (kind < 0.7) return this.#askByManager(limitMs)
    return this.#admin(limitMs, signal)
  }

  #records(): { readonly records: NewRecord[]; readonly written: Written[] } {
    const random = this.#random
    const written = Array.from({ length: random.pick([1, 1, 2, 20]) }, () => ({
      value: `${this.#started++}`,
      topic: random.pick(TOPICS),
      outcome: undefined
    }))
    this.written.push(...written)
    const padding = random.pick([0, 0, 2_000])
    const records = written.map(({ topic, value }) => ({
      topic,
      key: random.pick([null, 'a', 'b', 'c']),
      value: value.padEnd(padding),
      ...(random.next() < 0.3 && { partition: random.between(0, PARTITIONS) }),
      ...(random.next() < 0.1 && { headers: { number: value } })
    }))
    return { records, written }
  }

  #options(deadlineMs: number, signal: AbortSignal | undefined): ProduceOptions {
    const kind = this.#random.next()
    const named = { deadlineMs, ...(signal && { signal }) }
    if (kind < 0.2) return { ...named, durability: 'disk' }
    if (kind < 0.4) return { ...named, partitioner: key => (key === null ? 0 : Number(key[0]) % PARTITIONS) }
    return named
  }

  #told(written: readonly Written[], outcomes: readonly RecordOutcome[]): string {
    if (outcomes.length !== written.length)
      this.problems.push(`${outcomes.length} outcomes of ${written.length} records`)
    for (const [at, outcome] of outcomes.entries()) written[at]!.outcome = outcome
    const codes = new Set(outcomes.map(one => (one.type === 'failed' ? `${one.code}/${one.persisted}` : 'delivered')))
    return `produce ${[...codes].sort().join()}`
  }

  async #produce(limitMs: number, signal: AbortSignal | undefined): Promise<string> {
    const { records, written } = this.#records()
    const produced = this.#castellan.produce(records, this.#options(limitMs, signal))
    const [outcomes] = await Promise.all([produced, produced.accepted()])
    return this.#told(written, outcomes)
  }

  async #produceOrThrow(limitMs: number, signal: AbortSignal | undefined): Promise<string> {
    const { records, written } = this.#records()
    const thrown = await this.#castellan.produceOrThrow(records, this.#options(limitMs, signal)).then(
      outcomes => ({ outcomes }),
      (error: { readonly outcomes: readonly RecordOutcome[] }) => error
    )
    return this.#told(written, thrown.outcomes)
  }

  async #askRouter(timeoutMs: number): Promise<string> {
    const { records, written } = this.#records()
    const asked = { type: 'produce', records: records as never, timeoutMs } as const
    return this.#told(written, (await askRouter(this.#castellan.router.ref, asked)).outcomes)
  }

  async #askByManager(timeoutMs: number): Promise<string> {
    const { records, written } = this.#records()
    const outcomes = new Promise<readonly RecordOutcome[]>(resolve => this.#asked.set(++this.#questions, resolve))
    this.#manager.sendRequestToRouter({ type: 'produce', records: records as never, timeoutMs })
    return this.#told(written, await outcomes)
  }
  /** The manager counts its questions from 1. */
  #questions = 0

  async #admin(timeoutMs: number, signal: AbortSignal | undefined): Promise<string> {
    const random = this.#random
    const { admin } = this.#castellan
    const options = { timeoutMs, signal }
    const topic = random.pick(TOPICS)
    const place = { topic, partition: random.between(0, PARTITIONS) }
    const maybe = <Value>(value: Value): Value | undefined => (random.next() < 0.5 ? undefined : value)
    const calls: Record<string, () => Promise<unknown>> = {
      topics: () => admin.topics(maybe([...TOPICS]), options),
      logEnds: () => admin.logEnds([place, { topic: 'orders', partition: 0 }], options),
      offsets: () => admin.offsets('billing', maybe(topic), options),
      setOffsets: () => admin.setOffsets('billing', [{ ...place, offset: random.between(0, 3) }], options),
      describeGroups: () => admin.describeGroups(maybe(['billing', 'none']), options),
      describeCluster: () => admin.describeCluster(options),
      describeConfigs: () => admin.describeConfigs([{ topic }, { topic: 'orders' }], options),
      alterConfigs: () => admin.alterConfigs({ topic }, { 'retention.ms': `${random.between(1, 9)}00000` }, options),
      createTopic: () => admin.createTopic([{ name: `new-${random.between(0, 20)}` }, { name: 'orders' }], options),
      deleteTopic: () => admin.deleteTopic(`new-${random.between(0, 20)}`, options),
      deleteRecords: () => admin.deleteRecords({ topic: 'new-1', partition: 0, offset: 0 }, options)
    }
    const name = random.pick(Object.keys(calls))
    return calls[name]!().then(
      () => `${name} done`,
      (error: unknown) => {
        if (!(error instanceof CastellanError) || !(error instanceof AdminError))
          this.problems.push(`${name}: ${error}`)
        return `${name} ${(error as AdminError).code}`
      }
    )
  }

  close(): void {
    this.#manager.close()
    if (this.#asked.size > 0) this.problems.push(`${this.#asked.size} questions without an answer`)
  }
}

describe('10,000 random calls of the library while brokers fail', () => {
  const stage = onBroker({ nodes: 3, autoCreateTopics: false })
  const unhandled: unknown[] = []
  const note = (error: unknown): void => void unhandled.push(error)
  before(() => void process.on('unhandledRejection', note))
  after(() => void process.off('unhandledRejection', note))

  function addFault(random: SeededRandom): void {
    const match = { api: random.next() < 0.5 ? 'Produce' : random.pick(APIS), count: random.between(1, 3) } as const
    const afterWork = random.next() < 0.5
    const actions = [
      { type: 'delay', delayMs: random.between(1, 400), afterWork },
      { type: 'close', afterWork },
      { type: 'dropRequest' },
      { type: 'errorAfter', errorCode: errorCodes.REQUEST_TIMED_OUT },
      { type: 'error', errorCode: random.pick(CODES) }
    ] as const
    stage.cluster.faults.add(match, random.pick(actions))
  }

  it('have one answer each, in time, and it is true', async function () {
    this.timeout(600_000)
    const random = new SeededRandom(testSeed())
    for (const topic of ['orders', 'clicks']) stage.cluster.createTopic(topic, { partitions: PARTITIONS })
    const castellan = await stage.library({
      wal: { directory: walDirectoryOf('apps') },
      router: { callTimeoutMs: 500 },
      delivery: { maxBytes: 1024 * 1024, timeoutMs: 3_000 }
    })
    const calls = new RandomCalls(castellan, random)
    let next = 0
    const caller = async (): Promise<void> => {
      while (next < CALLS) {
        if (next++ % 25 === 0) addFault(random)
        await calls.make()
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, caller))
    stage.cluster.faults.clear()
    calls.close()
    expect(calls.problems).to.deep.equal([])
    expect([...calls.answers.values()].reduce((sum, count) => sum + count)).to.equal(CALLS)
    expect(calls.answers.size).to.be.greaterThan(20)
    await stage.close(castellan)
    expect(castellan.delivery.stats()).to.include({ bufferedRecords: 0, bufferedBytes: 0 })
    expect(liesIn(calls.written)).to.deep.equal([])
    expect(unhandled).to.deep.equal([])
  })

  /** What the logs of the brokers contradict. */
  function liesIn(written: readonly Written[]): string[] {
    const found = new Map<string, string[]>()
    for (const topic of ['orders', 'clicks']) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        for (const { value, offset } of stage.cluster.records(topic, partition)) {
          const number = String(value).trim()
          found.set(number, [...(found.get(number) ?? []), `${topic}/${partition}@${offset}`])
        }
      }
    }
    return written.flatMap(({ value, topic, outcome }) => {
      const places = found.get(value) ?? []
      if (outcome === undefined) return [`${value} has no outcome`]
      if (places.length > 1) return [`${value} is there ${places.length} times: ${places.join()}`]
      if (outcome.type === 'failed')
        return outcome.persisted === 'no' && places.length > 0 ? [`${value} is there: ${outcome.message}`] : []
      const told = `${topic}/${outcome.partition}@${outcome.offset}`
      return places[0] === told ? [] : [`${value} is at ${places[0]}, not at ${told}`]
    })
  }
})
