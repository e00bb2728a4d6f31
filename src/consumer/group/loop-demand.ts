import type { MonotonicClock, Offset, TopicPartition } from '../../core/model.js'
import type { OffsetType } from '../../router/messages/operations.js'
import {
  type AcquiredMessage,
  type ConsumeManyResult,
  type MessageLimits,
  ONE_MESSAGE,
  type TopicOffers
} from './consume-result.js'
import type { ParkedHolder } from './offset-tracker.js'

/** Takes the messages of a loop as they are given, and parks each at once: none is offered and not yet parked when messages are given back. */
export interface ParkingSink extends ParkedHolder {
  /** Whether the loop takes a message of this partition that keeps so many bytes. If not, {@link LoopDemand.wants} follows. */
  mayPark(partition: TopicPartition, bytes: number): boolean
  park(message: AcquiredMessage, offers: TopicOffers): void
  /**
   * Records were never offered: retention has deleted them, or their batch is damaged. Absent: the log says so.
   *
   * @param records at most so many: an offset may have none
   */
  lost?(partition: TopicPartition, from: Offset, to: Offset, records: number): void
}

/** The part of a group that its loops use. */
export interface LoopGroup {
  /** Number of the partitions that are assigned to the member, of all topics. */
  readonly partitionCount: number
  readonly clock: MonotonicClock
  /** Calls back in a later tick of the group's actor. */
  tick(run: () => void): void
  /** The loop asks for this topic no longer. */
  left(topic: string): void
}

/** The part of a topic that its loops use. */
export interface LoopTopic {
  addLoop(loop: LoopDemand): void
  removeLoop(loop: LoopDemand): void
  /** Tells idle partitions that a message is wanted. */
  wakeIdle(): void
  /** Answers the request of the loop. Returns false when there is no message for it. */
  answer(loop: LoopDemand): boolean
  /** The loop takes messages of the partition, of which it has refused one. */
  wants(partition: number, loop: LoopDemand): void
}

export interface LoopOptions {
  readonly groupId: string
  /** Where the group begins if it has committed nothing. Absent: where `consumer.start` says. */
  readonly start?: OffsetType | undefined
  /** The loop asks for the topics that match a pattern, and ignores those that it may not read. */
  readonly isOfPattern?: boolean | undefined
  /** The loop waits for partitions as long as it takes, without more frequent heartbeats. */
  readonly isPatient?: boolean | undefined
}

/**
 * The demand of a loop for messages. It is registered with each of its topics once, so a request costs only the topics that
 * have something. Topics take turns: the one that has answered comes last.
 *
 *   ask ─▶ (the group's actor) registers what is not registered, wakes idle partitions ─▶ serve ─▶ answer
 *            a topic has a message later: TopicConsumer ─▶ noteReady, serve ──────────────────────────▲
 *
 * One request is open at a time, and gets at most one answer.
 */
export class LoopDemand {
  readonly groupId: string
  readonly start: OffsetType | undefined
  readonly isOfPattern: boolean
  readonly isPatient: boolean
  /** Absent: messages count as offered when they are taken. */
  sink: ParkingSink | undefined
  /** Topics of the loop that a group without a commit reads from their beginning although `start` is `latest`. */
  later: ReadonlySet<string> | undefined
  #topics: ReadonlySet<string> = new Set()
  #longestTopic = ''
  #group: LoopGroup | undefined
  readonly #registered = new Map<string, LoopTopic>()
  readonly #missing = new Set<string>()
  /** Topics that may have a message, in the order in which they are asked. */
  readonly #ready = new Set<LoopTopic>()
  /** Kept between requests: to begin anew means to pass all places of a thousand topics that have had their turns. */
  #turns = this.#ready.values()
  /** Topics with partitions that are to be told that a message is wanted. */
  readonly #idle = new Set<LoopTopic>()
  #limits: MessageLimits = ONE_MESSAGE
  #reply: ((result: ConsumeManyResult) => void) | undefined
  /** When the last request was answered or cancelled, or a handler began a message that was parked. */
  #askedAt = 0
  #isServing = false

  constructor({ groupId, start, isOfPattern = false, isPatient = false }: LoopOptions) {
    this.groupId = groupId
    this.start = start
    this.isOfPattern = isOfPattern
    this.isPatient = isPatient
  }

  get limits(): MessageLimits {
    return this.#limits
  }
  get topics(): ReadonlySet<string> {
    return this.#topics
  }
  get longestTopic(): string {
    return this.#longestTopic
  }
  /** True while a request waits for messages. */
  get isAsking(): boolean {
    return this.#reply !== undefined
  }
  get partitionCount(): number {
    return this.#group?.partitionCount ?? 0
  }
  /** Milliseconds of the clock of its group. */
  get now(): number {
    return this.#group?.clock() ?? 0
  }

  /** Asks for these topics from the next request on. */
  setTopics(topics: Iterable<string>): void {
    this.#topics = new Set(topics)
    this.#longestTopic = ''
    for (const topic of this.#topics) {
      if (topic.length > this.#longestTopic.length) this.#longestTopic = topic
      if (!this.#registered.has(topic)) this.#missing.add(topic)
    }
    for (const topic of this.#missing) if (!this.#topics.has(topic)) this.#missing.delete(topic)
    for (const topic of this.#registered.keys()) if (!this.#topics.has(topic)) this.#leave(topic)
  }

  /** Opens a request. The group has to be told next. */
  begin(limits: MessageLimits, reply: (result: ConsumeManyResult) => void): void {
    this.#limits = limits
    this.#reply = reply
  }

  /** A handler has begun a message that was parked. That counts as a request. */
  noteBegun(): void {
    this.#askedAt = this.now
  }

  /** When a request was open, or a message begun, last: now, or when the last one ended. */
  askedAt(now: number): number {
    return this.isAsking ? now : this.#askedAt
  }

  /** Ends the request that is open. It gets no answer. */
  cancel(): void {
    if (!this.isAsking) return
    this.#reply = undefined
    this.#askedAt = this.now
  }

  /** Answers the request. Returns false, and does nothing, when none is open. */
  answer(result: ConsumeManyResult): boolean {
    const reply = this.#reply
    if (reply === undefined) return false
    this.cancel()
    reply(result)
    return true
  }

  /** The topics that are to be registered with this group. All of them: the loop was registered with another one. */
  missingAt(group: LoopGroup): readonly string[] {
    if (this.#group !== group) {
      this.#leaveAll()
      this.#group = group
    }
    return [...this.#missing]
  }

  register(topic: string, consumer: LoopTopic): void {
    this.#missing.delete(topic)
    this.#registered.set(topic, consumer)
    this.#idle.add(consumer)
    consumer.addLoop(this)
  }

  /** The group has given up the topic. It is registered again with the next request. */
  unregister(topic: string): void {
    this.#leave(topic)
    if (this.#topics.has(topic)) this.#missing.add(topic)
  }

  /** The loop has ended, and is registered nowhere. */
  close(): void {
    this.cancel()
    this.#topics = new Set()
    this.#missing.clear()
    this.#leaveAll()
    this.#group = undefined
  }

  #leaveAll(): void {
    for (const topic of [...this.#registered.keys()]) this.unregister(topic)
  }

  #leave(topic: string): void {
    const consumer = this.#registered.get(topic)
    if (consumer === undefined) return
    this.#registered.delete(topic)
    this.#ready.delete(consumer)
    this.#idle.delete(consumer)
    consumer.removeLoop(this)
    this.#group?.left(topic)
  }

  /** A partition of the topic may have a message for this loop. */
  noteReady(topic: LoopTopic): void {
    this.#ready.add(topic)
  }

  /** A partition of the topic is to be told when a message is wanted. */
  noteIdle(topic: LoopTopic): void {
    this.#idle.add(topic)
  }

  /** The sink takes messages of the partition again. */
  wants({ topic, partition }: TopicPartition): void {
    this.#group?.tick(() => this.#registered.get(topic)?.wants(partition, this))
  }

  /** Answers the request if there is a message. */
  serve(): void {
    if (this.#isServing || !this.isAsking) return
    this.#isServing = true
    for (const topic of this.#idle) {
      this.#idle.delete(topic)
      topic.wakeIdle()
    }
    for (let topic = this.#nextReady(); topic !== undefined; topic = this.#nextReady()) {
      this.#ready.delete(topic)
      if (topic.answer(this)) break
    }
    this.#isServing = false
  }

  #nextReady(): LoopTopic | undefined {
    const next = this.#turns.next()
    if (next.done !== true) return next.value
    // Topics that have become ready since it had passed the last one.
    this.#turns = this.#ready.values()
    return this.#turns.next().value
  }
}
