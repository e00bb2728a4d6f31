import type { ActorSystem } from '../../core/actor/actor.js'
import { InvalidRequestError } from '../../core/errors.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { TopicFollower, TopicNews } from '../../router/messages/operations.js'
import { type ReaderRuntime, type ReadProblem, type ReadStart, readPartition } from './partition-reader.js'

/**
 * The metadata of a topic that can be read.
 *
 * @param topics the topics in Kafka's answer
 * @throws InvalidRequestError with the code `unknownTopic`, `invalidTopic` or `kafka`
 */
export function requireTopic(topic: string, topics: ReadonlyMap<string, TopicMetadata>): TopicMetadata {
  const metadata = topics.get(topic)
  const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (metadata && errorCode === errorCodes.NONE) return metadata
  if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    throw new InvalidRequestError(`topic ${topic} does not exist`, 'unknownTopic')
  throw new InvalidRequestError(
    `topic ${topic} cannot be read: ${kafkaErrorOf(errorCode).message}`,
    errorCode === errorCodes.INVALID_TOPIC_EXCEPTION ? 'invalidTopic' : 'kafka'
  )
}

/**
 * The partitions to read, each once.
 *
 * @param chosen `undefined`: all partitions
 * @throws InvalidRequestError with the code `unknownPartition`
 */
export function choosePartitions({ topic, partitions }: TopicMetadata, chosen?: readonly number[]): readonly number[] {
  const existing = partitions.map(({ partition }) => partition)
  const missing = chosen?.find(partition => !existing.includes(partition))
  if (missing !== undefined)
    throw new InvalidRequestError(
      `topic ${topic} has no partition ${missing}; ${numbersOf(existing)}`,
      'unknownPartition'
    )
  return chosen === undefined ? existing : [...new Set(chosen)]
}

const numbersOf = (partitions: readonly number[]): string =>
  partitions.length === 1 ? `its only one is ${partitions[0]}` : `they are 0 to ${partitions.length - 1}`

export interface TopicPlan {
  readonly metadata: TopicMetadata
  /** `undefined`: all partitions; with `follow`, also partitions that are added later. */
  readonly partitions: readonly number[] | undefined
  readonly start: ReadStart
  readonly follow: boolean
}

export interface TopicRuntime extends ReaderRuntime {
  /** Called when a partition cannot be read to its end, at most once for each reader. */
  onProblem(problem: ReadProblem): void
}

/**
 * Reads partitions of a topic. If all partitions are followed, the Router reports added partitions, which are read from
 * their earliest records. If the topic is created again with fewer partitions, the missing partitions are left out with
 * a warning, and are read again when they exist again.
 *
 * @returns resolves when reading of all partitions has ended
 * @throws InvalidRequestError with the code `unknownPartition`, at once
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
  /** Partitions that have or had a reader, except those that no longer exist. */
  readonly #begun = new Set<number>()
  #running = 0
  #isSubscribed = false
  #isOver = false
  /** The number of partitions of the topic in the latest answer of brokers. */
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
    this.#isSubscribed = true
    router.tell({ type: 'followTopics', topics: [this.#plan.metadata.topic], follower: this, isReader: true })
    stopped?.addEventListener('abort', () => this.#unfollow(), { once: true })
    if (stopped?.aborted) this.#unfollow()
  }

  /** Called by the Router. */
  topicNews(news: readonly TopicNews[]): void {
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
    if (this.#isSubscribed) this.#unfollow()
    this.#onOver()
  }

  #unfollow(): void {
    this.#runtime.router.tell({ type: 'unfollowTopics', topics: [this.#plan.metadata.topic], follower: this })
  }
}
