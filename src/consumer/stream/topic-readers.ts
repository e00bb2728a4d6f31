import type { ActorRef } from '../../core/actor/actor.js'
import { onAbort } from '../../core/ending.js'
import { errorOfFailure } from '../../core/error-of-failure.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import type { LogPosition, Offset } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { RouterMessage, TopicFollower, TopicNews } from '../../router/messages/operations.js'
import { kafkaFailure } from '../../router/requests/failures.js'
import { asking } from '../partition/ask.js'
import { PartitionReader, type PartitionReaderOptions, type ReaderRuntime, type ReadStart } from './partition-reader.js'

/**
 * The metadata of a topic that can be read.
 *
 * @param topics the topics in Kafka's answer
 * @throws InvalidRequestError with the code `unknownTopic`; CastellanError for another answer of Kafka
 */
export function requireTopic(topic: string, topics: ReadonlyMap<string, TopicMetadata>): TopicMetadata {
  const metadata = topics.get(topic)
  const errorCode = metadata?.errorCode ?? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (metadata && errorCode === errorCodes.NONE) return metadata
  if (errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    throw new InvalidRequestError(`topic ${topic} does not exist`, 'unknownTopic')
  const failure = kafkaFailure(errorCode)
  throw errorOfFailure(failure, `topic ${topic} cannot be read: ${failure.message}`)
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

interface TopicPlan {
  readonly metadata: TopicMetadata
  /** `undefined`: all partitions; with `follow`, also partitions that are added later. */
  readonly partitions: readonly number[] | undefined
  /** A map: each of its partitions was found at this position. */
  readonly start: ReadStart | ReadonlyMap<number, LogPosition>
  readonly follow: boolean
  /** Ends of the partitions that are not followed and whose position was found. Absent: they have no end. */
  readonly ends?: ReadonlyMap<number, Offset> | undefined
  /** Limit of the number of partitions that are read. Default: no limit. */
  readonly maxPartitions?: number | undefined
}

export interface TopicRuntime extends ReaderRuntime {
  readonly router: ActorRef<RouterMessage>
  /** When this signal is aborted, reading ends without an error. */
  readonly stopped?: AbortSignal | undefined
  /** Called when a partition cannot be read to its end, at most once for each reader. */
  onProblem(problem: CastellanError): void
}

/**
 * Reads partitions of a topic. If all partitions are followed, the Router reports added partitions, which are read from
 * their earliest records. If the topic is created again with fewer partitions, the missing partitions are left out with a
 * warning, and are read again when they exist again.
 *
 * @returns resolves when reading of all partitions has ended
 * @throws InvalidRequestError with the code `unknownPartition`, at once
 */
export function readTopic(plan: TopicPlan, runtime: TopicRuntime): Promise<void> {
  const partitions = choosePartitions(plan.metadata, plan.partitions)
  return new Promise(resolve => new TopicReaders(plan, runtime, resolve).begin(partitions))
}

class TopicReaders implements TopicFollower {
  readonly #plan: TopicPlan
  readonly #runtime: TopicRuntime
  readonly #onOver: () => void
  /** Partitions that have or had a reader, except those that no longer exist. */
  readonly #begun = new Set<number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #forgetStop = (): void => undefined
  #running = 0
  #isFollowing = false
  #isOver = false
  /** The number of partitions of the topic in the latest answer of brokers. */
  #count: number
  /** The number of partitions in the last warning that there are too many. */
  #refusedCount = 0

  constructor(plan: TopicPlan, runtime: TopicRuntime, onOver: () => void) {
    this.#plan = plan
    this.#runtime = runtime
    this.#onOver = onOver
    this.#count = plan.metadata.partitions.length
  }

  begin(partitions: readonly number[]): void {
    const { metadata, start, follow, partitions: chosen } = this.#plan
    this.#forgetStop = onAbort(this.#runtime.stopped, () => this.#end())
    for (const partition of partitions) {
      const found = start instanceof Map ? start.get(partition) : undefined
      this.#read(partition, found ? { found } : (start as ReadStart), metadata.topicId)
    }
    if (partitions.length === 0) this.#end()
    else if (follow && chosen === undefined && !this.#isOver) this.#follow()
  }

  #follow(): void {
    this.#isFollowing = true
    const topics = [this.#plan.metadata.topic]
    this.#runtime.router.tell({ type: 'followTopics', topics, follower: this, isReader: true })
  }

  /** Called by the Router. */
  topicNews(news: readonly TopicNews[]): void {
    this.#carryOut(() => {
      for (const one of news) if (one.type === 'known') this.#grow(one.partitionCount, one.topicId)
    })
  }

  #grow(count: number, topicId: string | undefined): void {
    const { metadata, maxPartitions = Number.POSITIVE_INFINITY } = this.#plan
    this.#count = count
    for (let partition = 0; partition < count; partition++) {
      if (this.#begun.has(partition)) continue
      if (this.#begun.size >= maxPartitions) {
        const limit = `${count} partitions now, and ${maxPartitions} may be followed`
        if (this.#refusedCount !== count)
          this.#runtime.warn(`${metadata.topic} has ${limit}: those from ${partition} on are not read`)
        this.#refusedCount = count
        return
      }
      this.#read(partition, 'earliest', topicId)
    }
  }

  #read(partition: number, start: PartitionReaderOptions['start'], topicId: string | undefined): void {
    if (this.#isOver) return
    const { metadata, follow, ends } = this.#plan
    const ask = asking(this.#runtime.router)
    this.#begun.add(partition)
    this.#running++
    const reader = new PartitionReader({
      topicPartition: { topic: metadata.topic, partition },
      topicId,
      start,
      follow,
      end: ends?.get(partition),
      runtime: this.#runtime,
      ask: (kind, request, onResult) => ask(kind, request, result => this.#carryOut(() => onResult(result))),
      pause: delayMs => this.#pause(delayMs),
      isWanted: () => !this.#isOver
    })
    reader.read().then(
      () => this.#ended(partition, undefined),
      (error: Error) => this.#ended(partition, problemOf(error))
    )
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        resolve()
      }, delayMs)
      this.#timers.add(timer)
    })
  }

  /** Handles an answer or news in the tick of the Router, which must not see a bug of a reader. */
  #carryOut(run: () => void): void {
    if (this.#isOver) return
    try {
      run()
    } catch (error) {
      this.#runtime.onProblem(problemOf(error as Error))
      this.#end()
    }
  }

  #ended(partition: number, problem: CastellanError | undefined): void {
    if (this.#isOver) return
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
    this.#forgetStop()
    for (const timer of this.#timers) clearTimeout(timer)
    const topics = [this.#plan.metadata.topic]
    if (this.#isFollowing) this.#runtime.router.tell({ type: 'unfollowTopics', topics, follower: this })
    this.#onOver()
  }
}

/** A bug of a reader counts as a problem of its partition. */
const problemOf = (error: Error): CastellanError =>
  error instanceof CastellanError ? error : new CastellanError('protocol', messageOf(error), false, error)
