import type { ActorSystem } from '../../core/actor/actor.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { TopicFollower, TopicNews } from '../../router/messages/operations.js'
import { type ReaderRuntime, type ReadProblem, type ReadStart, readPartition } from './partition-reader.js'
import { choosePartitions } from './readable-partitions.js'

/** Which partitions of a topic are read, and how. */
export interface TopicPlan {
  readonly metadata: TopicMetadata
  /** `undefined`: all; with `follow` those, too, that the topic gets later. */
  readonly partitions: readonly number[] | undefined
  readonly start: ReadStart
  readonly follow: boolean
}

export interface TopicRuntime extends ReaderRuntime {
  /** A partition cannot be read to its end. Called at most once for each reader. */
  onProblem(problem: ReadProblem): void
}

/**
 * Reads partitions of a topic. Where all of them are followed, the Router tells when there are more: each is read from its
 * earliest record. One that a successor of the topic does not have is left out with a warning, and is read again when it is
 * back.
 *
 * @returns resolves when no partition is read any more
 * @throws InvalidRequestError `unknownPartition`, at once
 */
export function readTopic(system: ActorSystem, plan: TopicPlan, runtime: TopicRuntime): Promise<void> {
  const partitions = choosePartitions(plan.metadata, plan.partitions)
  return new Promise(resolve => new TopicReaders(system, plan, runtime, resolve).begin(partitions))
}

class TopicReaders implements TopicFollower {
  readonly #system: ActorSystem
  readonly #plan: TopicPlan
  readonly #runtime: TopicRuntime
  readonly #onOver: () => void
  /** Partitions that have a reader or had one, but for those that are gone. */
  readonly #begun = new Set<number>()
  #running = 0
  #isFollowing = false
  #isOver = false
  /** How many partitions the topic has, as far as brokers are believed. */
  #count: number

  constructor(system: ActorSystem, plan: TopicPlan, runtime: TopicRuntime, onOver: () => void) {
    this.#system = system
    this.#plan = plan
    this.#runtime = runtime
    this.#onOver = onOver
    this.#count = plan.metadata.partitions.length
  }

  begin(partitions: readonly number[]): void {
    const { metadata, start, follow, partitions: chosen } = this.#plan
    for (const partition of partitions) this.#read(partition, start, metadata.topicId)
    if (partitions.length === 0) this.#end()
    else if (follow && chosen === undefined) this.#follow()
  }

  #follow(): void {
    const { router, stopped } = this.#runtime
    this.#isFollowing = true
    router.tell({ type: 'followTopics', topics: [this.#plan.metadata.topic], follower: this, isReader: true })
    stopped?.addEventListener('abort', () => this.#unfollow(), { once: true })
    if (stopped?.aborted) this.#unfollow()
  }

  /** Called by the Router. */
  topicsTold(news: readonly TopicNews[]): void {
    for (const one of news) {
      if (one.type !== 'known' || this.#isOver || this.#runtime.stopped?.aborted) continue
      this.#count = one.partitionCount
      for (let partition = 0; partition < this.#count; partition++)
        if (!this.#begun.has(partition)) this.#read(partition, 'earliest', one.topicId)
    }
  }

  #read(partition: number, start: ReadStart, topicId: string | undefined): void {
    const { metadata, follow } = this.#plan
    const topicPartition = { topic: metadata.topic, partition }
    this.#begun.add(partition)
    this.#running++
    readPartition(this.#system, { topicPartition, topicId, start, follow }, this.#runtime).then(
      problem => this.#ended(partition, problem),
      ({ message }: Error) => this.#ended(partition, { code: 'protocol', message, retriable: false })
    )
  }

  #ended(partition: number, problem: ReadProblem | undefined): void {
    this.#running--
    if (problem?.code === 'unknownTopic' && partition >= this.#count) this.#gone(partition)
    else if (problem) this.#runtime.onProblem(problem)
    if (this.#running === 0) this.#end()
  }

  #gone(partition: number): void {
    const { topic } = this.#plan.metadata
    this.#begun.delete(partition)
    const left = this.#count === 1 ? '1 partition' : `${this.#count} partitions`
    this.#runtime.warn(`${topic}/${partition} is gone: ${topic} has ${left} now`)
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isFollowing) this.#unfollow()
    this.#onOver()
  }

  #unfollow(): void {
    this.#runtime.router.tell({ type: 'unfollowTopics', topics: [this.#plan.metadata.topic], follower: this })
  }
}
