import type { Cluster } from '../cluster.js'
import type { PartitionLog } from '../log/partition-log.js'
import { errors } from '../protocol/error-codes.js'
import type { Partition } from '../topics/partition.js'
import { type ByTopic, type Call, defineApi, targetsByTopic } from './api.js'
import {
  type FetchPartition,
  type FetchRequest,
  type FetchTopic,
  NO_SESSION,
  readFetchRequest,
  TOPIC_IDS_SINCE
} from './fetch-request.js'
import { waitForBytes } from './fetch-wait.js'

const NO_RECORDS = Buffer.alloc(0)
/** Sessions are never created: a request may ask for none or for a new one, and is answered with session 0. */
const NEW_SESSION = 0
/** Largest response, whatever a client asks for. */
const LARGEST_ANSWER_BYTES = 16 * 1024 * 1024

export const fetch = defineApi<FetchRequest>({
  key: 1,
  name: 'Fetch',
  minVersion: 4,
  maxVersion: 17,
  flexibleFrom: 12,
  read: readFetchRequest,
  targets: ({ topics }, cluster) => targetsByTopic(named(topics, cluster)),
  answer(asked, call) {
    const request = { ...asked, topics: named(asked.topics, call.cluster) }
    if (request.sessionEpoch !== NO_SESSION && request.sessionEpoch !== NEW_SESSION) {
      return writeHeader(call, errors.fetchSessionIdNotFound, [])
    }
    const waiting = waitForBytes(request, call, partitionError)
    if (!waiting) return write(request, call)
    return waiting.then(() => write(request, call))
  }
})

function named(topics: readonly FetchTopic[], { topics: table }: Cluster): readonly FetchTopic[] {
  if (topics[0]?.topicId === undefined) return topics
  return topics.map(topic => ({ ...topic, topic: table.byId(topic.topicId!)?.name ?? topic.topicId! }))
}

function writeHeader({ response, version }: Call, errorCode: number, topics: readonly ByTopic<never>[]): void {
  response.int32(0)
  if (version >= 7) response.int16(errorCode).int32(0)
  response.structs(topics, () => {})
}

function write(request: FetchRequest, call: Call): void {
  const { response, version } = call
  response.int32(0)
  if (version >= 7) response.int16(errors.none).int32(0)
  let left = Math.min(request.maxBytes, LARGEST_ANSWER_BYTES)
  let wholeFirst = true
  const writePartition = (topic: string, asked: FetchPartition) => {
    const { records, errorCode, partition, endOffset } = readOne(request, call, topic, asked, left, wholeFirst)
    left = Math.max(0, left - records.length)
    if (records.length > 0) wholeFirst = false
    const log = errorCode ? undefined : partition?.log
    response.int32(asked.partition).int16(errorCode)
    response.int64(log?.highWatermark ?? -1).int64(log?.lastStableOffset ?? -1)
    if (version >= 5) response.int64(log?.logStartOffset ?? -1)
    writeAborted(request, call, asked, partition, endOffset)
    if (version >= 11) response.int32(-1)
    response.bytes(records)
  }
  response.structs(request.topics, ({ topic, topicId, partitions }) => {
    if (topicId === undefined) response.string(topic)
    else response.uuid(topicId)
    response.structs(partitions, partition => writePartition(topic, partition))
  })
}

function writeAborted(
  { isReadCommitted }: FetchRequest,
  { response }: Call,
  { fetchOffset }: FetchPartition,
  partition: Partition | undefined,
  endOffset: number
): void {
  if (!isReadCommitted) return void response.nullArray()
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
  asked: FetchPartition,
  left: number,
  wholeFirst: boolean
): ReadResult {
  const partition = call.cluster.topics.partition(topic, asked.partition)
  const errorCode = partitionError(call, topic, asked)
  if (!partition || errorCode) return { records: NO_RECORDS, errorCode, partition, endOffset: 0 }
  const { log } = partition
  const endOffset = request.isReadCommitted ? log.lastStableOffset : log.highWatermark
  const records = readRecords(log, asked, Math.min(asked.maxBytes, left), wholeFirst, endOffset)
  if (!records) return { records: NO_RECORDS, errorCode: errors.kafkaStorageError, partition, endOffset: 0 }
  return { records, errorCode: call.faults.after(topic, asked.partition), partition, endOffset }
}

/** Undefined: the storage fails. */
function readRecords(
  log: PartitionLog,
  { fetchOffset }: FetchPartition,
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

/** 0, or the error for which nothing is read. From v11 on followers answer, as in Kafka. */
function partitionError(call: Call, topic: string, asked: FetchPartition): number {
  const { cluster, faults, nodeId, version } = call
  const injected = faults.before(topic, asked.partition)
  if (injected) return injected
  const partition = cluster.topics.partition(topic, asked.partition)
  if (!partition) return version >= TOPIC_IDS_SINCE ? unknownById(cluster, topic) : errors.unknownTopicOrPartition
  const serves = partition.leaderId === nodeId || (version >= 11 && partition.hasReplicaOn(nodeId))
  if (!serves) return errors.notLeaderOrFollower
  const epoch = asked.currentLeaderEpoch
  if (epoch >= 0 && epoch < partition.leaderEpoch) return errors.fencedLeaderEpoch
  if (epoch > partition.leaderEpoch) return errors.unknownLeaderEpoch
  const { logStartOffset, highWatermark } = partition.log
  const isInside = asked.fetchOffset >= logStartOffset && asked.fetchOffset <= highWatermark
  return isInside ? errors.none : errors.offsetOutOfRange
}

const unknownById = ({ topics }: Cluster, topic: string): number =>
  topics.get(topic) ? errors.unknownTopicOrPartition : errors.unknownTopicId
