import { inTime } from '../../core/in-time.js'
import { groupBy } from '../../core/maps.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { type Logger, type MonotonicClock, SECOND_MS } from '../../core/model.js'
import { ownText } from '../../core/own-text.js'
import { Shares } from '../../core/shares.js'
import type { IsolationLevel } from '../../kafka/calls.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure } from '../../router/messages/request.js'
import { Alarm, Deadlines } from '../../router/requests/deadlines.js'
import { invalid, isTopic, ownFailure } from '../../router/requests/failures.js'
import type { Asker } from '../group/consume-result.js'
import { problemOfClientsGroup } from '../group/webhook-groups.js'
import { FetchTurn } from './fetch-limit.js'
import { HeldCounts } from './held-counts.js'
import { LOST } from './message-locks.js'
import { Queue, type QueueView, type SharedByQueues } from './queue.js'
import { ACKNOWLEDGE_TYPES, type AcknowledgeType } from './queue-messages.js'
import { QueueTokens, type TokensOptions } from './queue-token.js'
import { QueueTroubles, queueKey } from './queue-troubles.js'
import {
  type AcquireOptions,
  type AcquireResult,
  type QueueChanges,
  type QueueDescription,
  type QueueLimits,
  type QueueMessage,
  type QueueSettings,
  type QueueVerbs,
  type Settlement,
  type SettleOutcome,
  type TokenResult,
  tokensOf
} from './queue-verbs.js'
import { SettledTokens, type TellResult } from './settled-tokens.js'

/** How often the gauges are told while a queue is open. */
const REPORT_MS = 5_000
/** How long a Kafka without share groups is remembered. */
const UNSUPPORTED_MS = 60_000
const DRAINING = ownFailure('shuttingDown', 'the queues are shutting down', true)
const MAX_ACQUISITION = 0xffff_ffff
const NO_TAGS = {}
/** Each outcome has one object, as metrics want it. */
const TAGS = {
  done: { outcome: 'done' },
  lost: { outcome: 'lost' },
  unknown: { outcome: 'unknown' },
  elsewhere: { outcome: 'elsewhere' },
  invalid: { outcome: 'invalid' },
  failed: { outcome: 'failed' }
} as const satisfies Record<SettleOutcome, object>

export interface QueuesDeps extends TokensOptions, Pick<SharedByQueues, 'openReader' | 'admin' | 'turns' | 'records'> {
  readonly limits: QueueLimits
  /** Isolation of the other reads of the process, which new groups get, too. Absent: Kafka decides. */
  readonly isolation?: IsolationLevel | undefined
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly metrics: MetricsLogger
}

/**
 * The queues of one process. A queue is opened by the first acquire for its topic and group, and ends half a minute after the
 * last acquire and the last held message.
 */
export class Queues implements QueueVerbs {
  readonly #deps: QueuesDeps
  readonly #shared: SharedByQueues
  readonly #tokens: QueueTokens
  readonly #counts: HeldCounts
  readonly #deadlines: Deadlines
  readonly #settled: SettledTokens
  readonly #waiting: Shares
  readonly #places: Shares
  readonly #troubles: QueueTroubles
  readonly #queues = new Map<string, Queue>()
  /** Queues that are open, or are being left. */
  readonly #live = new Set<Queue>()
  #acquisitions = 0
  #unsupported: { readonly failure: Failure; readonly until: number } | undefined
  #report: Alarm | undefined
  #isDraining = false

  constructor(deps: QueuesDeps) {
    const { limits, clock, log, metrics, admin, turns, records } = deps
    this.#deps = deps
    this.#tokens = new QueueTokens(deps)
    this.#counts = new HeldCounts(limits)
    this.#counts.onFree = () => {
      for (const queue of this.#queues.values()) queue.limitChanged()
    }
    this.#deadlines = new Deadlines(clock)
    this.#settled = new SettledTokens(clock)
    this.#waiting = new Shares(limits.maxWaiting, 'waiting acquires')
    this.#places = new Shares(limits.maxQueues, 'queues')
    this.#troubles = new QueueTroubles(clock)
    this.#shared = {
      now: clock,
      log,
      metrics,
      deadlines: this.#deadlines,
      limits,
      counts: this.#counts,
      troubles: this.#troubles,
      isolation: deps.isolation,
      admin,
      openReader: deps.openReader,
      nextAcquisition: () => (this.#acquisitions = (this.#acquisitions % MAX_ACQUISITION) + 1),
      turns,
      records,
      fetchTurn: new FetchTurn(),
      tokenOf: (...of) => this.#tokens.write(...of)
    }
  }

  get holder(): string {
    return this.#tokens.holder
  }

  /** Queues that are open. */
  get size(): number {
    return this.#queues.size
  }

  /** Messages that are held. */
  get held(): number {
    return this.#counts.size
  }

  *views(): Generator<QueueView, void> {
    for (const queue of this.#queues.values()) yield queue.view()
    yield* this.#leftWithTrouble()
  }

  *#leftWithTrouble(): Iterable<QueueView> {
    const nothing = { held: 0, lastDeliveries: 0, archived: 0, waiting: 0, oldestHeldMs: 0 }
    const left = this.#troubles.ofLeft(queue => this.#queues.has(queueKey(queue)))
    for (const { topic, groupId: group, notServed, archivedAgoMs } of left) {
      const [failure, notServedMs] = [notServed?.message, notServed?.forMs]
      yield { topic, group, ...nothing, failure, notServedMs, archivedAgoMs, differentIsolation: undefined }
    }
  }

  acquire(topic: string, groupId: string, options: AcquireOptions, asker: Asker<AcquireResult>): () => void {
    const { client } = options
    const key = queueKey({ topic, groupId })
    const known = this.#queues.get(key)
    const problem =
      this.#problemOf(topic, groupId, client) ??
      this.#problemOfHolding(client, known?.spare ?? 0) ??
      (known === undefined && this.#problemOfOpening(client))
    if (problem) {
      asker.reply(problem)
      return () => undefined
    }
    const queue = known ?? this.#add(key, ownText(topic), ownText(groupId), client)
    const leave = queue.acquire(options, asker, this.#waiting.take(client))
    if (known === undefined) void queue.join()
    return leave
  }

  takeBack(messages: readonly QueueMessage[]): void {
    for (const queue of this.#queues.values())
      if (messages.some(({ token }) => queue.find(token) !== undefined)) queue.takeBack(messages)
  }

  settle(topic: string, groupId: string, settlement: Settlement): Promise<readonly TokenResult[]> {
    const queue = this.#queues.get(queueKey({ topic, groupId })) ?? this.#closing(topic, groupId)
    const results: TokenResult[] = Array(tokensOf(settlement).length)
    return new Promise(resolve => {
      let [next, left] = [0, results.length]
      for (const type of ACKNOWLEDGE_TYPES)
        for (const token of settlement[type]) {
          const at = next++
          this.#settle(topic, groupId, queue, token, type, settlement.delayMs, result => {
            results[at] = { token, ...result }
            if (--left > 0) return
            this.count(results)
            resolve(results)
          })
        }
      if (results.length === 0) resolve(results)
    })
  }

  /** A queue that is being left, whose acknowledgements Kafka has not answered yet: they may be repeated meanwhile. */
  #closing(topic: string, groupId: string): Queue | undefined {
    for (const queue of this.#live) if (queue.topic === topic && queue.groupId === groupId) return queue
    return undefined
  }

  count(results: readonly TokenResult[]): void {
    for (const [outcome, { length }] of groupBy(results, one => one.outcome))
      this.#deps.metrics.count('queues', 'settled_messages', TAGS[outcome], length)
  }

  async describe(topic: string, groupId: string, timeoutMs: number): Promise<QueueDescription> {
    const description = await this.#deps.admin.describe(topic, groupId, timeoutMs)
    const ofOpen = this.#queues.get(queueKey({ topic, groupId }))?.partitionErrors ?? []
    const errors = new Map([...this.#troubles.partitionErrorsOf({ topic, groupId }), ...ofOpen])
    if (errors.size === 0) return description
    const partitions = description.partitions.map(one => {
      const error = errors.get(one.partition)?.name
      return error === undefined ? one : { ...one, error }
    })
    return { ...description, partitions }
  }

  async configure(topic: string, groupId: string, changes: QueueChanges, timeoutMs: number): Promise<QueueSettings> {
    const settings = await this.#deps.admin.configure(topic, groupId, changes, timeoutMs)
    for (const queue of this.#queues.values()) if (queue.groupId === groupId) queue.configured(settings)
    return settings
  }

  /** Refuses new acquires, and answers those that wait with what they have. Messages are still settled. Idempotent. */
  endWaits(): void {
    this.#isDraining = true
    for (const queue of this.#live) queue.drain()
  }

  /**
   * Waits at most so long until all held messages are settled, then releases the rest, and leaves all groups. Acquires are
   * refused from the start. Idempotent; never rejects.
   */
  async drain(settleMs: number): Promise<void> {
    this.endWaits()
    await inTime(this.#counts.emptied(), settleMs, () => undefined)
    await Promise.all([...this.#live].map(queue => queue.close()))
    this.#deadlines.stop()
    this.#tellGauges()
  }

  #settle(
    topic: string,
    groupId: string,
    queue: Queue | undefined,
    token: string,
    type: AcknowledgeType,
    delayMs: number,
    tell: TellResult
  ): void {
    const held = queue?.find(token)
    if (held !== undefined) {
      const { acquisition } = held
      queue!.settle(held, type, delayMs, result => {
        this.#settled.note(acquisition, type, result)
        tell(result)
      })
      return
    }
    const read = this.#tokens.acquisitionOf(topic, groupId, token)
    tell(typeof read === 'number' ? (this.#settled.find(read, type) ?? LOST) : { outcome: read })
  }

  #problemOf(topic: string, groupId: string, client: string): Failure | undefined {
    const { limits, clock } = this.#deps
    if (this.#isDraining) return DRAINING
    if (!isTopic(topic)) return invalid('invalidTopic', 'the topic name is not legal')
    const ofGroup = groupId === '' ? invalid('invalidRequest', 'the group id is empty') : problemOfClientsGroup(groupId)
    if (ofGroup !== undefined) return ofGroup
    if (this.#unsupported !== undefined && clock() < this.#unsupported.until) return this.#unsupported.failure
    return refusalOf(this.#waiting.problemOf(client), 'acquires wait', limits.maxWaiting, 'maxWaiting')
  }

  /** @param spare messages of the queue that are held already, and wait for a client */
  #problemOfHolding(client: string, spare: number): Failure | undefined {
    const { maxHeld, maxHeldPerClient } = this.#deps.limits
    const isFull = this.#counts.free === 0 && spare === 0
    const held = isFull ? 'full' : this.#counts.freeOf(client) === 0 ? 'greedy' : undefined
    if (held === 'full') return refusalOf(held, 'messages are held', maxHeld, 'maxHeld')
    return refusalOf(held, 'messages are held', maxHeldPerClient, 'maxHeldPerClient')
  }

  #problemOfOpening(client: string): Failure | undefined {
    const { maxQueues } = this.#deps.limits
    return refusalOf(this.#places.problemOf(client), 'queues are open', maxQueues, 'maxQueues')
  }

  #add(key: string, topic: string, groupId: string, client: string): Queue {
    const releasePlace = this.#places.take(client)
    const queue: Queue = new Queue(topic, groupId, this.#shared, {
      leaving: failure => {
        if (this.#queues.get(key) === queue) this.#queues.delete(key)
        if (failure?.errorCode === errorCodes.UNSUPPORTED_VERSION)
          this.#unsupported = { failure, until: this.#deps.clock() + UNSUPPORTED_MS }
      },
      left: () => {
        this.#live.delete(queue)
        releasePlace()
      }
    })
    this.#queues.set(key, queue)
    this.#live.add(queue)
    this.#report ??= this.#nextReport()
    return queue
  }

  #nextReport(): Alarm | undefined {
    if (this.#live.size === 0 && this.views().next().done) return undefined
    const alarm = new Alarm(this.#deps.clock() + REPORT_MS, () => {
      this.#tellGauges()
      this.#report = this.#nextReport()
    })
    this.#deadlines.add(alarm)
    return alarm
  }

  #tellGauges(): void {
    const { metrics } = this.#deps
    let oldestMs = 0
    let unserved = 0
    for (const { oldestHeldMs, notServedMs } of this.views()) {
      oldestMs = Math.max(oldestMs, oldestHeldMs)
      if (notServedMs !== undefined) unserved++
    }
    metrics.gauge?.('queues', 'queues', NO_TAGS, this.size)
    metrics.gauge?.('queues', 'unserved_queues', NO_TAGS, unserved)
    metrics.gauge?.('queues', 'held_messages', NO_TAGS, this.held)
    metrics.gauge?.('queues', 'waiting_acquires', NO_TAGS, this.#waiting.taken)
    metrics.gauge?.('queues', 'oldest_held_age_seconds', NO_TAGS, oldestMs / SECOND_MS)
  }
}

/** The refusal of a client. `greedy`: its own share, which is its quota, is used up; `full`: there is no place for any client. */
function refusalOf(
  problem: 'full' | 'greedy' | undefined,
  what: string,
  limit: number,
  setting: keyof QueueLimits
): Failure | undefined {
  if (problem === undefined) return undefined
  const name = `advanced.queues.${setting}`
  const bound = problem === 'greedy' && setting !== 'maxHeldPerClient' ? `about half of ${limit}` : `limit ${limit}`
  const text = `too many ${what}${problem === 'greedy' ? ' for this client' : ''} (${bound}; ${name})`
  return ownFailure(problem === 'greedy' ? 'quotaExceeded' : 'overloaded', text, true, name)
}
