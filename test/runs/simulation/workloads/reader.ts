import type { Requester } from '../../../../src/core/actor/actor.js'
import type { FetchDataResult } from '../../../../src/router/messages/operations.js'
import { recordText } from '../record-text.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'

export interface ReaderOptions {
  readonly name: string
  readonly topic: string
  readonly partition: number
  /** The topic may lose what it holds; then the reader starts over. */
  readonly isMortal?: boolean
  /** An answer takes no longer than this. */
  readonly boundMs?: number
  /** Starts over when so many records are read; absent: it stays at the end. */
  readonly againAfter?: number
}

const TIMEOUT_MS = 5_000
/** What it does with the records. */
const PAUSE_MS = [1, 100] as const
/** So long after its end a topic may still be read from a cache: `metadataMaxAgeMs`, and some time to look it up. */
const STALE_MS = 15_000
/** Before it connections are opened. */
const STARTING_MS = 5_000
const AGAIN_AFTER_FAILURE_MS = 100

/** What a partition held, by offset, until it came to an end. */
export interface ReadLife {
  readonly values: ReadonlyMap<number, string>
  /** Simulated milliseconds; infinite: it has not. */
  readonly endedAt: number
}

/** What a reader needs to know about the log, when everything is over. */
export interface LogEnd {
  /** What the partition has held, by offset: one map for each life of its topic. */
  livesOf(topic: string, partition: number): readonly ReadLife[]
  endOf(topic: string, partition: number): number
}

/** Reads a partition through the Router, offset by offset, and keeps what it has read. */
export class Reader extends Client<ReaderOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { asked: 0, records: 0 }
  readonly #log: LogEnd
  /** Batch by batch: each comes from one life of its topic. `askedAt`: the last time that it was asked for. */
  readonly #read = new Map<string, { readonly values: ReadonlyMap<number, string>; askedAt: number }>()
  #offset = 0
  /** It has stopped where the log ended. */
  #isIdle = false

  constructor(options: ReaderOptions, deps: ServiceDeps, log: LogEnd) {
    super(options, deps)
    this.#log = log
  }

  start(): void {
    if (this.#isOver) {
      this.#isIdle = true
      return
    }
    const { topic, partition } = this.options
    const offset = this.#offset
    const askedAt = this.deps.now()
    const { heldUpMs } = this.host
    const answered = this.deps.answers.ask(`${this.name} at ${topic}/${partition}@${offset}`, TIMEOUT_MS)
    const requester: Requester<FetchDataResult> = {
      reply: result => {
        if (answered()) this.#answered(offset, askedAt, heldUpMs, result)
      }
    }
    this.counts.asked!++
    const topicPartition = { topic, partition }
    this.deps.service.tell({ type: 'fetchData', topicPartition, offset, timeoutMs: TIMEOUT_MS, requester })
  }

  /** A reader goes on to the end of the log, also when that moves once more. */
  get isFinished(): boolean {
    if (this.#isIdle && !this.#isOver) {
      this.#isIdle = false
      this.deps.onHost(() => this.start())
    }
    return this.#isIdle
  }

  override check(): readonly Violation[] {
    const { topic, partition } = this.options
    const lives = this.#log.livesOf(topic, partition)
    for (const { values, askedAt } of this.#read.values()) {
      const isTrue = lives.some(life => askedAt <= life.endedAt + STALE_MS && holds(life, values))
      if (!isTrue)
        this.#violated(
          'misread',
          `@${[...values.keys()]} asked at ${askedAt.toFixed(0)}: ${[...values.values()].map(short)}`
        )
    }
    return this.violations
  }

  get #isOver(): boolean {
    return this.isStopped && this.#offset >= this.#log.endOf(this.options.topic, this.options.partition)
  }

  #answered(asked: number, askedAt: number, heldUpMs: number, result: FetchDataResult): void {
    this.#checkTime(asked, askedAt, heldUpMs)
    this.counts[result.type] = (this.counts[result.type] ?? 0) + 1
    if (result.type === 'success') {
      this.#take(asked, askedAt, result.batch)
      // Without a pause one that reads from the cache would do nothing else.
      setTimeout(() => this.start(), this.deps.random.between(...PAUSE_MS))
      return
    }
    if (result.type === 'noMessages') return void this.start()
    this.deps.trace.say(this.name, `${asked}: ${JSON.stringify(result)}`)
    if (result.type === 'corruptMessage') this.#violated('corrupt', `@${asked}`)
    if (result.type === 'offsetOutOfRange') {
      if (!this.options.isMortal) this.#violated('out of range', `@${asked}`)
      this.#offset = 0
    }
    setTimeout(() => this.start(), AGAIN_AFTER_FAILURE_MS)
  }

  #checkTime(asked: number, askedAt: number, heldUpMs: number): void {
    const { boundMs = Number.POSITIVE_INFINITY } = this.options
    const tookMs = this.deps.now() - askedAt - (this.host.heldUpMs - heldUpMs)
    if (tookMs > boundMs && askedAt > STARTING_MS) this.#violated('starved', `@${asked} for ${tookMs.toFixed(0)} ms`)
  }

  #take(asked: number, askedAt: number, batch: (FetchDataResult & { type: 'success' })['batch']): void {
    let expected = asked
    const values = new Map<number, string>()
    for (const record of batch) {
      const { offset } = record
      if (offset !== expected) this.#violated('skipped', `@${offset} after @${expected - 1}`)
      expected = offset + 1
      values.set(offset, recordText(record))
    }
    this.#read.set([...values].join(), { values, askedAt })
    this.counts.records! += batch.recordCount
    if (batch.nextOffset < expected) this.#violated('backwards', `next is ${batch.nextOffset} after @${expected - 1}`)
    // Nothing but records is in these logs.
    if (batch.nextOffset > expected) this.#violated('skipped', `next is ${batch.nextOffset} after @${expected - 1}`)
    if (values.size !== batch.recordCount)
      this.#violated('miscounted', `${values.size} of ${batch.recordCount} records`)
    this.deps.trace.add(this.name, 'reads', asked, batch.nextOffset, () => `${asked} to ${batch.nextOffset}`)
    const { againAfter = Number.POSITIVE_INFINITY } = this.options
    this.#offset = !this.isStopped && batch.nextOffset >= againAfter ? 0 : batch.nextOffset
  }

  #violated(rule: string, what: string): void {
    const { topic, partition } = this.options
    this.violations.push({ rule, what: `${this.name} ${topic}/${partition}${what}` })
  }
}

const holds = ({ values }: ReadLife, batch: ReadonlyMap<number, string>): boolean =>
  [...batch].every(([offset, value]) => values.get(offset) === value)

const short = (value: string): string => value.slice(0, 30)
