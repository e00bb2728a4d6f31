import { KafkaError, ProtocolError } from '../../core/errors.js'
import type { BrokerClient, ProduceCall, ProducePartitionResponse, ProduceResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import type { Admission, QueueProcessor, Returned } from './queue-processor.js'
import { RequestLimit } from './request-limit.js'

type Batch = Accepted<'produceBatch'>
type QueueName = 'main' | 'newTopics' | 'slow'

/** Batches that share one call, one per partition. */
export interface BatchesCall {
  readonly batches: ReadonlyMap<string, Batch>
  readonly sizeBytes: number
}

export interface ProduceAdmissionOptions {
  /** Connections that share `main`. As many calls may be in flight, each for different partitions. */
  readonly connections?: number
  /** Most bytes of all batches in one request; a single larger batch is sent alone. */
  readonly requestMaxBytes: number
  /** How long the broker may wait for the in-sync replicas. */
  readonly brokerTimeoutMs: number
  /** Added to the time that the broker may wait and that the bytes may take to travel. */
  readonly callMarginMs: number
}

// Most partitions that are remembered of each kind; the oldest is forgotten first.
const MOST_REMEMBERED = 10_000
// The slowest link for which calls are given enough time: 1 MiB/s.
const BYTES_PER_MS = 1024

const NO_OFFSET = -1

/**
 * Sends sealed batches. When a connection becomes free, all waiting batches go out in one request, partitions in turn. There
 * is no linger timer: a batch grows while the call before it is in flight.
 *
 * There are three queues, so that partitions that make a call wait do not hold up healthy ones:
 *
 *   main        all others, over one connection or several
 *   newTopics   partitions of a topic that was just created, until they have been written to once: with acks=all the
 *               broker answers when their replicas are up, and on a busy cluster that takes seconds
 *   slow        partitions that answered REQUEST_TIMED_OUT or NOT_ENOUGH_REPLICAS, or whose call timed out, until they
 *               have been written to once
 *
 * A connection is opened by its first call, so a process that only writes to healthy topics only has those of `main`.
 *
 * A batch that may have left is never sent again here; the partition that sealed it decides.
 */
export class ProduceAdmission implements Admission {
  readonly main: QueueProcessor<BatchesCall, ProduceResponse>
  readonly slow: QueueProcessor<BatchesCall, ProduceResponse>
  readonly newTopics: QueueProcessor<BatchesCall, ProduceResponse>
  readonly #queues: Readonly<Record<QueueName, BatchQueue>>
  readonly #unhealthy = new Set<string>()
  /** Partitions of new topics that have been written to. */
  readonly #proven = new Set<string>()
  readonly #limit: RequestLimit

  constructor(options: ProduceAdmissionOptions) {
    this.#limit = new RequestLimit(options.requestMaxBytes)
    const queue = (): BatchQueue => new BatchQueue(this.#limit)
    this.#queues = { main: queue(), newTopics: queue(), slow: queue() }
    this.main = this.#processor('produce', this.#queues.main, options)
    this.newTopics = this.#processor('produceNewTopics', this.#queues.newTopics, options)
    this.slow = this.#processor('produceSlow', this.#queues.slow, options)
  }

  answerFromCache(): boolean {
    return false
  }

  addToQueue(request: AnyAccepted): void {
    this.#queues[this.#queueOf(request)].add(request as Batch)
  }

  #queueOf({ key, isOfNewTopic }: AnyAccepted): QueueName {
    if (this.#unhealthy.has(key)) return 'slow'
    return isOfNewTopic && !this.#proven.has(key) ? 'newTopics' : 'main'
  }

  drain(): AnyAccepted[] {
    return Object.values(this.#queues).flatMap(queue => queue.drain())
  }

  #processor(
    name: string,
    queue: BatchQueue,
    options: ProduceAdmissionOptions
  ): QueueProcessor<BatchesCall, ProduceResponse> {
    return {
      name,
      get isEmpty() {
        return queue.isEmpty
      },
      nextCall: () => queue.takeCall(),
      send: (client, call) => send(client, call, options),
      processResponse: (call, response) => this.#processResponse(call, response),
      callFailed: (call, error, sent) => this.#callFailed(call, error, sent),
      topicsOf: ({ batches }) => Array.from(batches.values(), ({ request }) => request.topic)
    }
  }

  #processResponse({ batches, sizeBytes }: BatchesCall, response: ProduceResponse): readonly Returned[] {
    this.#limit.answered(sizeBytes)
    const news: Returned[] = []
    const unanswered = new Map(batches)
    for (const partition of response.partitions) {
      const key = `${partition.topic}/${partition.partition}`
      const batch = unanswered.get(key)
      if (!batch) continue
      unanswered.delete(key)
      this.#answer(batch, partition, news)
    }
    for (const batch of unanswered.values()) {
      batch.answer({ type: 'unanswered', error: new ProtocolError(`a produce response left out ${batch.key}`) })
    }
    return news
  }

  #answer(batch: Batch, response: ProducePartitionResponse, news: Returned[]): void {
    const { errorCode, baseOffset, logAppendTimeMs } = response
    if (errorCode === errorCodes.REQUEST_TIMED_OUT || errorCode === errorCodes.NOT_ENOUGH_REPLICAS)
      remember(this.#unhealthy, batch.key)
    else this.#unhealthy.delete(batch.key)
    if (errorCode === errorCodes.NONE) {
      if (batch.isOfNewTopic) remember(this.#proven, batch.key)
      // The batch has been appended even if the offset in the answer is impossible.
      batch.answer({ type: 'appended', baseOffset: Math.max(baseOffset ?? NO_OFFSET, NO_OFFSET), logAppendTimeMs })
      return
    }
    // Reported before the answer, so that the refresh has begun when the partition tries again.
    if (staleLeaderCodes.has(errorCode)) {
      // A topic that is created anew under that name has not been written to.
      this.#proven.delete(batch.key)
      news.push({
        reason: errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION ? 'unknownTopicOrPartition' : 'notLeader',
        requests: [],
        topic: response.topic,
        partition: response.partition
      })
    }
    batch.answer({ type: 'rejected', errorCode })
  }

  #callFailed({ batches, sizeBytes }: BatchesCall, error: Error, sent: boolean): readonly AnyAccepted[] {
    if (sent && batches.size > 1 && error.name === 'UnavailableError') this.#limit.connectionLost(sizeBytes)
    for (const batch of batches.values()) {
      batch.inFlight = false
      if (sent && error.name === 'TimedOutError') remember(this.#unhealthy, batch.key)
      if (error instanceof KafkaError) batch.answer({ type: 'rejected', errorCode: error.errorCode })
      else if (sent) batch.answer({ type: 'unanswered', error })
      else batch.obstacle = 'brokerUnreachable'
    }
    return sent ? [] : [...batches.values()].filter(batch => !batch.settled)
  }
}

/** The batch went to a broker that does not lead its partition any more, or is about to stop leading it. */
const staleLeaderCodes = codesOf(
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH'
)

function remember(keys: Set<string>, key: string): void {
  keys.add(key)
  if (keys.size <= MOST_REMEMBERED) return
  const [first] = keys
  keys.delete(first!)
}

function send(client: BrokerClient, { batches, sizeBytes }: BatchesCall, options: ProduceAdmissionOptions) {
  const { brokerTimeoutMs, callMarginMs } = options
  const partitions: ProduceCall['partitions'][number][] = []
  for (const batch of batches.values()) {
    // Given back while the connection was being opened.
    if (batch.settled) continue
    batch.inFlight = true
    const { topic, partition, bytes } = batch.request
    partitions.push({ topic, partition, batch: bytes })
  }
  if (partitions.length === 0) return Promise.resolve({ throttleTimeMs: 0, partitions: [] })
  const timeoutMs = brokerTimeoutMs + callMarginMs + Math.ceil(sizeBytes / BYTES_PER_MS)
  return client.produce({ acks: -1, brokerTimeoutMs, timeoutMs, partitions })
}

/** Batches per partition in arrival order; partitions in turn. */
class BatchQueue {
  readonly #partitions = new Map<string, Batch[]>()
  readonly #limit: RequestLimit

  constructor(limit: RequestLimit) {
    this.#limit = limit
  }

  get isEmpty(): boolean {
    return this.#partitions.size === 0
  }

  add(batch: Batch): void {
    const waiting = this.#partitions.get(batch.key)
    if (waiting) waiting.push(batch)
    else this.#partitions.set(batch.key, [batch])
  }

  takeCall(): BatchesCall | undefined {
    const batches = new Map<string, Batch>()
    let bytes = 0
    for (const [key, waiting] of [...this.#partitions]) {
      const batch = firstOpen(waiting)
      if (batch && batches.size > 0 && bytes + batch.request.bytes.length > this.#limit.bytes) break
      this.#partitions.delete(key)
      if (!batch) continue
      waiting.shift()
      if (waiting.length > 0) this.#partitions.set(key, waiting)
      batches.set(key, batch)
      bytes += batch.request.bytes.length
    }
    return batches.size > 0 ? { batches, sizeBytes: bytes } : undefined
  }

  drain(): Batch[] {
    const batches = [...this.#partitions.values()].flat()
    this.#partitions.clear()
    return batches.filter(batch => !batch.settled)
  }
}

/** Drops batches whose time ran out while they waited. */
function firstOpen(waiting: Batch[]): Batch | undefined {
  while (waiting[0]?.settled) waiting.shift()
  return waiting[0]
}
