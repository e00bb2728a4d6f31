import type { ConsumeManyResult, MessageLimits } from '../../../src/consumer/group/consume-result.js'
import { openConsumer } from '../../../src/consumer/group/consume-stream.js'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import type { Message } from '../../../src/consumer/group/given-messages.js'
import type { GroupConsumer } from '../../../src/consumer/group/group-consumer.js'
import type { RunOptions } from '../../../src/consumer/group/handler-run.js'
import type { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { ParkedBytes } from '../../../src/consumer/group/parking-limits.js'
import type { ConsumerSettings } from '../../../src/consumer/group/settings.js'
import { TransactionOffsets } from '../../../src/consumer/group/transaction-offsets.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { fakeRecord } from '../../support/fake-batch.js'
import { turns } from '../../support/ticks.js'
import type { FakeRuntime } from './fake-runtime.js'
import { GroupStage } from './group-stage.js'

export const HEARTBEAT_MS = 200

interface Handling {
  readonly message: Message
  end(error?: Error): void
}

/** `run` over one partition of a group, without Kafka and time; its handlers end when the test says so. */
export class RunStage {
  readonly #of: GroupStage
  readonly parkedBytes: ParkedBytes
  /** Offsets of the messages whose handlers have begun, in order. */
  readonly begun: number[] = []
  /** Handlers that run. */
  readonly handling: Handling[] = []
  /** Requests for messages. */
  asked = 0
  /** Called when a handler begins. */
  onBegun: (message: Message) => void = () => undefined
  readonly stop = new AbortController()
  readonly #groups: ConsumerGroups
  readonly #group: string

  constructor(
    count: number,
    keyOf: (offset: number) => string | null,
    settings: Partial<ConsumerSettings> = {},
    group = 'foo',
    parkedBytes = new ParkedBytes(new RecordBudget(2_000_000, () => 0))
  ) {
    this.#group = group
    this.parkedBytes = parkedBytes
    const times = { heartbeatIntervalMs: HEARTBEAT_MS, commitIntervalMs: 0, subscriptionTimeoutMs: 1_000_000_000 }
    this.#of = new GroupStage(count, { ...times, ...settings })
    this.runtime.recordAt = offset => ({ ...fakeRecord(offset), key: bytesOf(keyOf(offset)) })
    this.#groups = {
      ask: (loop: LoopDemand, limits: MessageLimits, reply: (result: ConsumeManyResult) => void) => {
        this.asked++
        loop.begin(limits, reply)
        this.#of.consumer.receive({ type: 'ask', request: loop })
      },
      parkedBytes: this.parkedBytes,
      maxPendingMessages: this.#of.settings.maxPendingMessages,
      stopped: new AbortController().signal
    } as unknown as ConsumerGroups
  }

  get runtime(): FakeRuntime {
    return this.#of.runtime
  }

  get consumer(): GroupConsumer {
    return this.#of.consumer
  }

  /** Begins a loop of handlers. Its promise is settled when it has ended. */
  start(options: RunOptions): Promise<void> {
    const loop = openConsumer(this.#groups, { group: this.#group, topics: 'orders', signal: this.stop.signal })
    const running = loop.run(message => {
      this.begun.push(message.offset)
      this.onBegun(message)
      return new Promise<void>((resolve, reject) => {
        const end = (error?: Error): void => {
          this.handling.splice(this.handling.indexOf(handling), 1)
          if (error === undefined) resolve()
          else reject(error)
        }
        const handling = { message, end }
        this.handling.push(handling)
      })
    }, options)
    running.catch(() => undefined)
    return running
  }

  /** All that is under way has had its turn, and so many milliseconds pass. */
  async pass(ms = 0): Promise<void> {
    for (let round = 0; round < 4; round++) {
      await turns(2)
      this.runtime.pass(1)
    }
    this.runtime.pass(ms)
    await turns(2)
  }

  messageOf(offset: number): Message {
    return this.handling.find(({ message }) => message.offset === offset)!.message
  }

  /** The handler of this message ends. */
  async end(offset: number, error?: Error): Promise<void> {
    this.handling.find(({ message }) => message.offset === offset)!.end(error)
    await this.pass()
  }

  /** A transaction takes messages of handlers that run. It aborts where it may not have one of them. */
  hold(...offsets: number[]): TransactionOffsets {
    const transaction = new TransactionOffsets()
    try {
      for (const offset of offsets) transaction.add(this.messageOf(offset))
    } catch (error) {
      transaction.end('aborted')
      throw error
    }
    return transaction
  }

  /** Its position is committed. Returns false where it cannot be. */
  async commit(transaction: TransactionOffsets): Promise<boolean> {
    const stop = new AbortController()
    let [isOver, position] = [false, undefined as { offset: number; metadata: string } | undefined]
    const prepared = transaction.prepare(stop.signal).then(
      ([positions]) => {
        // The coordinator refuses what was given out in another generation.
        if (positions!.generationId === this.runtime.generation) position = positions!.offsets[0]!
      },
      () => undefined
    )
    void prepared.then(() => (isOver = true))
    for (let round = 0; round < 3 && !isOver; round++) await this.pass()
    stop.abort()
    await prepared
    if (position === undefined) return false
    const { offset, metadata } = position
    this.runtime.committed = { offset, metadata }
    return true
  }

  /** Another member joins, so that this one has to join again. It gets the partition again. */
  async rebalance(): Promise<void> {
    this.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.REBALANCE_IN_PROGRESS) })
    await this.pass(HEARTBEAT_MS)
  }

  kill(): void {
    this.#of.kill()
  }
}

const bytesOf = (key: string | null): Buffer | null => (key === null ? null : Buffer.from(key))
