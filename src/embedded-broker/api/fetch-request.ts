import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { AskedPartition, FetchTopic, ForgottenTopics } from '../fetch-sessions.js'
import type { Call } from './api.js'

/** The session epoch of a request outside of fetch sessions. The request ends the session that it names, if any. */
export const NO_SESSION = -1
/** The session epoch of a request that begins a session. The request ends the session that it names. */
export const NEW_SESSION = 0
/** First version with fetch sessions. */
export const SESSIONS_SINCE = 7
/** First version that names topics by their ids. */
export const TOPIC_IDS_SINCE = 13

export interface FetchRequest {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isReadCommitted: boolean
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly topics: readonly FetchTopic[]
  /** Partitions that leave the session. */
  readonly forgotten: ForgottenTopics
  readonly usesTopicIds: boolean
}

export function readFetchRequest(reader: ProtocolReader, version: number): FetchRequest {
  if (version < 15) reader.int32()
  const maxWaitMs = reader.int32()
  const minBytes = reader.int32()
  const maxBytes = reader.int32()
  const isReadCommitted = reader.int8() === 1
  const sessionId = version >= 7 ? reader.int32() : 0
  const sessionEpoch = version >= 7 ? reader.int32() : NO_SESSION
  const byId = version >= TOPIC_IDS_SINCE
  const readPartition = () => {
    const partition = reader.int32()
    const currentLeaderEpoch = version >= 9 ? reader.int32() : -1
    const fetchOffset = reader.int64()
    if (version >= 12) reader.int32()
    if (version >= 5) reader.int64()
    return { partition, currentLeaderEpoch, fetchOffset, maxBytes: reader.int32() }
  }
  const topics = reader.structs(() => {
    const topicId = byId ? reader.uuid() : undefined
    return { topic: topicId ?? reader.string(), topicId, partitions: reader.structs(readPartition) }
  })
  const forgotten = version >= 7 ? readForgotten(reader, byId) : []
  if (version >= 11) reader.nullableString()
  const session = { sessionId, sessionEpoch, forgotten, usesTopicIds: byId }
  return { maxWaitMs, minBytes, maxBytes, isReadCommitted, topics, ...session }
}

const readForgotten = (reader: ProtocolReader, byId: boolean): ForgottenTopics =>
  reader.structs(() => ({
    topic: byId ? reader.uuid() : reader.string(),
    partitions: reader.array(() => reader.int32())
  }))

type ErrorOf = (call: Call, topic: string, asked: AskedPartition) => number

/**
 * The wait of a long poll. It resolves when `minBytes` can be read, the time is over, the connection has ended, or a
 * partition has an error to report. Returns undefined when there is no reason to wait.
 */
export function waitForBytes(request: FetchRequest, call: Call, errorOf: ErrorOf): Promise<void> | undefined {
  if (request.maxWaitMs <= 0 || request.topics.length === 0) return undefined
  let readable = 0
  const asked: Watched[] = []
  for (const { topic, partitions } of request.topics) {
    for (const partition of partitions) {
      if (errorOf(call, topic, partition) || call.faults.after(topic, partition.partition)) return undefined
      const watched = new Watched(request, call, topic, partition)
      readable += watched.readableBytes
      asked.push(watched)
    }
  }
  if (readable >= request.minBytes) return undefined
  return new Promise(resolve => {
    const settle = () => {
      clearTimeout(timer)
      forget()
      for (const watched of asked) watched.forget()
      resolve()
    }
    const timer = setTimeout(settle, request.maxWaitMs)
    const forget = call.peer.onClose(settle)
    for (const watched of asked) {
      watched.watch(grown => {
        readable += grown
        if (readable >= request.minBytes || watched.hasError(errorOf)) settle()
      })
    }
  })
}

/** One partition of a waiting fetch. */
class Watched {
  readonly #request: FetchRequest
  readonly #call: Call
  readonly #topic: string
  readonly #asked: AskedPartition
  readonly #log
  #forget = () => {}
  readableBytes: number

  constructor(request: FetchRequest, call: Call, topic: string, asked: AskedPartition) {
    this.#request = request
    this.#call = call
    this.#topic = topic
    this.#asked = asked
    this.#log = call.cluster.topics.partition(topic, asked.partition)!.log
    this.readableBytes = this.#count()
  }

  watch(grew: (bytes: number) => void): void {
    this.#forget = this.#log.watch(() => {
      const before = this.readableBytes
      this.readableBytes = this.#count()
      grew(this.readableBytes - before)
    })
  }

  hasError(errorOf: ErrorOf): boolean {
    return errorOf(this.#call, this.#topic, this.#asked) !== 0
  }

  forget(): void {
    this.#forget()
  }

  #count(): number {
    const { isReadCommitted, minBytes } = this.#request
    const end = isReadCommitted ? this.#log.lastStableOffset : this.#log.highWatermark
    return Math.min(this.#asked.maxBytes, this.#log.readableBytes(this.#asked.fetchOffset, end, minBytes))
  }
}
