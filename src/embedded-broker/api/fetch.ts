import { errorCodes } from '../../kafka/error-codes.js'
import type { Cluster } from '../cluster.js'
import type { AskedPartition, FetchTopic, KeptSession, ReportedPartition } from '../fetch-sessions.js'
import type { PartitionLog } from '../log/partition-log.js'
import type { Partition } from '../topics/partition.js'
import { type Call, defineApi, targetsByTopic } from './api.js'
import {
  type FetchRequest,
  NEW_SESSION,
  NO_SESSION,
  readFetchRequest,
  SESSIONS_SINCE,
  TOPIC_IDS_SINCE,
  waitForBytes
} from './fetch-request.js'

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
    return sessions.begin(nodeId, topics, usesTopicIds)
  }
  const injected = faults.before()
  if (injected === errorCodes.FETCH_SESSION_ID_NOT_FOUND) sessions.end(sessionId, nodeId)
  if (sessionErrors.has(injected)) return injected
  const session = sessions.use(sessionId, nodeId)
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
