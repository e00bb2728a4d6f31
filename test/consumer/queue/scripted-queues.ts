import type { FoundGroup, QueueAdmin } from '../../../src/consumer/queue/queue-opening.js'
import type {
  AcknowledgeResult,
  AcknowledgeType,
  OnSettled,
  QueueReader,
  QueueReaderEvents
} from '../../../src/consumer/queue/queue-reader.js'
import {
  type AcquireOptions,
  type AcquireResult,
  NOTHING_TO_SETTLE,
  type QueueChanges,
  type QueueDescription,
  type QueueMessage,
  type QueueSettings,
  type Settlement,
  type TokenResult
} from '../../../src/consumer/queue/queue-verbs.js'
import { Queues, type QueuesDeps } from '../../../src/consumer/queue/queues.js'
import type { Lock } from '../../../src/consumer/queue/share-locks.js'
import type { CastellanError } from '../../../src/core/errors.js'
import { LoopTurns } from '../../../src/core/loop-turns.js'
import type { Logger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { FakeTime } from '../../support/fake-time.js'
import { lockOf } from './lock-of.js'

export const LOCK_MS = 30_000
export const SETTINGS: QueueSettings = {
  start: 'earliest',
  lockMs: LOCK_MS,
  deliveryLimit: 5,
  deadLetters: null,
  isolation: 'readUncommitted'
}

type LastingError = NonNullable<ReturnType<QueueReader['partitionErrors']['get']>>
type Reader = Pick<QueueReader, 'wake' | 'settle' | 'begun' | 'close' | 'partitionErrors'>

/** One word about a message on its way to Kafka; a test answers it. */
export interface Sent {
  readonly offset: number
  readonly word: AcknowledgeType
  answer(settled: AcknowledgeResult): void
}

/** What the share side does is done by the test. */
export class ScriptedReader implements Reader {
  readonly partitionErrors = new Map<number, LastingError>()
  readonly events: QueueReaderEvents
  readonly session = {}
  readonly sent: Sent[] = []
  /** Answers words by itself. `undefined`: the test does. */
  answers: AcknowledgeResult | undefined = { outcome: 'done' }
  wakes = 0
  isClosed = false
  isBegun = true
  #onBegun: (() => void)[] = []
  readonly #now: () => number

  constructor(events: QueueReaderEvents, now: () => number) {
    this.events = events
    this.#now = now
  }

  wake(): void {
    this.wakes++
  }

  /** As `release 7`, in order. */
  get words(): string[] {
    return this.sent.map(({ word, offset }) => `${word} ${offset}`)
  }

  acquire(...messages: (Partial<Lock> & { offset: number; value?: string })[]): void {
    this.events.acquired(
      messages.map(({ offset, value = `value ${offset}`, ...more }) => {
        const record = { offset, timestampMs: 0, key: null, value: Buffer.from(value), headers: [] }
        return { lock: lockOf({ offset, endsAt: this.#now() + LOCK_MS, session: this.session, ...more }), record }
      })
    )
  }

  settle(lock: Lock, word: AcknowledgeType, settled: OnSettled): void {
    const answer = (result: AcknowledgeResult): void => {
      if (word === 'renew' && result.outcome === 'done') lock.endsAt = this.#now() + LOCK_MS
      settled(result)
    }
    this.sent.push({ offset: lock.offset, word, answer })
    if (this.answers !== undefined) answer(this.answers)
  }

  begun(waitMs: number): Promise<void> {
    if (this.isBegun) return Promise.resolve()
    if (waitMs === 0) return Promise.reject(new Error('orders/1 was not fetched from'))
    return new Promise(resolve => this.#onBegun.push(resolve))
  }

  begin(): void {
    this.isBegun = true
    for (const resolve of this.#onBegun.splice(0)) resolve()
  }

  async close(): Promise<void> {
    this.isClosed = true
  }
}

/** What the client of an acquire sees. */
export class Client {
  readonly results: AcquireResult[] = []
  /** When it had the first of them. */
  answeredAt = Number.POSITIVE_INFINITY
  leave: () => void = () => undefined

  get messages(): readonly QueueMessage[] {
    const [result] = this.results
    return result?.type === 'acquired' ? result.messages : []
  }

  get tokens(): string[] {
    return this.messages.map(({ token }) => token)
  }

  /** `undefined`: it has no answer. A failure is another answer than no messages. */
  get offsets(): number[] | undefined {
    if (this.failure !== undefined) throw new Error(this.failure)
    return this.results.length === 0 ? undefined : this.messages.map(({ record }) => record.offset)
  }

  get failure(): string | undefined {
    const [result] = this.results
    return result?.type === 'failed' ? result.code : undefined
  }
}

export interface QueuesScript {
  readonly found?: Partial<FoundGroup>
  readonly limits?: Partial<QueuesDeps['limits']>
  readonly findFails?: CastellanError
  readonly configureFails?: CastellanError
  readonly isolation?: QueuesDeps['isolation']
  readonly openReader?: QueuesDeps['openReader']
  /** Of this byte are the 12 of the gateway's id. */
  readonly gateway?: number
  /** Memory for records. */
  readonly recordBytes?: number
  /** Default: a time of its own. */
  readonly time?: FakeTime
}

/** Queues whose share side and whose Kafka are a test's. */
export class ScriptedQueues {
  readonly time: FakeTime
  readonly metrics = new CountingMetrics()
  readonly readers: ScriptedReader[] = []
  readonly warnings: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[] = []
  /** Lines of the level info. */
  readonly notes: ScriptedQueues['warnings'] = []
  readonly changes: QueueChanges[] = []
  settings: QueueSettings | undefined = SETTINGS
  /** Settles when Kafka answers with the settings that the group has had when they were asked for. */
  settingsAnswer: Promise<void> = Promise.resolve()
  /** What Kafka says of the group. */
  description: QueueDescription = {
    state: 'Stable',
    members: [],
    partitions: [0, 1].map(partition => ({ partition, startOffset: 0, lag: 1 })),
    settings: SETTINGS,
    topics: ['orders']
  }
  /** Whether readers begin by themselves. */
  begins = true
  readonly queues: Queues
  readonly records: RecordBudget

  constructor(script: QueuesScript = {}) {
    const {
      found,
      limits,
      findFails,
      configureFails,
      isolation,
      openReader,
      gateway = 7,
      time = new FakeTime(),
      recordBytes = 1e12
    } = script
    this.time = time
    this.records = new RecordBudget(recordBytes, time.now)
    const admin: QueueAdmin = {
      find: async () => {
        if (findFails !== undefined) throw findFails
        return {
          settings: this.settings,
          hasStart: true,
          hasTopic: true,
          otherTopics: [],
          hasIsolation: true,
          exists: true,
          hides: [],
          ...found
        }
      },
      settings: async () => {
        const { settings } = this
        await this.settingsAnswer
        return settings
      },
      configure: async (_topic, _groupId, changes) => {
        if (configureFails !== undefined) throw configureFails
        this.changes.push(changes)
        const start = changes.start ?? SETTINGS.start
        const set = changes.isolation ?? SETTINGS.isolation
        const deliveryLimit = changes.deliveryLimit ?? SETTINGS.deliveryLimit
        return (this.settings = { ...SETTINGS, start, deliveryLimit, isolation: set })
      },
      describe: () => Promise.resolve(this.description)
    }
    this.queues = new Queues({
      cluster: 'default',
      isolation,
      gatewayId: Buffer.alloc(12, gateway),
      key: Buffer.alloc(32, 9),
      limits: {
        maxLockMs: 3_600_000,
        mayCreate: true,
        maxHeld: 10_000,
        maxHeldPerClient: 1_000,
        maxWaiting: 2_000,
        maxQueues: 100,
        ...limits
      },
      turns: new LoopTurns(),
      records: this.records,
      clock: this.time.now,
      log: this.#log,
      metrics: this.metrics,
      admin,
      openReader: openReader ?? ((_topic, _groupId, events) => this.#openReader(events))
    })
  }

  /** The reader that was opened last. */
  get reader(): ScriptedReader {
    return this.readers.at(-1)!
  }

  get archived(): unknown[] {
    return this.warnings.filter(({ fields }) => 'because' in fields).map(({ fields }) => fields.offset)
  }

  /** An acquire that waits; the queue is open when it resolves. */
  async acquire(options: Partial<AcquireOptions> & { topic?: string; group?: string } = {}): Promise<Client> {
    const { topic = 'orders', group = 'workers', ...rest } = options
    const client = new Client()
    const asked = { count: 1, waitMs: 20_000, maxBytes: 1_048_576, lockMs: undefined, start: undefined }
    const all = { ...asked, client: 'someone', mayAlter: true, ...rest }
    const reply = (result: AcquireResult): void => {
      client.results.push(result)
      client.answeredAt = Math.min(client.answeredAt, this.time.now())
    }
    client.leave = this.queues.acquire(topic, group, all, { reply })
    await this.time.pass(0)
    return client
  }

  /** A client that has got these messages. */
  async given(
    message: Parameters<ScriptedReader['acquire']>[0],
    options: Partial<AcquireOptions> = {}
  ): Promise<Client> {
    const client = await this.acquire(options)
    this.reader.acquire(message)
    return client
  }

  settle(words: Partial<Settlement>): Promise<readonly TokenResult[]> {
    return this.queues.settle('orders', 'workers', { ...NOTHING_TO_SETTLE, ...words })
  }

  /** The outcome for one token. */
  async outcomeOf(word: AcknowledgeType, token: string | undefined, delayMs = 0): Promise<string> {
    const [result] = await this.settle({ [word]: [token], delayMs })
    return result!.outcome
  }

  async end(): Promise<void> {
    const drained = this.queues.drain(0)
    await this.time.pass(20)
    await drained
    this.time.restore()
  }

  #openReader(events: QueueReaderEvents): ScriptedReader {
    const reader = new ScriptedReader(events, this.time.now)
    reader.isBegun = this.begins
    this.readers.push(reader)
    return reader
  }

  get #log(): Logger {
    const to = (lines: ScriptedQueues['warnings']) => (fields: object, message: string) => {
      lines.push({ message, fields: { ...fields } })
    }
    return { debug() {}, info: to(this.notes), warn: to(this.warnings), error: to(this.warnings) }
  }
}
