import { LoopDemand } from '../../src/consumer/group/loop-demand.js'
import type { ProduceRecord, RecordOutcome } from '../../src/core/model.js'
import { RecordBudget } from '../../src/core/record-budget.js'
import { quietLogger } from '../../src/server/app/quiet-logger.js'
import type { WebhookDefinition } from '../../src/webhooks/definition.js'
import { MOST_OPEN } from '../../src/webhooks/open-records.js'
import { Pace } from '../../src/webhooks/pace.js'
import { RecordRun } from '../../src/webhooks/record-run.js'
import { WebhookMemory } from '../../src/webhooks/webhook-memory.js'
import type { WebhookPartition } from '../../src/webhooks/webhook-status.js'
import type { FakeRuntime } from '../consumer/group/fake-runtime.js'
import { GroupStage } from '../consumer/group/group-stage.js'
import { type LogLine, recordingLogger } from '../http/server/stage.js'
import { fakeRecord } from '../support/fake-batch.js'
import { FakeTime } from '../support/fake-time.js'
import { delivered } from '../support/fake-verbs.js'
import { turns } from '../support/ticks.js'
import { FakeEndpoint, type SentAttempt } from './fake-endpoint.js'
import { hook } from './webhook-stage.js'

const TOPIC = 'orders'

/** The records of one partition on their way to an endpoint, without Kafka, sockets and real time. */
export class RecordRunStage {
  readonly time = new FakeTime()
  readonly group: GroupStage
  readonly runtime: FakeRuntime
  /** Of the url of now. */
  endpoint: FakeEndpoint
  readonly run: RecordRun
  readonly pace: Pace
  readonly heads: WebhookMemory
  /** What the process may hold. */
  readonly records: RecordBudget
  readonly cut = new AbortController()
  /** Dead letters that Kafka has. */
  readonly letters: ProduceRecord[] = []
  /** What Kafka answers to dead letters. */
  outcome: RecordOutcome | undefined = delivered()
  /** What the log of the gateway has. */
  readonly lines: LogLine[] = []
  /** Partitions that the webhook takes again. */
  readonly wanted: number[] = []
  /** From [0, 1), for pauses. */
  random = 1
  isRunning = true
  isGone = false
  definition: WebhookDefinition
  readonly #demand = new LoopDemand({ groupId: 'foo', start: 'earliest', isPatient: true })

  /** @param keyOf of the record at an offset */
  constructor(
    count: number,
    keyOf: (offset: number) => string | null,
    answers: FakeEndpoint['answers'] = () => undefined,
    changes: Partial<WebhookDefinition> = {}
  ) {
    this.definition = hook({ topic: TOPIC, ...changes })
    this.endpoint = new FakeEndpoint(answers)
    this.group = new GroupStage(count, {
      start: 'earliest',
      heartbeatIntervalMs: 200,
      revocationMs: 300,
      commitIntervalMs: 0,
      ackTimeoutMs: Number.POSITIVE_INFINITY,
      subscriptionTimeoutMs: Number.POSITIVE_INFINITY,
      maxPendingMessages: MOST_OPEN
    })
    this.runtime = this.group.runtime
    this.runtime.topicId = 'AAAAAAAAAAAAAAAAAAAAAA'
    this.runtime.recordAt = offset => ({
      ...fakeRecord(offset),
      key: bytesOf(keyOf(offset)),
      value: Buffer.from(`${offset}`)
    })
    this.records = new RecordBudget(200 * 1024 * 1024, this.time.now)
    const { records } = this
    const clock = this.time.now
    const random = (): number => this.random
    this.heads = new WebhookMemory(records)
    this.pace = new Pace({ maxInFlight: this.definition.maxInFlight, clock, random })
    this.run = new RecordRun({
      definition: () => this.definition,
      sender: () => this.endpoint,
      memory: this.heads,
      pace: this.pace,
      request: { maxBodyBytes: 1_000, recordHeaders: ['x-tenant'], eventOf: () => undefined },
      verbs: { produce: given => this.#produce(given) },
      clock,
      now: clock,
      random,
      log: quietLogger(recordingLogger(this.lines), clock),
      isRunning: () => this.isRunning,
      onGone: () => {
        this.isGone = true
        this.isRunning = false
      },
      wants: partition => {
        this.wanted.push(partition)
        this.#demand.wants({ topic: TOPIC, partition })
      },
      onFree: () => this.#ask(),
      signal: this.cut.signal
    })
    this.#demand.sink = this.run
    this.#demand.setTopics([TOPIC])
    this.#ask()
  }

  #produce(records: readonly ProduceRecord[]) {
    const outcomes = async (): Promise<readonly RecordOutcome[]> => {
      while (this.outcome === undefined) await turns(1)
      if (this.outcome.type === 'delivered') this.letters.push(...records)
      return [this.outcome]
    }
    return { outcomes } as never
  }

  #ask(): void {
    if (this.#demand.isAsking || !this.run.wantsMore) return
    this.#demand.begin({ maxMessages: 32, maxBytes: 256 * 1024 }, result => {
      if (result.type === 'messages') this.run.goOn()
    })
    this.runtime.after(0, () => this.group.consumer.receive({ type: 'ask', request: this.#demand }))
  }

  /** All that is under way has had its turn, and so many milliseconds pass. */
  async pass(ms = 0): Promise<void> {
    for (let round = 0; round < 4; round++) {
      await turns(2)
      this.runtime.pass(1)
    }
    for (let left = ms; left > 0; left -= 50) {
      await this.time.pass(Math.min(50, left), 50)
      this.runtime.pass(Math.min(50, left))
    }
    await turns(2)
    this.runtime.pass(1)
    await turns(2)
  }

  /** Passes as long as something is sent or read. */
  async passAll(): Promise<void> {
    let before: string | undefined
    for (let now = ''; now !== before; now = `${this.sent.length} ${this.partition?.open}`) {
      before = now
      await this.pass()
    }
  }

  attemptAt(offset: number): SentAttempt {
    const found = [...this.endpoint.open].find(({ named }) => named.get('x-castellan-offset') === String(offset))
    if (found === undefined) throw new Error(`no attempt at offset ${offset} is under way`)
    return found
  }

  /** Offsets of the attempts, in order. */
  get sent(): readonly number[] {
    return this.endpoint.attempts.map(({ named }) => Number(named.get('x-castellan-offset')))
  }
  /** Offsets of the attempts under way. */
  get open(): readonly number[] {
    return [...this.endpoint.open].map(({ named }) => Number(named.get('x-castellan-offset')))
  }
  get committed(): number | undefined {
    return this.runtime.committed?.offset
  }
  get partition(): WebhookPartition {
    return this.run.partitions(new Map([[0, 0]]))[0]!
  }

  async answer(offset: number, result: Parameters<SentAttempt['answer']>[0]): Promise<void> {
    this.attemptAt(offset).answer(result)
    await this.pass()
  }

  /** Another member joins, so that this one has to join again. It gets the partition again. */
  async rebalance(): Promise<void> {
    this.group.rebalance()
    await this.pass()
  }

  end(): void {
    this.group.kill()
    this.cut.abort()
    this.run.stop()
    this.time.restore()
  }
}

const bytesOf = (key: string | null): Buffer | null => (key === null ? null : Buffer.from(key))
