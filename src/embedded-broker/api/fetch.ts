import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { Cluster } from '../cluster.js'
import type { AskedPartition, FetchTopic, ForgottenTopics, KeptSession, ReportedPartition } from '../fetch-sessions.js'
import type { PartitionLog } from '../log/partition-log.js'
import type { Partition } from '../topics/partition.js'
import { type Call, defineApi, targetsByTopic } from './api.js'

/** The session epoch of a request outside of fetch sessions. The request ends the session that it names, if any. */
const NO_SESSION = -1
/** The session epoch of a request that begins a session. The request ends the session that it names. */
const NEW_SESSION = 0
/** First version with fetch sessions. */
const SESSIONS_SINCE = 7
/** First version that names topics by their ids. */
const TOPIC_IDS_SINCE = 13

interface FetchRequest {
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

function readFetchRequest(reader: ProtocolReader, version: number): FetchRequest {
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
function waitForBytes(request: FetchRequest, call: Call, errorOf: ErrorOf): Promise<void> | undefined {
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

const NO_RECORDS = Buffer.alloc(0)
const NO_SESSION_ID = 0
const LARGEST_EPOCH = 0x7fffffff
/** Limit of a response, even if a client asks for more. */
const LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
/** Error codes of a whole session. Without a session, only a fault can cause them. */
const sessionErrors: ReadonlySet<number> = new Set([
  errorCodes.FETCH_SESSION_ID_NOT_FOUND,
  errorCodes.INVALID_FETCH_SESSION_EPOCH,
  errorCodes.FETCH_SESSION_TOPIC_ID_ERROR
])

const isIncremental = ({ sessionEpoch }: FetchRequest): boolean =>
  sessionEpoch !== NO_SESSION && sessionEpoch !== NEW_SESSION

export const fetch = defineApi<FetchRequest>({
  key: 1,
  name: 'Fetch',
  minVersion: 4,
  maxVersion: 17,
  flexibleFrom: 12,
  read: readFetchRequest,
  targets(request, cluster, nodeId) {
    const session = isIncremental(request) ? cluster.fetchSessions.get(request.sessionId, nodeId) : undefined
    const topics = session ? [...session.topics, ...request.topics] : request.topics
    return targetsByTopic(named(topics, cluster))
  },
  answer(asked, call) {
    const session = sessionOf(asked, call)
    if (typeof session === 'number') return writeRefusal(call, session)
    const topics = named(isIncremental(asked) && session ? session.topics : asked.topics, call.cluster)
    const request = { ...asked, topics }
    const waiting = waitForBytes(request, call, partitionError)
    if (!waiting) return write(request, call, session)
    return waiting.then(() => write(request, call, session))
  }
})

/** The session of a request, or the error code when it cannot be used; undefined: the request has no session. */
function sessionOf(request: FetchRequest, call: Call): KeptSession | number | undefined {
  const { sessionId, sessionEpoch, topics, forgotten, usesTopicIds } = request
  const { nodeId, version, faults } = call
  const sessions = call.cluster.fetchSessions
  if (!isIncremental(request)) {
    sessions.end(sessionId, nodeId)
    if (sessionEpoch === NO_SESSION || version < SESSIONS_SINCE) return undefined
    return sessions.begin(nodeId, topics, usesTopicIds, performance.now())
  }
  const injected = faults.before()
  if (injected === errorCodes.FETCH_SESSION_ID_NOT_FOUND) sessions.end(sessionId, nodeId)
  if (sessionErrors.has(injected)) return injected
  const session = sessions.use(sessionId, nodeId, performance.now())
  if (!session) return errorCodes.FETCH_SESSION_ID_NOT_FOUND
  if (session.epoch !== sessionEpoch) return errorCodes.INVALID_FETCH_SESSION_EPOCH
  if (session.usesTopicIds !== usesTopicIds) return errorCodes.FETCH_SESSION_TOPIC_ID_ERROR
  if (!sessions.update(session, topics, forgotten)) return errorCodes.FETCH_SESSION_ID_NOT_FOUND
  session.epoch = session.epoch === LARGEST_EPOCH ? 1 : session.epoch + 1
  if (session.size > 0) return session
  sessions.end(sessionId, nodeId)
  return undefined
}

function named(topics: readonly FetchTopic[], { topics: table }: Cluster): readonly FetchTopic[] {
  if (topics[0]?.topicId === undefined) return topics
  return topics.map(topic => ({ ...topic, topic: table.byId(topic.topicId!)?.name ?? topic.topicId! }))
}

function writeRefusal({ response }: Call, errorCode: number): void {
  response.int32(0).int16(errorCode).int32(NO_SESSION_ID)
  response.structs([], () => {})
}

interface ReadPartition extends ReadResult {
  readonly asked: AskedPartition
  readonly reported: ReportedPartition
}

function write(request: FetchRequest, call: Call, session: KeptSession | undefined): void {
  const { response, version } = call
  response.int32(0)
  if (version >= SESSIONS_SINCE) response.int16(errorCodes.NONE).int32(session?.id ?? NO_SESSION_ID)
  const isPart = isIncremental(request)
  const read = readAll(request, call)
  const topics = session ? read.map(topic => ({ ...topic, read: withNews(topic, session, isPart) })) : read
  const reported = isPart ? topics.filter(topic => topic.read.length > 0) : topics
  response.structs(reported, ({ topic: { topic, topicId }, read }) => {
    if (topicId === undefined) response.string(topic)
    else response.uuid(topicId)
    response.structs(read, partition => writePartition(request, call, partition))
  })
}

interface ReadTopic {
  readonly topic: FetchTopic
  readonly read: readonly ReadPartition[]
}

function withNews({ topic, read }: ReadTopic, session: KeptSession, isPart: boolean): readonly ReadPartition[] {
  return read.filter(({ asked, reported }) => session.isNews(topic, asked.partition, reported) || !isPart)
}

function readAll(request: FetchRequest, call: Call): ReadTopic[] {
  let left = Math.min(request.maxBytes, LARGEST_ANSWER_BYTES)
  let wholeFirst = true
  return request.topics.map(topic => {
    const read = topic.partitions.map(asked => {
      const result = readOne(request, call, topic.topic, asked, left, wholeFirst)
      const { records, errorCode, partition } = result
      left = Math.max(0, left - records.length)
      if (records.length > 0) wholeFirst = false
      const log = errorCode ? undefined : partition?.log
      const bounds = { highWatermark: log?.highWatermark ?? -1, logStartOffset: log?.logStartOffset ?? -1 }
      return { ...result, asked, reported: { errorCode, hasRecords: records.length > 0, ...bounds } }
    })
    return { topic, read }
  })
}

function writePartition(request: FetchRequest, call: Call, read: ReadPartition): void {
  const { response, version } = call
  const { asked, reported, records, partition, endOffset } = read
  response.int32(asked.partition).int16(reported.errorCode)
  const lastStableOffset = reported.errorCode ? -1 : (partition?.log.lastStableOffset ?? -1)
  response.int64(reported.highWatermark).int64(lastStableOffset)
  if (version >= 5) response.int64(reported.logStartOffset)
  writeAborted(request, call, asked, partition, endOffset)
  if (version >= 11) response.int32(-1)
  response.bytes(records)
}

function writeAborted(
  { isReadCommitted }: FetchRequest,
  { response }: Call,
  { fetchOffset }: AskedPartition,
  partition: Partition | undefined,
  endOffset: number
): void {
  if (!isReadCommitted) return void response.nullableArray(null, () => {})
  const aborted = partition?.log.transactions.abortedIn(fetchOffset, endOffset) ?? []
  response.structs(aborted, ({ producerId, firstOffset }) => response.int64(producerId).int64(firstOffset))
}

interface ReadResult {
  readonly records: Buffer
  readonly errorCode: number
  readonly partition: Partition | undefined
  readonly endOffset: number
}

function readOne(
  request: FetchRequest,
  call: Call,
  topic: string,
  asked: AskedPartition,
  left: number,
  wholeFirst: boolean
): ReadResult {
  const partition = call.cluster.topics.partition(topic, asked.partition)
  const errorCode = partitionError(call, topic, asked)
  if (!partition || errorCode) return { records: NO_RECORDS, errorCode, partition, endOffset: 0 }
  const { log } = partition
  const endOffset = request.isReadCommitted ? log.lastStableOffset : log.highWatermark
  const records = readRecords(log, asked, Math.min(asked.maxBytes, left), wholeFirst, endOffset)
  if (!records) return { records: NO_RECORDS, errorCode: errorCodes.KAFKA_STORAGE_ERROR, partition, endOffset: 0 }
  return { records, errorCode: call.faults.after(topic, asked.partition), partition, endOffset }
}

/** Reads records; undefined: the storage fails. */
function readRecords(
  log: PartitionLog,
  { fetchOffset }: AskedPartition,
  maxBytes: number,
  wholeFirst: boolean,
  endOffset: number
): Buffer | undefined {
  try {
    return log.read(fetchOffset, maxBytes, wholeFirst, endOffset).bytes
  } catch {
    return undefined
  }
}

/** Returns 0, or the error code of a partition that cannot be read. From v11 on, followers also answer, as in Kafka. */
function partitionError(call: Call, topic: string, asked: AskedPartition): number {
  const { cluster, faults, nodeId, version } = call
  const injected = faults.before(topic, asked.partition)
  if (injected && !sessionErrors.has(injected)) return injected
  const partition = cluster.topics.partition(topic, asked.partition)
  if (!partition)
    return version >= TOPIC_IDS_SINCE ? unknownById(cluster, topic) : errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  const serves = partition.leaderId === nodeId || (version >= 11 && partition.hasReplicaOn(nodeId))
  if (!serves) return errorCodes.NOT_LEADER_OR_FOLLOWER
  const epoch = asked.currentLeaderEpoch
  if (epoch >= 0 && epoch < partition.leaderEpoch) return errorCodes.FENCED_LEADER_EPOCH
  if (epoch > partition.leaderEpoch) return errorCodes.UNKNOWN_LEADER_EPOCH
  const { logStartOffset, highWatermark } = partition.log
  const isInside = asked.fetchOffset >= logStartOffset && asked.fetchOffset <= highWatermark
  return isInside ? errorCodes.NONE : errorCodes.OFFSET_OUT_OF_RANGE
}

const unknownById = ({ topics }: Cluster, topic: string): number =>
  topics.get(topic) ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCodes.UNKNOWN_TOPIC_ID
