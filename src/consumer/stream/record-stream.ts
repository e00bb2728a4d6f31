import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, TopicPartition } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { askRouter } from '../../router/routing/ask-router.js'
import { BatchFeed } from './batch-feed.js'
import type { ReadProblem, ReadStart } from './partition-reader.js'
import { requireTopic } from './readable-partitions.js'
import { readTopic } from './topic-readers.js'

const DEFAULT_REQUEST_TIMEOUT_MS = 10_000

const CLOSED: ReadProblem = { code: 'shuttingDown', message: 'castellan was closed while reading', retriable: false }

/** How a topic is read; everything has a default. */
export interface ReadOptions {
  /** Where each partition begins; default `earliest`. Partitions that are added while it is followed begin there anyway. */
  readonly from?: ReadStart | undefined
  /**
   * True: waits for further records at the end, and reads a topic that is created anew from its beginning. Default: each
   * partition ends where its log ended at the start; if its log does not reach that far any more, the loop throws.
   */
  readonly follow?: boolean | undefined
  /** Default: all partitions that the topic has at the start, and with `follow` those, too, that it gets later. */
  readonly partitions?: readonly number[] | undefined
  /** Ends the loop when it is aborted, without an error. */
  readonly signal?: AbortSignal | undefined
  /** Time limit of one request to the Router, in milliseconds; default 10,000. */
  readonly requestTimeoutMs?: number | undefined
  /** Told which records were skipped because they are damaged or deleted, and what is being tried again. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/** A record and its place. Key, value and header values are views of the batch's bytes: copy what outlives it. */
export interface ReadRecord extends KafkaRecord, TopicPartition {}

/** What a stream reads with. */
export interface StreamRuntime {
  readonly system: ActorSystem
  readonly router: ActorRef<RouterMessage>
  /** Aborted when the Router stops: the loop ends with an error. */
  readonly closed: AbortSignal
}

/**
 * The records of a topic; those of one partition come in order. It holds one batch per partition: the next one is
 * asked for when the former has been read.
 *
 *   for await (const record of readRecords(runtime, 'orders')) console.log(record.offset, String(record.value))
 *
 * @throws CastellanError from the loop, when the topic or a partition cannot be read; `code` says why
 */
export async function* readRecords(
  { system, router, closed }: StreamRuntime,
  topic: string,
  options: ReadOptions = {}
): AsyncGenerator<ReadRecord, void, undefined> {
  const { from = 'earliest', follow = false, requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS } = options
  if (closed.aborted) throw new CastellanError(CLOSED.code, CLOSED.message, CLOSED.retriable)
  const metadata = await fetchTopic(router, topic, requestTimeoutMs)
  const feed = new BatchFeed()
  const stop = new AbortController()
  const close = (): void => {
    stop.abort()
    feed.close()
  }
  const unlisten = [onAbort(options.signal, close), onAbort(closed, () => feed.failed(CLOSED))]
  const runtime = {
    router,
    requestTimeoutMs,
    write: feed.write.bind(feed),
    warn: options.onWarning ?? (() => undefined),
    stopped: stop.signal,
    onProblem: feed.failed.bind(feed)
  }
  try {
    void readTopic(system, { metadata, partitions: options.partitions, start: from, follow }, runtime).then(() =>
      feed.ended()
    )
    yield* recordsOf(feed)
  } finally {
    for (const leave of unlisten) leave()
    close()
  }
}

/** Calls back when the signal is aborted, or at once when it was. */
function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  signal?.addEventListener('abort', listener, { once: true })
  if (signal?.aborted) listener()
  return () => signal?.removeEventListener('abort', listener)
}

async function* recordsOf(feed: BatchFeed): AsyncGenerator<ReadRecord, void, undefined> {
  for (let fed = await feed.next(); fed !== undefined; fed = await feed.next()) {
    for (const record of fed.batch) {
      if (record.offset >= fed.end) break
      yield { ...fed.topicPartition, ...record }
    }
    fed.taken(true)
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
