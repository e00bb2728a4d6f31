import { type ErrorCode, KafkaError, ProtocolError } from '../../core/errors.js'
import type { BrokerClient, ProduceResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import { ProducedRows } from '../../kafka/produced-rows.js'
import type { AcceptedBatch, BatchAnswer, SealedBatch } from '../messages/operations.js'
import { kafkaFailure } from '../requests/failures.js'
import { type OpenRequest, stillOpen } from '../requests/open-requests.js'
import type { OperationDescriptor, ReasonNotSent, StateOf } from '../requests/operation.js'
import type { PartitionOfRequest } from '../requests/partition.js'
import { type BatchesCall, BatchLine, type BatchRequest, type CallOf, RequestLimit } from './batch-line.js'
import { anyBrokerAction } from './error-actions.js'
import type { DispatcherAdmission, QueueProcessor, Returned } from './queue-processor.js'
import { describeCall } from './shared-calls.js'
import { SlowPartitions } from './slow-partitions.js'

type LineName = 'main' | 'newTopics' | 'slow'

export interface ProduceAdmissionOptions {
  /**
   * Number of connections that share `main`. Each has at most one call in flight, and simultaneous calls are for
   * different partitions.
   */
  readonly connections?: number
  /** Maximum number of bytes of all batches in one request. A single larger batch is sent alone. */
  readonly requestMaxBytes: number
  /** How long the broker may wait for the in-sync replicas. */
  readonly brokerTimeoutMs: number
  /** Margin of the time limit of a call, beyond the waiting time of the broker and the transfer time of the bytes. */
  readonly callMarginMs: number
  readonly now: () => number
}

// The slowest link for which calls are given enough time: 1 MiB/s.
const BYTES_PER_MS = 1024

/**
 * Sends sealed batches. When a connection becomes free, all waiting batches are sent in one request, and partitions
 * take turns. There is no linger timer: a batch grows while the last call is in flight.
 *
 * There are three lines, so that slow partitions do not delay healthy partitions:
 *
 *   main        all others, over one connection or several
 *   newTopics   partitions of a topic that was just created, until they have been written to once: with acks=all the
 *               broker answers when their replicas are up, and on a busy cluster that takes seconds
 *   slow        partitions that answered REQUEST_TIMED_OUT or NOT_ENOUGH_REPLICAS, until they have been written to
 *               once, and those whose calls are slow or time out: see SlowPartitions
 *
 * A connection is opened by its first call, so a process that writes only to healthy topics has only the connections of
 * `main`.
 *
 * A batch that may have been sent is not sent again by this class. The partition that sealed the batch decides about a
 * retry.
 */
export class ProduceAdmission implements DispatcherAdmission {
  readonly main: QueueProcessor<BatchesCall, ProduceResponse>
  readonly slow: QueueProcessor<BatchesCall, ProduceResponse>
  readonly newTopics: QueueProcessor<BatchesCall, ProduceResponse>
  readonly #lines: Readonly<Record<LineName, BatchLine>>
  readonly #slowPartitions: SlowPartitions
  readonly #limit: RequestLimit
  readonly #now: () => number
  /** The answer to each batch that was appended, with its numbers: who gets it reads them at once. */
  readonly #appended = { type: 'appended' as const, baseOffset: -1, logAppendTimeMs: -1 }

  constructor(options: ProduceAdmissionOptions) {
    this.#now = options.now
    this.#slowPartitions = new SlowPartitions(options.now)
    this.#limit = new RequestLimit(options.requestMaxBytes)
    const line = (callOf?: CallOf): BatchLine => new BatchLine(this.#limit, callOf)
    this.#lines = { main: line(), newTopics: line(), slow: line(first => this.#slowPartitions.callOf(first)) }
    this.main = this.#processor('produce', this.#lines.main, options)
    this.newTopics = this.#processor('produceNewTopics', this.#lines.newTopics, options)
    this.slow = this.#processor('produceSlow', this.#lines.slow, options)
  }

  addToQueue(request: OpenRequest): void {
    const batch = request as BatchRequest
    this.#lines[this.#lineOf(batch.partition!)].add(batch)
  }

  #lineOf(partition: PartitionOfRequest): LineName {
    if (partition.isUnhealthy || this.#slowPartitions.has(partition)) return 'slow'
    return !partition.isProven && partition.of.newUntil > this.#now() ? 'newTopics' : 'main'
  }

  drain(): OpenRequest[] {
    return Object.values(this.#lines).flatMap(line => line.drain())
  }

  #processor(
    name: string,
    line: BatchLine,
    options: ProduceAdmissionOptions
  ): QueueProcessor<BatchesCall, ProduceResponse> {
    return {
      name,
      get isEmpty() {
        return line.isEmpty
      },
      nextCall: () => line.takeCall(),
      send: (client, call) => send(client, call, options),
      processResponse: (call, response) => {
        // Calls of new topics are slow until the replicas are up.
        if (line !== this.#lines.newTopics) this.#judge(call)
        return this.#processResponse(call, response)
      },
      callFailed: (call, error, sent) => this.#callFailed(call, error, sent),
      topicsOf: ({ batches }) => batches.map(({ request }) => request.topic)
    }
  }

  /** Partitions whose replicas are missing make each of their calls slow, and are told by their error codes. */
  #judge(call: BatchesCall): void {
    const { batches } = call
    const isAnyUnhealthy = batches.some(({ partition }) => partition!.isUnhealthy)
    const judged = isAnyUnhealthy ? batches.filter(({ partition }) => !partition!.isUnhealthy) : batches
    this.#slowPartitions.answered(judged, this.#durationMsOf(call))
  }

  #processResponse({ batches, sizeBytes }: BatchesCall, { rows }: ProduceResponse): readonly Returned[] {
    this.#limit.answered(sizeBytes)
    const news: Returned[] = []
    const now = this.#now()
    for (let at = 0; at < batches.length; at++) {
      const batch = batches[at]!
      if (batch.settled) continue
      if (rows.has(at)) this.#answer(batch, rows, at, news, now)
      else batch.answer({ type: 'unanswered', error: new ProtocolError(`a produce response left out ${batch.key}`) })
    }
    return news
  }

  /** The duration of an answered call, without the time that its bytes may take on the slowest link. */
  #durationMsOf({ sentAt, sizeBytes }: BatchesCall): number {
    return this.#now() - (sentAt ?? this.#now()) - sizeBytes / BYTES_PER_MS
  }

  #answer(batch: BatchRequest, rows: ProducedRows, at: number, news: Returned[], now: number): void {
    const errorCode = rows.errorCode(at)
    const partition = batch.partition!
    partition.isUnhealthy = errorCode === errorCodes.REQUEST_TIMED_OUT || errorCode === errorCodes.NOT_ENOUGH_REPLICAS
    if (errorCode === errorCodes.NONE) {
      partition.isProven = true
      // The batch was appended even if the offset in the answer is impossible.
      this.#appended.baseOffset = rows.baseOffset(at)
      this.#appended.logAppendTimeMs = rows.logAppendTimeMs(at)
      batch.answer(this.#appended, now)
      // Its call has taken the batch out of the line and is over.
      batch.isOver = true
      return
    }
    // The news is reported before the answer, so that the refresh has begun when the partition tries again.
    if (staleLeaderCodes.has(errorCode)) {
      // The name may belong to a new topic, which has not been written to.
      partition.isProven = false
      news.push({
        reason: errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION ? 'unknownTopicOrPartition' : 'notLeader',
        requests: [],
        topic: partition.topic,
        partition: partition.partition
      })
    }
    const words = rows.words?.get(at)
    batch.answer(words ? { type: 'rejected', errorCode, words } : { type: 'rejected', errorCode })
  }

  #callFailed(call: BatchesCall, error: Error, sent: boolean): readonly OpenRequest[] {
    const { batches, sizeBytes } = call
    if (sent && error.name === 'TimedOutError') this.#slowPartitions.timedOut(batches, this.#durationMsOf(call))
    if (sent && batches.length > 1 && error.name === 'UnavailableError') this.#limit.connectionLost(sizeBytes)
    for (const batch of batches) {
      batch.state.inFlight = false
      if (error instanceof KafkaError) batch.answer({ type: 'rejected', errorCode: error.errorCode })
      else if (sent) batch.answer({ type: 'unanswered', error })
      else batch.state.obstacle = 'brokerUnreachable'
    }
    return sent ? [] : batches.filter(batch => !batch.settled)
  }
}

/** Error codes of a broker that no longer leads the partition, or is about to lose the leadership. */
const staleLeaderCodes = codesOf(
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'KAFKA_STORAGE_ERROR',
  'FENCED_LEADER_EPOCH'
)

function send(client: BrokerClient, call: BatchesCall, options: ProduceAdmissionOptions) {
  const { brokerTimeoutMs, callMarginMs, now } = options
  const { transactionalId, sizeBytes } = call
  call.sentAt = now()
  // A batch may have been recalled while the connection was being opened.
  if (call.batches.some(({ settled }) => settled)) call.batches = stillOpen(call.batches)
  const partitions: BatchRequest['request'][] = []
  for (const { request, state } of call.batches) {
    state.inFlight = true
    partitions.push(request)
  }
  if (partitions.length === 0) return Promise.resolve({ throttleTimeMs: 0, rows: new ProducedRows(0) })
  const timeoutMs = brokerTimeoutMs + callMarginMs + Math.ceil(sizeBytes / BYTES_PER_MS)
  return client.produce({ transactionalId, acks: -1, brokerTimeoutMs, timeoutMs, partitions })
}

/** The state of a batch that was just accepted. */
export function resetBatch(state: StateOf<'produceBatch'>): StateOf<'produceBatch'> {
  state.inFlight = false
  state.obstacle = 'noLeader'
  return state
}

/**
 * The operation of a sealed batch. The Router answers the batch by its method `answer`. A batch is not answered at its
 * deadline while its call is in flight.
 */
export const produceBatch = {
  kind: 'produceBatch',
  role: 'produce',
  target: { type: 'leader', topicPartition: batch => batch },
  tags: { operation: 'produceBatch' },
  problemOf: () => undefined,
  initialState: () => ({ inFlight: false, obstacle: 'noLeader' }),
  give: (batch, answer) => batch.answer(answer),
  answers: {
    failed: (_, { errorCode, code, message }) =>
      errorCode === undefined ? { type: 'notSent', reason: reasonOf(code), message } : { type: 'rejected', errorCode },
    timedOut: ({ request, state }) => (state.inFlight ? undefined : notSentAnswer(request, state.obstacle)),
    unknown: (batch, what) => notSentAnswer(batch, UNKNOWN[what])
  }
} as const satisfies OperationDescriptor<'produceBatch'>

/** Answers a batch of which no byte was sent. */
export const notSent = (accepted: AcceptedBatch, reason: ReasonNotSent): boolean =>
  accepted.answer(notSentAnswer(accepted.request, reason))

const notSentAnswer = ({ topic, partition }: SealedBatch, reason: ReasonNotSent): BatchAnswer => ({
  type: 'notSent',
  reason,
  message: `${topic}/${partition}: ${OBSTACLES[reason]}`
})

const reasonOf = (code: ErrorCode): ReasonNotSent =>
  code === 'shuttingDown' || code === 'brokerUnreachable' || code === 'overloaded' || code === 'unknownTopic'
    ? code
    : 'noLeader'

const UNKNOWN = { topic: 'unknownTopic', uncreatedTopic: 'uncreatedTopic', partition: 'unknownPartition' } as const

const OBSTACLES: Readonly<Record<ReasonNotSent, string>> = {
  noLeader: 'no leader was found for the partition in time',
  unknownTopic: 'the topic does not exist',
  uncreatedTopic: 'brokers were asked to create the topic, and have not',
  unknownPartition: 'the topic has no such partition',
  brokerUnreachable: 'the leader could not be reached in time',
  overloaded: 'too many requests wait',
  shuttingDown: 'the router is shutting down',
  clusterChanged: 'another Kafka cluster is connected than the one the batch was sealed for'
}

/** Asks for a producer id. Each request has a call of its own, and gets an id of its own. */
export const initProducerId = describeCall('initProducerId', {
  role: 'control',
  target: { type: 'any' },
  problemOf: () => undefined,
  send: (client, _, timeoutMs) => client.initProducerId({ timeoutMs }),
  outcomeOf({ errorCode, producerId, producerEpoch }) {
    const action = anyBrokerAction(errorCode)
    if (action === 'fail') return kafkaFailure(errorCode)
    // A broker that has just started answers with the id -1. Brokers do not de-duplicate batches with this id.
    if (action === 'retryLater' || producerId < 0n || producerEpoch < 0) return 'retryLater'
    return { type: 'success', producerId, producerEpoch }
  }
})
