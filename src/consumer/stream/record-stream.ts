import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import { endingAtOnce, onAbort } from '../../core/ending.js'
import { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import type { ReadProblem, ReadStart } from './partition-reader.js'
import { readTopic, requireTopic } from './topic-readers.js'

const DEFAULT_REQUEST_TIMEOUT_MS = 10_000

const CLOSED: ReadProblem = { code: 'shuttingDown', message: 'castellan was closed while reading', retriable: false }

/** The options for reading a topic. All of them have defaults. */
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
  /** Default: all partitions that the topic has at the start, with `follow` also partitions that are added later. */
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

export interface StreamRuntime {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  /** Aborted when the Router stops. The loop then ends with an error. */
  readonly closed: AbortSignal
}

/**
 * The records of a topic. Records of one partition come in order. The stream holds one batch per partition, and asks
 * for the next batch when the current batch has been read.
 *
 *   for await (const record of readRecords(runtime, 'orders')) console.log(record.offset, String(record.value))
 *
 * @throws CastellanError from the loop, when the topic or a partition cannot be read; `code` is the reason
 */
export const readRecords = <Given extends ReadRecord = ReadRecord>(
  runtime: StreamRuntime,
  topic: string,
  options: ReadOptions = {},
  toGiven: (record: ReadRecord) => Given | Promise<Given> = record => record as Given
): AsyncGenerator<Given, void, undefined> => endingAtOnce(stop => recordsIn(runtime, topic, options, stop, toGiven))

async function* recordsIn<Given>(
  { system, router, closed }: StreamRuntime,
  topic: string,
  options: ReadOptions,
  stop: AbortController,
  toGiven: (record: ReadRecord) => Given | Promise<Given>
): AsyncGenerator<Given, void, undefined> {
  const { from = 'earliest', follow = false, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = options
  if (closed.aborted) throw new CastellanError(CLOSED.code, CLOSED.message, CLOSED.retriable)
  const feed = new BatchFeed()
  const leave = [onAbort(options.signal, () => stop.abort()), onAbort(closed, () => feed.failed(CLOSED))]
  const stopped = new Promise<undefined>(resolve => {
    onAbort(stop.signal, () => {
      feed.close()
      resolve(undefined)
    })
  })
  const warn = options.onWarning ?? (() => undefined)
  const runtime = {
    router,
    requestTimeoutMs,
    write: feed.write.bind(feed),
    warn,
    onRetry: warn,
    stopped: stop.signal,
    onProblem: feed.failed.bind(feed)
  }
  try {
    const metadata = await Promise.race([fetchTopic(router, topic, requestTimeoutMs), stopped])
    if (metadata === undefined) return
    void readTopic(system, { metadata, partitions: options.partitions, start: from, follow }, runtime).then(() =>
      feed.ended()
    )
    yield* recordsOf(feed, toGiven)
  } finally {
    for (const one of leave) one()
    stop.abort()
  }
}

async function* recordsOf<Given>(
  feed: BatchFeed,
  toGiven: (record: ReadRecord) => Given | Promise<Given>
): AsyncGenerator<Given, void, undefined> {
  for (let fed = await feed.next(); fed !== undefined; fed = await feed.next()) {
    let isRead = false
    try {
      for (const record of fed.batch) {
        if (record.offset >= fed.end) break
        const given = toGiven({ ...fed.topicPartition, ...record })
        yield given instanceof Promise ? await given : given
      }
      isRead = true
    } finally {
      // A loop that is left gives the batch back, too; its reader would wait for good otherwise.
      fed.taken(isRead ? fed.batch.nextOffset : undefined)
    }
  }
}

async function fetchTopic(router: ActorRef<RouterMessage>, topic: string, timeoutMs: number): Promise<TopicMetadata> {
  const request = { type: 'fetchTopicMetadata', requestId: 0, topics: [topic], timeoutMs } as const
  const result = await askRouter(router, request)
  if (result.type === 'failed') throw new CastellanError(result.code, `${topic}: ${result.message}`, result.retriable)
  if (result.type === 'timedOut')
    throw new CastellanError('timedOut', `${topic}: ${result.reason ?? 'no answer in time'}`, true)
  return requireTopic(topic, result.topics)
}

/** A batch that a reader of a partition has put into the feed. */
interface FedBatch {
  readonly topicPartition: TopicPartition
  readonly batch: RecordBatch
  /** Only records before this offset are wanted. */
  readonly end: Offset
  /** Notifies the reader that the batch was taken, and which offset is wanted next; `undefined`: none. */
  taken(next: Offset | undefined): void
}

/** Passes the batches of several partition readers to one consumer. Holds one batch per reader. */
class BatchFeed {
  #waiting: FedBatch[] = []
  #problem: ReadProblem | undefined
  #isOver = false
  #isClosed = false
  #wake: () => void = () => undefined

  /** @returns resolves when the consumer has taken the batch, with the next offset if more batches are wanted */
  write(topicPartition: TopicPartition, batch: RecordBatch, end: Offset): Promise<Offset | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined)
    return new Promise(taken => {
      this.#waiting.push({ topicPartition, batch, end, taken })
      this.#wake()
    })
  }

  /** Notes the problem of a reader. The first problem ends all reading. */
  failed(problem: ReadProblem): void {
    this.#problem ??= problem
    this.#wake()
  }

  /** Notes that all readers have ended, and that no further reader begins. */
  ended(): void {
    this.#isOver = true
    this.#wake()
  }

  /**
   * The next batch, in order of arrival; `undefined` when all readers have ended or the feed is closed.
   *
   * @throws CastellanError when a reader met a problem
   */
  async next(): Promise<FedBatch | undefined> {
    for (;;) {
      if (this.#isClosed) return undefined
      if (this.#problem) throw toError(this.#problem)
      const batch = this.#waiting.shift()
      if (batch || this.#isOver) return batch
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Closes the feed, because no more batches are wanted. */
  close(): void {
    this.#isClosed = true
    for (const { taken } of this.#waiting) taken(undefined)
    this.#waiting = []
    this.#wake()
  }
}

const toError = ({ code, message, retriable }: ReadProblem): CastellanError =>
  new CastellanError(code, message, retriable)
