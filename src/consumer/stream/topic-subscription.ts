import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import {
  incarnationOfTopic,
  type KafkaRecord,
  type LogPosition,
  type Offset,
  type RecordBatch
} from '../../core/model.js'
import type {
  FetchDataResult,
  FetchOffsetResult,
  FetchTopicMetadataResult,
  OffsetType,
  RouterMessage,
  TopicNews
} from '../../router/messages/operations.js'
import { asking } from '../group/group-runtime.js'
import { CheckedReads, type LogCut } from './checked-reads.js'
import type { ReadProblem } from './partition-reader.js'

/**
 * Longest wait of a request at the end of the log. The request of a reader that has gone ends with the current long
 * poll.
 */
const MAX_WAIT_MS = 10_000
const TIMEOUT_MS = 40_000
const RETRY_DELAY_MS = 500
/** A Router that does not wait for records answers at once; this pause prevents a busy loop. */
const SHORTEST_POLL_MS = 20

/** The receiver of the records of a followed topic. */
export interface FollowSink {
  /**
   * Called once, before all other methods, with the first offset of each partition. The map is kept up to date: after a
   * record was taken, it has the offset after this record.
   */
  begins(positions: ReadonlyMap<number, Offset>): void
  /** Takes a record. Its bytes are views of a batch, which must be copied to be used after the call. */
  take(partition: number, record: KafkaRecord): void
  /** Called when all available records have been taken. */
  flush(): void
  /** True: no record is taken until {@link TopicSubscription.resume}. */
  readonly isFull: boolean
  /** Called when records were skipped. */
  warn(text: string): void
  /**
   * Called when reading has ended because of a problem. No record follows. Called at most once, and not after {@link
   * TopicSubscription.stop}.
   */
  ended(problem: ReadProblem): void
}

export interface TopicSubscription {
  /** Called when the sink can take records again. */
  resume(): void
  /** Idempotent. */
  stop(): void
}

type Message =
  | { readonly type: 'begin' | 'resume' }
  | { readonly type: 'news'; readonly news: readonly TopicNews[] }
  | { readonly type: 'again'; readonly partition: number }
  | { readonly type: 'data'; readonly partition: number; readonly result: FetchDataResult | LogCut }
  | { readonly type: 'topic'; readonly partition: number; readonly result: FetchTopicMetadataResult }
  | { readonly type: 'bound'; readonly partition: number; readonly result: FetchOffsetResult }

interface FollowerOptions {
  readonly router: ActorRef<RouterMessage>
  readonly topic: string
  /** The id of the topic to which the positions belong; `undefined`: brokers do not report topic ids. */
  readonly topicId: string | undefined
  readonly positions: ReadonlyMap<number, LogPosition>
  /**
   * Limit of the number of partitions. Partitions that are added later are followed from their beginning, within this
   * limit. `undefined`: added partitions are not followed.
   */
  readonly maxPartitions?: number | undefined
  readonly sink: FollowSink
}

/**
 * Follows partitions from given offsets on, as an actor. It holds no batch. Records that the sink cannot take are
 * requested again later, and usually come from the Router's cache. So a slow sink only delays its own reading, and
 * costs no memory.
 */
class TopicFollower {
  readonly #options: FollowerOptions
  readonly #self: () => ActorRef<Message>
  readonly #positions: Map<number, Offset>
  /** For each partition, the id of the topic to which its position belongs. */
  readonly #topicIds: Map<number, string | undefined>
  /** For each partition, a leader epoch in which the position was in the log when reading began. */
  readonly #foundIn = new Map<number, number | undefined>()
  readonly #reads = new Map<number, CheckedReads>()
  /** Partitions that wait until the sink can take records. */
  readonly #paused = new Set<number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #listener = {
    topicNews: (news: readonly TopicNews[]): void => this.#self().tell({ type: 'news', news })
  }
  /** The number of partitions of the topic; `undefined`: the Router has not reported it. */
  #count: number | undefined
  /** The number of partitions in the last warning to the sink that there are too many. */
  #refusedCount = 0
  #isOver = false

  constructor(options: FollowerOptions, self: () => ActorRef<Message>) {
    this.#options = options
    this.#self = self
    this.#positions = new Map()
    for (const [partition, { offset, leaderEpoch }] of options.positions) {
      this.#positions.set(partition, offset)
      this.#foundIn.set(partition, leaderEpoch)
    }
    this.#topicIds = new Map([...options.positions.keys()].map(partition => [partition, options.topicId]))
  }

  receive(message: Message): void {
    if (this.#isOver) return
    switch (message.type) {
      case 'begin':
        this.#options.sink.begins(this.#positions)
        for (const partition of this.#positions.keys()) this.#goOn(partition)
        if (this.#options.maxPartitions !== undefined) this.#listen('followTopics')
        break
      case 'news':
        for (const news of message.news) if (news.type === 'known') this.#grow(news.partitionCount, news.topicId)
        break
      case 'resume': {
        const paused = [...this.#paused]
        this.#paused.clear()
        for (const partition of paused) this.#goOn(partition)
        break
      }
      case 'again':
        this.#goOn(message.partition)
        break
      case 'data':
        this.#fetched(message.partition, message.result)
        break
      case 'topic':
        this.#topicKnown(message.partition, message.result)
        break
      case 'bound':
        this.#boundKnown(message.partition, message.result)
    }
  }

  stop(): void {
    if (!this.#isOver && this.#options.maxPartitions !== undefined) this.#listen('unfollowTopics')
    this.#isOver = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  end(problem: ReadProblem): void {
    if (this.#isOver) return
    this.stop()
    this.#self().stop()
    this.#options.sink.ended(problem)
  }

  #listen(type: 'followTopics' | 'unfollowTopics'): void {
    const { router, topic } = this.#options
    router.tell({ type, topics: [topic], follower: this.#listener, ...(type === 'followTopics' && { isReader: true }) })
  }

  /** Follows partitions that are new. */
  #grow(count: number, topicId: string | undefined): void {
    const { maxPartitions, sink, topic } = this.#options
    this.#count = count
    for (let partition = 0; partition < count; partition++) {
      if (this.#positions.has(partition)) continue
      if (this.#positions.size >= maxPartitions!) {
        if (this.#refusedCount === count) return
        this.#refusedCount = count
        sink.warn(
          `${topic} has ${count} partitions now, and ${maxPartitions} may be followed: those from ${partition} on are not read`
        )
        return
      }
      this.#positions.set(partition, 0)
      this.#topicIds.set(partition, topicId)
      this.#goOn(partition)
    }
  }

  /** Stops reading a partition, because the topic was created again without it. */
  #leave(partition: number): void {
    this.#options.sink.warn(`${this.#nameOf(partition)} is gone: its topic was created anew with fewer partitions`)
    this.#positions.delete(partition)
    this.#foundIn.delete(partition)
    this.#reads.delete(partition)
  }

  /** Asks for the next records, or waits until the sink can take them. */
  #goOn(partition: number): void {
    if (this.#options.sink.isFull) {
      this.#paused.add(partition)
      return
    }
    const request = {
      offset: this.#positions.get(partition)!,
      topicId: this.#topicIds.get(partition),
      foundIn: this.#foundIn.get(partition),
      maxWaitMs: MAX_WAIT_MS,
      isWanted: () => !this.#isOver,
      timeoutMs: TIMEOUT_MS
    }
    this.#readsOf(partition).read(request, result => this.#self().tell({ type: 'data', partition, result }))
  }

  #readsOf(partition: number): CheckedReads {
    let reads = this.#reads.get(partition)
    if (!reads) {
      reads = new CheckedReads(asking(this.#options.router), { topic: this.#options.topic, partition })
      this.#reads.set(partition, reads)
    }
    return reads
  }

  #goOnAfter(partition: number, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#self().tell({ type: 'again', partition })
    }, delayMs)
    this.#timers.add(timer)
  }

  #fetched(partition: number, result: FetchDataResult | LogCut): void {
    switch (result.type) {
      case 'success':
        this.#hand(partition, result.batch)
        this.#goOn(partition)
        break
      case 'noMessages':
        this.#goOnAfter(partition, SHORTEST_POLL_MS)
        break
      case 'corruptMessage':
        this.#skipTo(partition, result.nextOffset, 'are damaged and were skipped')
        break
      case 'cut':
        this.#positions.set(partition, result.cutAt)
        this.#options.sink.warn(
          `the end of ${this.#nameOf(partition)} was lost from ${result.cutAt} on, and is read from there`
        )
        this.#goOn(partition)
        break
      case 'offsetOutOfRange':
        this.#askTopic(partition)
        break
      default:
        this.#trouble(partition, result)
    }
  }

  /** Passes records to the sink until the sink is full. */
  #hand(partition: number, batch: RecordBatch): void {
    const { sink } = this.#options
    let position = this.#positions.get(partition)!
    let isTaken = true
    for (let index = 0; isTaken && index < batch.recordCount; index++) {
      const record = batch.at(index)
      if (record.offset < position) continue
      isTaken = !sink.isFull
      if (!isTaken) break
      // The position is set before the record is taken, because the sink sends the next position to its client.
      position = record.offset + 1
      this.#positions.set(partition, position)
      sink.take(partition, record)
    }
    if (isTaken) this.#positions.set(partition, Math.max(position, batch.nextOffset))
    sink.flush()
  }

  /** Called when the position is not in the log. The log may belong to a new topic with the same name. */
  #askTopic(partition: number): void {
    const { router, topic } = this.#options
    asking(router)('fetchTopicMetadata', { requestId: 0, topics: [topic], timeoutMs: TIMEOUT_MS }, result =>
      this.#self().tell({ type: 'topic', partition, result })
    )
  }

  #topicKnown(partition: number, result: FetchTopicMetadataResult): void {
    const topicId = result.type === 'success' ? result.topics.get(this.#options.topic)?.topicId : undefined
    const incarnation = incarnationOfTopic(this.#topicIds.get(partition), topicId)
    if (incarnation === 'unclear') {
      this.#goOnAfter(partition, RETRY_DELAY_MS)
      return
    }
    this.#topicIds.set(partition, topicId)
    if (incarnation === 'another') {
      this.#positions.set(partition, 0)
      this.#foundIn.delete(partition)
      this.#options.sink.warn(`${this.#nameOf(partition)} was created anew, and is read from its beginning`)
    }
    this.#askBound(partition, 'earliest')
  }

  /** Asks for a bound of the log, because the position is outside: records were deleted, or the end was lost. */
  #askBound(partition: number, offsetType: OffsetType): void {
    const { router, topic } = this.#options
    asking(router)('fetchOffset', { topicPartition: { topic, partition }, offsetType, timeoutMs: TIMEOUT_MS }, result =>
      this.#self().tell({ type: 'bound', partition, result })
    )
  }

  #boundKnown(partition: number, result: FetchOffsetResult): void {
    const position = this.#positions.get(partition)!
    if (result.type !== 'success') this.#trouble(partition, result)
    else if (result.offsetType === 'earliest') {
      if (position < result.offset) this.#skipTo(partition, result.offset, 'were deleted before they were read')
      else this.#askBound(partition, 'latest')
    } else if (position > result.offset) {
      this.#options.sink.warn(
        `the log of ${this.#nameOf(partition)} ends at ${result.offset}, before ${position}, and is read from its end`
      )
      this.#positions.set(partition, result.offset)
      this.#foundIn.set(partition, result.leaderEpoch)
      this.#goOn(partition)
    } else this.#goOnAfter(partition, RETRY_DELAY_MS)
  }

  #skipTo(partition: number, offset: Offset, why: string): void {
    const from = this.#positions.get(partition)!
    this.#positions.set(partition, offset)
    this.#options.sink.warn(`records ${from} to ${offset - 1} of ${this.#nameOf(partition)} ${why}`)
    this.#goOn(partition)
  }

  #trouble(partition: number, result: Trouble): void {
    const name = this.#nameOf(partition)
    if (result.type === 'timedOut' || (result.type === 'failed' && result.retriable))
      this.#goOnAfter(partition, RETRY_DELAY_MS)
    else if (result.type === 'failed') {
      this.end({ code: result.code, message: `${name}: ${result.message}`, retriable: false })
    } else if (partition >= (this.#count ?? Number.POSITIVE_INFINITY)) this.#leave(partition)
    else this.end({ code: 'unknownTopic', message: `${name} does not exist`, retriable: false })
  }

  #nameOf(partition: number): string {
    return `${this.#options.topic}/${partition}`
  }
}

type Trouble = Exclude<
  FetchDataResult | FetchOffsetResult,
  { type: 'success' | 'noMessages' | 'corruptMessage' | 'offsetOutOfRange' }
>

/** Starts an actor that follows partitions of a topic. It begins in the next tick. */
export function followTopic(system: ActorSystem, options: FollowerOptions): TopicSubscription {
  const follower = new TopicFollower(options, () => actor)
  const actor: ActorRef<Message> = system.spawnOwner<Message>(`follow-${options.topic}`, {
    receive: message => follower.receive(message),
    onCrash: ({ message }) => follower.end({ code: 'protocol', message, retriable: false })
  })
  actor.tell({ type: 'begin' })
  return {
    resume: () => actor.tell({ type: 'resume' }),
    stop: () => {
      follower.stop()
      actor.stop()
    }
  }
}
