import { NOTHING } from '../../core/bytes.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { ServedCluster } from '../cluster.js'
import type { FetchTopic, ForgottenTopics, KeptSession, SessionPartition } from '../fetch-sessions.js'
import type { SegmentedLog } from '../log/partition-log.js'
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

/**
 * The wait of a long poll. It resolves when `minBytes` can be read, the time is over, the connection has ended, or a
 * partition has an error to report. Returns undefined when there is no reason to wait.
 */
function waitForBytes({ topics, minBytes, maxWaitMs, isReadCommitted }: FetchRequest, call: Call) {
  if (maxWaitMs <= 0 || topics.length === 0) return undefined
  const all = topics.flatMap(({ topic, partitions }) => partitions.map(asked => ({ topic, asked })))
  const hasError = ({ topic, asked }: (typeof all)[number]) => partitionError(call, topic, asked) !== 0
  if (all.some(one => hasError(one) || call.faults.after(one.topic, one.asked.partition))) return undefined
  let readable = 0
  const watched = all.map(one => {
    const { log } = call.cluster.topics.partition(one.topic, one.asked.partition)!
    let counted = 0
    const count = () => {
      const end = isReadCommitted ? log.lastStableOffset : log.highWatermark
      const bytes = Math.min(one.asked.maxBytes, log.readableBytes(one.asked.fetchOffset, end, minBytes))
      readable += bytes - counted
      counted = bytes
    }
    count()
    return { ...one, log, count }
  })
  if (readable >= minBytes) return undefined
  return new Promise<void>(resolve => {
    const settle = () => {
      clearTimeout(timer)
      for (const forget of watches) forget()
      resolve()
    }
    const timer = setTimeout(settle, maxWaitMs)
    const watches = watched.map(one =>
      one.log.watch(() => {
        one.count()
        if (readable >= minBytes || hasError(one)) settle()
      })
    )
    watches.push(call.peer.onClose(settle))
  })
}

const NO_SESSION_ID = 0
const LARGEST_EPOCH = 0x7fffffff
/** Limit of a response, even if a client asks for more. */
export const LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
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
    const waiting = waitForBytes(request, call)
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

function named(topics: readonly FetchTopic[], { topics: table }: ServedCluster): readonly FetchTopic[] {
  if (topics[0]?.topicId === undefined) return topics
  return topics.map(topic => ({ ...topic, topic: table.byId(topic.topicId!)?.name ?? topic.topicId! }))
}

function writeRefusal({ response }: Call, errorCode: number): void {
  response.int32(0).int16(errorCode).int32(NO_SESSION_ID)
  response.structs([], () => {})
}

interface PartitionToRead {
  readonly asked: SessionPartition
  readonly errorCode: number
  readonly records: Buffer
  /** Undefined: the answer has an error. */
  readonly log: SegmentedLog | undefined
  readonly aborted: ReturnType<SegmentedLog['transactions']['abortedIn']>
}

function write(request: FetchRequest, call: Call, session: KeptSession | undefined): void {
  const { response, version } = call
  response.int32(0)
  if (version >= SESSIONS_SINCE) response.int16(errorCodes.NONE).int32(session?.id ?? NO_SESSION_ID)
  const isPart = isIncremental(request)
  const all = readAll(request, call)
  const topics = session
    ? all.map(({ topic, read }) => ({ topic, read: read.filter(one => isNews(session, topic, one) || !isPart) }))
    : all
  const reported = isPart ? topics.filter(({ read }) => read.length > 0) : topics
  response.structs(reported, ({ topic: { topic, topicId }, read }) => {
    if (topicId === undefined) response.string(topic)
    else response.uuid(topicId)
    response.structs(read, partition => writePartition(request, call, partition))
  })
}

const isNews = (
  session: KeptSession,
  topic: FetchTopic,
  { asked, errorCode, records, log }: PartitionToRead
): boolean =>
  session.isNews(topic, asked.partition, {
    errorCode,
    hasRecords: records.length > 0,
    highWatermark: log?.highWatermark ?? -1,
    logStartOffset: log?.logStartOffset ?? -1
  })

function readAll(request: FetchRequest, call: Call) {
  let left = Math.min(request.maxBytes, LARGEST_ANSWER_BYTES)
  let wholeFirst = true
  return request.topics.map(topic => {
    const read = topic.partitions.map(asked => {
      const result = readOne(request, call, topic.topic, asked, left, wholeFirst)
      left = Math.max(0, left - result.records.length)
      if (result.records.length > 0) wholeFirst = false
      return result
    })
    return { topic, read }
  })
}

function writePartition({ isReadCommitted }: FetchRequest, { response, version }: Call, read: PartitionToRead): void {
  const { asked, errorCode, records, log, aborted } = read
  response.int32(asked.partition).int16(errorCode)
  response.int64(log?.highWatermark ?? -1).int64(log?.lastStableOffset ?? -1)
  if (version >= 5) response.int64(log?.logStartOffset ?? -1)
  if (isReadCommitted)
    response.structs(aborted, ({ producerId, firstOffset }) => response.int64(producerId).int64(firstOffset))
  else response.nullableArray(null, () => {})
  if (version >= 11) response.int32(-1)
  response.bytes(records)
}

function readOne(
  { isReadCommitted }: FetchRequest,
  call: Call,
  topic: string,
  asked: SessionPartition,
  left: number,
  wholeFirst: boolean
): PartitionToRead {
  const failed = (errorCode: number) => ({ asked, errorCode, records: NOTHING, log: undefined, aborted: [] })
  const log = call.cluster.topics.partition(topic, asked.partition)?.log
  const refusal = partitionError(call, topic, asked)
  if (!log || refusal) return failed(refusal)
  const { fetchOffset } = asked
  const endOffset = isReadCommitted ? log.lastStableOffset : log.highWatermark
  try {
    const records = log.read(fetchOffset, Math.min(asked.maxBytes, left), wholeFirst, endOffset)
    const errorCode = call.faults.after(topic, asked.partition)
    const aborted = log.transactions.abortedIn(fetchOffset, endOffset)
    return { asked, errorCode, records, log: errorCode ? undefined : log, aborted }
  } catch {
    return failed(errorCodes.KAFKA_STORAGE_ERROR)
  }
}

/** Returns 0, or the error code of a partition that cannot be read. From v11 on, followers also answer, as in Kafka. */
function partitionError(call: Call, topic: string, asked: SessionPartition): number {
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

const unknownById = ({ topics }: ServedCluster, topic: string): number =>
  topics.get(topic) ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCodes.UNKNOWN_TOPIC_ID
