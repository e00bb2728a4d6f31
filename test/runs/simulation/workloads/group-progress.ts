import type { FetchConsumerOffsetResult } from '../../../../src/router/messages/operations.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'
import type { LogEnd } from './reader.js'

export interface GroupProgressOptions {
  readonly name: string
  readonly groupId: string
  readonly topic: string
  readonly partitions: number
  /** Written in the end, when the group is at rest. Default: some, one soon after the other. */
  readonly last?: { readonly records: number; readonly pauseMs: number }
  /** Members come and go meanwhile in order: what was not acknowledged by then is offered again. */
  readonly moves?: boolean
}

const LOOK_EVERY_MS = 300
const TIMEOUT_MS = 5_000
const WATCH_EVERY_MS = 50
/** Members that are gone are forgotten by then, and those that stayed have shared the partitions. */
const REST_MS = 20_000
const LAST = { records: 20, pauseMs: 30 }

interface Progress {
  /** What was offered, by offset. */
  readonly offered: Map<number, string>
  readonly acked: Set<number>
  /** Of which the gateway has said so. */
  readonly confirmed: Set<number>
  /** Everything below is acknowledged. */
  ackedUpTo: number
  /** Seen last at the coordinator. */
  committed: number
  /** From here on nothing is offered again. */
  lastRoundFrom: number
}

/**
 * What all members of a group together have been offered and have acknowledged; and somebody who looks at the committed
 * offsets again and again.
 */
export class GroupProgress extends Client<GroupProgressOptions, ServiceDeps> implements Workload {
  readonly counts: Record<string, number> = { looks: 0, committed: 0, written: 0 }
  readonly #log: LogEnd
  readonly #partitions: readonly Progress[]
  #lastRound: 'none' | 'awaited' | 'written' = 'none'
  #isLooking = false
  /** Records that nobody was offered, and since when they are seen. */
  #waiting: ReadonlyMap<string, number> = new Map()

  constructor(options: GroupProgressOptions, deps: ServiceDeps, log: LogEnd) {
    super(options, deps)
    this.#log = log
    this.#partitions = Array.from({ length: options.partitions }, () => ({
      offered: new Map(),
      acked: new Set(),
      confirmed: new Set(),
      ackedUpTo: 0,
      committed: -1,
      lastRoundFrom: Number.POSITIVE_INFINITY
    }))
  }

  /** No fault has been for so long that the group is at rest, and everybody does as he should. */
  get isAtRest(): boolean {
    return this.#lastRound === 'written'
  }

  /** @returns whether it was offered before */
  offered(partition: number, offset: number, value: string): boolean {
    const { offered, confirmed, lastRoundFrom } = this.#partitions[partition]!
    const before = offered.get(offset)
    if (before !== undefined && before !== value) this.violated('misread', `${partition}@${offset} is two records`)
    const isDone = this.options.moves !== true || confirmed.has(offset)
    if (before !== undefined && offset >= lastRoundFrom && isDone)
      this.violated('offered twice', `${partition}@${offset}`)
    offered.set(offset, value)
    return before !== undefined
  }

  /** A record that nobody was offered, and that has been seen in the log for so long. `undefined`: there is none. */
  waitingFor(ms: number): string | undefined {
    const now = this.deps.now()
    for (const [name, since] of this.#waiting) if (now - since >= ms) return name
    return undefined
  }

  /** Sees since when records wait. */
  #watch(): void {
    const now = this.deps.now()
    const waiting = new Map<string, number>()
    this.#partitions.forEach(({ offered, lastRoundFrom }, partition) => {
      for (let offset = lastRoundFrom; offset < this.#endOf(partition); offset++) {
        const name = `${partition}@${offset}`
        if (!offered.has(offset)) waiting.set(name, this.#waiting.get(name) ?? now)
      }
    })
    this.#waiting = waiting
    if (!this.isStopped || !this.isCommitted) setTimeout(() => this.#watch(), WATCH_EVERY_MS)
  }

  acked(partition: number, offset: number): void {
    const progress = this.#partitions[partition]!
    progress.acked.add(offset)
    while (progress.acked.has(progress.ackedUpTo)) progress.ackedUpTo++
  }

  /** The gateway has said that it has the acknowledgement. */
  confirmed(partition: number, offset: number): void {
    this.#partitions[partition]!.confirmed.add(offset)
  }

  /** The acknowledgement of every record that is there has been seen as a committed offset. */
  get isCommitted(): boolean {
    if (this.#lastRound === 'awaited') return false
    return this.#partitions.every(({ committed }, partition) => committed >= this.#endOf(partition))
  }

  /** Some more records, when the group has been at rest for a while: each is offered once. */
  tryOnceMore(succeeded: () => void): void {
    this.#lastRound = 'awaited'
    setTimeout(() => {
      this.#partitions.forEach((progress, partition) => (progress.lastRoundFrom = this.#endOf(partition)))
      this.#lastRound = 'written'
      this.#watch()
      this.#writeUntil((this.options.last ?? LAST).records, succeeded)
    }, REST_MS)
  }

  #writeUntil(open: number, succeeded: () => void): void {
    if (open === 0) return void succeeded()
    const { service, history } = this.deps
    const id = `${this.name}.${open}-${++this.counts.written!}`
    const record = { topic: this.options.topic, key: id, value: `${id}|` }
    history.invoke({ id, ...record })
    service.verbs
      .produce([record], { partitioner: 'crc32', deadlineMs: TIMEOUT_MS })
      .outcomes()
      .then(([outcome]) => {
        const isThere = outcome!.type === 'delivered'
        history.complete(id, isThere ? { type: 'ok' } : { type: 'unknown', answered: true, isAssumed: true })
        setTimeout(() => this.#writeUntil(isThere ? open - 1 : open, succeeded), (this.options.last ?? LAST).pauseMs)
      })
  }

  start(): void {
    const partition = this.deps.random.between(0, this.#partitions.length - 1)
    this.#look(partition)
  }

  /** The last acknowledgement is committed, too. */
  get isFinished(): boolean {
    if (!this.isCommitted && !this.#isLooking) this.deps.onHost(() => this.start())
    return this.isCommitted && !this.#isLooking
  }

  override check(): readonly Violation[] {
    this.#partitions.forEach(({ offered }, partition) => {
      const [life] = this.#log.livesOf(this.options.topic, partition)
      for (const [offset, value] of life!.values) {
        if (!offered.has(offset)) this.violated('skipped', `${partition}@${offset} was never offered`)
        else if (offered.get(offset) !== value) this.violated('misread', `${partition}@${offset}`)
      }
    })
    return this.violations
  }

  #endOf(partition: number): number {
    return this.#log.endOf(this.options.topic, partition)
  }

  #look(partition: number): void {
    const { service, answers } = this.deps
    const { groupId, topic } = this.options
    const answered = answers.ask(`${this.name} looks`, TIMEOUT_MS)
    this.#isLooking = true
    this.counts.looks!++
    service.tell({
      type: 'fetchConsumerOffset',
      groupId,
      topicPartition: { topic, partition },
      timeoutMs: TIMEOUT_MS,
      requester: {
        reply: result => {
          if (answered()) this.#looked(partition, result)
        }
      }
    })
  }

  #looked(partition: number, result: FetchConsumerOffsetResult): void {
    setTimeout(() => {
      this.#isLooking = false
      if (!this.isStopped) this.start()
    }, LOOK_EVERY_MS)
    const progress = this.#partitions[partition]!
    if (result.type === 'notFound' && progress.committed >= 0) this.violated('commit lost', `of ${partition}`)
    if (result.type !== 'success') return
    const { offset } = result.offsetAndMetadata
    this.counts.committed!++
    this.deps.trace.say(this.name, `sees ${partition}@${offset}`)
    if (offset > progress.ackedUpTo)
      this.violated('committed too far', `${partition}@${offset}, acknowledged up to ${progress.ackedUpTo}`)
    if (offset < progress.committed)
      this.violated('commit went back', `${partition}@${offset} after ${progress.committed}`)
    progress.committed = Math.max(progress.committed, offset)
  }
}
