import type { ActorRef } from '../../core/actor/actor.js'
import { type EndingLoop, endingAtOnce, noop, onAbort, unlessAborted } from '../../core/ending.js'
import { CastellanError, InvalidRequestError } from '../../core/errors.js'
import type { KafkaRecord, Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import { checkOptionNames, topicsIn } from '../../core/settings/call-options.js'
import { resultOfUser } from '../../core/users-code.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import { errorOf, readTroubleOf } from '../partition/read-outcome.js'
import type { ReadStart } from './partition-reader.js'
import { checkReadOptions, READ_OPTIONS } from './read-options.js'
import { readTopic, requireTopic } from './topic-readers.js'

/** Records that are made into something else at a time, where that takes a while. */
const MAX_BEGUN = 16
const DEFAULT_REQUEST_TIMEOUT_MS = 10_000

/** The options for reading topics. All of them have defaults. */
export interface ReadOptions {
  /**
   * The start of each partition; default `earliest`. Partitions that are added while the topic is followed always begin
   * at `earliest`.
   */
  readonly from?: ReadStart | undefined
  /**
   * True: waits for further records at the end, and reads a topic that is created again from its beginning. Default:
   * each partition is read up to the end that its log had at the start. If the log has become shorter, the loop throws.
   */
  readonly follow?: boolean | undefined
  /**
   * The partitions of a single topic. Default: all partitions that the topics have at the start, with `follow` also
   * partitions that are added later.
   */
  readonly partitions?: readonly number[] | undefined
  /** When this signal is aborted, the loop ends without an error. */
  readonly signal?: AbortSignal | undefined
  /** Time limit of one request to the Router, in milliseconds; default 10,000. */
  readonly requestTimeoutMs?: number | undefined
  /** Called with warnings about records that were skipped because they are damaged or deleted, and about retries. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * A record and its partition. Key, value and header values are views of the bytes of the batch, which must be copied to
 * be kept longer.
 */
export interface ReadRecord extends KafkaRecord, TopicPartition {}

/** The option of `consume`. */
const MEANT = new Map([['start', 'from']])

/** The records of topics in a loop. Reading ends when the loop is left or disposed of. */
export interface Reader<Given extends ReadRecord = ReadRecord> extends AsyncIterableIterator<Given>, AsyncDisposable {}

export interface StreamRuntime {
  readonly router: ActorRef<RouterMessage>
  /** Aborted when the Router stops. The loop then ends with an error. */
  readonly closed: AbortSignal
}

/**
 * The records of one topic or several. Records of one partition come in order. The stream holds one batch per partition,
 * and asks for the next batch when the current batch has been read.
 *
 *   for await (const record of readRecords(runtime, 'orders')) console.log(record.offset, String(record.value))
 *
 * @throws InvalidRequestError when an option is wrong
 * @throws CastellanError from the loop, when a topic or a partition cannot be read; `code` is the reason
 */
export function readRecords<Given extends ReadRecord = ReadRecord>(
  runtime: StreamRuntime,
  topic: string | readonly string[],
  options: ReadOptions = {},
  toGiven: (record: ReadRecord) => Given | Promise<Given> = record => record as Given
): EndingLoop<Given> {
  checkOptionNames('read', options, READ_OPTIONS, MEANT)
  checkReadOptions(options)
  const topics = topicsIn('read', topic)
  if (topics.length > 1 && options.partitions !== undefined)
    throw new InvalidRequestError('read: partitions can be named of a single topic only')
  return endingAtOnce(stop => recordsIn(runtime, topics, options, stop, toGiven))
}

async function* recordsIn<Given>(
  { router, closed }: StreamRuntime,
  topics: readonly string[],
  options: ReadOptions,
  stop: AbortController,
  toGiven: (record: ReadRecord) => Given | Promise<Given>
): AsyncGenerator<Given, void, undefined> {
  const { from = 'earliest', follow = false, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = options
  const fed = new FedBatches()
  const leave = [
    onAbort(options.signal, () => stop.abort()),
    onAbort(closed, () => fed.fail(new CastellanError('shuttingDown', 'castellan was closed while reading', false))),
    onAbort(stop.signal, fed.end)
  ]
  try {
    fed.throwProblem()
    const found = await unlessAborted(fetchTopics(router, topics, requestTimeoutMs), stop.signal, () => undefined)
    if (found === undefined) return
    const plan = { partitions: options.partitions, start: from, follow }
    const runtime = { router, requestTimeoutMs, stopped: stop.signal, ...fed.asRuntime(options.onWarning) }
    void Promise.all(found.map(metadata => readTopic({ metadata, ...plan }, runtime))).then(fed.end)
    while (!stop.signal.aborted) {
      const next = fed.take()
      if (next !== undefined) {
        const { topicPartition, batch, end, taken } = next
        const { topic, partition } = topicPartition
        const begun: Promise<Given>[] = []
        for (const record of batch) {
          if (record.offset >= end) break
          const given = toGiven({ topic, partition, ...record })
          if (given instanceof Promise) {
            // A failure is thrown when the record's turn comes.
            given.catch(noop)
            if (begun.push(given) === MAX_BEGUN) yield await begun.shift()!
          } else yield given
        }
        for (const given of begun) yield await given
        taken()
      } else if (fed.isOver) return
      else await fed.changed()
    }
  } finally {
    for (const one of leave) one()
    stop.abort()
  }
}

interface FedBatch {
  readonly topicPartition: TopicPartition
  readonly batch: RecordBatch
  /** Records from this offset on are not wanted. */
  readonly end: Offset
  /** Lets the reader of the partition go on behind the batch. */
  taken(): void
}

/** Batches that were read, one of each partition at most. The first problem of a reader ends all reading. */
class FedBatches {
  readonly #fed: FedBatch[] = []
  #problem: CastellanError | undefined
  #isOver = false
  #wake = noop

  /** No batch follows those that are here. */
  get isOver(): boolean {
    return this.#isOver
  }

  readonly end = (): void => {
    this.#isOver = true
    this.#wake()
  }

  fail(error: CastellanError): void {
    this.#problem ??= error
    this.#wake()
  }

  /** Callbacks for the batches, warnings and problems of readers. */
  asRuntime(onWarning: (message: string) => void = noop) {
    const warn = (message: string): void => resultOfUser('onWarning', () => onWarning(message), undefined, onWarning)
    return {
      write: (topicPartition: TopicPartition, batch: RecordBatch, end: Offset) =>
        new Promise<Offset>(resolve => {
          this.#fed.push({ topicPartition, batch, end, taken: () => resolve(batch.nextOffset) })
          this.#wake()
        }),
      warn,
      onRetry: warn,
      onProblem: (error: CastellanError) => this.fail(error)
    }
  }

  throwProblem(): void {
    if (this.#problem) throw this.#problem
  }

  /** @returns `undefined`: there is none now @throws the first problem */
  take(): FedBatch | undefined {
    this.throwProblem()
    return this.#fed.shift()
  }

  /** Resolves with the next batch, problem or end. */
  changed(): Promise<void> {
    return new Promise(resolve => (this.#wake = resolve))
  }
}

async function fetchTopics(
  router: ActorRef<RouterMessage>,
  topics: readonly string[],
  timeoutMs: number
): Promise<readonly TopicMetadata[]> {
  const request = { type: 'fetchTopicMetadata', topics, timeoutMs } as const
  const result = await askRouter(router, request)
  if (result.type !== 'success') throw errorOf(readTroubleOf(result), topics.join(', '))
  return topics.map(topic => requireTopic(topic, result.topics))
}
