import { NOTHING } from '../../core/bytes.js'
import { groupBy } from '../../core/maps.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import { keyOf } from '../../kafka/protocol/share.js'
import type { ServedCluster } from '../cluster.js'
import type { FaultTarget } from '../faults.js'
import { BatchView, splitBatches } from '../protocol/record-batch.js'
import {
  type AcknowledgedRange,
  type AcquiredRange,
  type OffsetRange,
  RENEW,
  type Refusal,
  type SharePartition
} from '../share/share-partition.js'
import { nextEpochOf, type ServedSession, type TopicIdPartition } from '../share/share-sessions.js'
import type { StoredPartition } from '../topics/partition.js'
import { type Call, defineApi, type ServedApi } from './api.js'
import { LARGEST_ANSWER_BYTES } from './fetch.js'

/** The epochs of a request that opens a session, and of one that ends it. */
const OPENS = 0
const ENDS = -1
/** First version with renewals, and with a limit of records that is exact. */
const EXACT_SINCE = 2
const EXACT = 1

interface AcknowledgedPartition extends TopicIdPartition {
  readonly ranges: readonly AcknowledgedRange[]
}
interface SessionRequest {
  readonly groupId: string
  readonly memberId: string
  readonly epoch: number
  readonly isRenew: boolean
  readonly partitions: readonly AcknowledgedPartition[]
}
interface ShareFetchRequest extends SessionRequest {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxRecords: number
  readonly isExact: boolean
  readonly forgotten: readonly TopicIdPartition[]
}

const readPartitions = (reader: ProtocolReader): AcknowledgedPartition[] =>
  reader
    .structs(() => {
      const topicId = reader.uuid()
      return reader.structs(() => ({
        topicId,
        partition: reader.int32(),
        ranges: reader.structs(() => ({
          first: reader.int64(),
          last: reader.int64(),
          types: reader.array(() => reader.int8())
        }))
      }))
    })
    .flat()

const readHead = (reader: ProtocolReader) => ({
  groupId: reader.nullableString() ?? '',
  memberId: reader.nullableString() ?? '',
  epoch: reader.int32()
})

const targetsOf = ({ partitions }: SessionRequest, { topics }: ServedCluster): FaultTarget[] =>
  partitions.map(({ topicId, partition }) => ({ topic: topics.byId(topicId)?.name ?? topicId, partition }))

const shareFetch = defineApi<ShareFetchRequest>({
  key: 78,
  name: 'ShareFetch',
  minVersion: 1,
  maxVersion: 2,
  flexibleFrom: 0,
  read(reader, version) {
    const head = readHead(reader)
    const limits = {
      maxWaitMs: reader.int32(),
      minBytes: reader.int32(),
      maxBytes: reader.int32(),
      maxRecords: reader.int32()
    }
    reader.int32()
    const isExact = version >= EXACT_SINCE && reader.int8() === EXACT
    const isRenew = version >= EXACT_SINCE && reader.boolean()
    const partitions = readPartitions(reader)
    const forgotten = reader.structs(() => {
      const topicId = reader.uuid()
      return reader.array(() => ({ topicId, partition: reader.int32() }))
    })
    return { ...head, ...limits, isExact, isRenew, partitions, forgotten: forgotten.flat() }
  },
  targets: targetsOf,
  answer(request, call) {
    const session = sessionOf(request, call, true)
    if (typeof session === 'number') return writeRefusal(call, session)
    if (request.epoch === ENDS) {
      const acknowledged = acknowledge(request, call)
      call.cluster.shareGroups.sessions.end(session)
      return writeFetched(call, session, acknowledged, [])
    }
    const waiting = waitForRecords(request, session, call)
    // Brokers store acknowledgements meanwhile, so what a fetch releases comes with the next one.
    const fetched = waiting === undefined ? acquire(request, session, call) : []
    const acknowledged = acknowledge(request, call)
    if (waiting === undefined) return writeFetched(call, session, acknowledged, fetched)
    return waiting.then(() => {
      const isInterrupted = session.isOver || session.epoch !== nextEpochOf(request.epoch)
      if (isInterrupted) writeRefusal(call, errorCodes.INVALID_SHARE_SESSION_EPOCH)
      else writeFetched(call, session, acknowledged, acquire(request, session, call))
    })
  }
})

/** The session of a request, or the error code when it has none. Its epoch moves on. */
function sessionOf(request: SessionRequest, call: Call, mayOpen: boolean): ServedSession | number {
  const { groupId, memberId, epoch, partitions } = request
  const { cluster, nodeId, peer, faults } = call
  const { sessions } = cluster.shareGroups
  const injected = faults.before()
  if (injected) return injected
  const {
    forgotten = [],
    maxRecords = 0,
    minBytes = 0,
    maxBytes = 0,
    maxWaitMs = 0
  } = request as Partial<ShareFetchRequest>
  const isFetching = [maxRecords, minBytes, maxBytes, maxWaitMs].some(limit => limit !== 0)
  if (request.isRenew && isFetching) return errorCodes.INVALID_REQUEST
  let session = sessions.get(nodeId, groupId, memberId)
  if (epoch === OPENS) {
    if (!mayOpen) return errorCodes.INVALID_SHARE_SESSION_EPOCH
    if (partitions.some(({ ranges }) => ranges.length > 0)) return errorCodes.INVALID_REQUEST
    session = sessions.begin(nodeId, groupId, memberId, peer)
    if (session === undefined) return errorCodes.SHARE_SESSION_LIMIT_REACHED
  } else if (session === undefined) return errorCodes.SHARE_SESSION_NOT_FOUND
  else if (epoch !== ENDS) {
    if (epoch !== session.epoch) return errorCodes.INVALID_SHARE_SESSION_EPOCH
    session.epoch = nextEpochOf(epoch)
  }
  session.interrupt?.()
  const hasCapacity = !mayOpen || sessions.update(session, partitions, forgotten)
  return hasCapacity ? session : errorCodes.SHARE_SESSION_LIMIT_REACHED
}

/** A partition at its leader, or why its records cannot be acquired or acknowledged. */
interface LookedPartition {
  readonly errorCode: number
  readonly partition: StoredPartition | undefined
  readonly share: SharePartition | undefined
}

function look(
  { groupId }: SessionRequest,
  { topicId, partition: index }: TopicIdPartition,
  call: Call
): LookedPartition {
  const { cluster, nodeId, faults } = call
  const topic = cluster.topics.byId(topicId)
  const partition = topic?.partitions[index]
  const refused = (errorCode: number): LookedPartition => ({ errorCode, partition, share: undefined })
  const injected = faults.before(topic?.name, index)
  if (injected) return refused(injected)
  if (topic === undefined || partition === undefined) return refused(errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
  if (partition.leaderId !== nodeId) return refused(errorCodes.NOT_LEADER_OR_FOLLOWER)
  const share = cluster.shareGroups.get(groupId)?.open(topic, partition)
  if (share === 'notAvailable') return refused(errorCodes.OFFSET_NOT_AVAILABLE)
  return share ? { errorCode: errorCodes.NONE, partition, share } : refused(errorCodes.UNKNOWN_SERVER_ERROR)
}

interface Acknowledged extends TopicIdPartition {
  readonly refusal: Refusal
}

/** Each partition by itself. A list with one wrong range changes nothing. */
function acknowledge(request: SessionRequest, call: Call): Acknowledged[] {
  const { memberId, isRenew, partitions } = request
  return partitions
    .filter(({ ranges }) => ranges.length > 0)
    .map(({ ranges, ...place }) => {
      const { errorCode, share } = look(request, place, call)
      if (share === undefined) return { ...place, refusal: { errorCode: ofAcknowledgement(errorCode), message: null } }
      const malformed = malformedIn(ranges, isRenew)
      const refusal = malformed ? { errorCode: errorCodes.INVALID_REQUEST, message: null } : undefined
      const done = refusal ?? share.acknowledge(memberId, ranges)
      const after = call.faults.after(call.cluster.topics.byId(place.topicId)?.name, place.partition)
      return { ...place, refusal: after ? { errorCode: after, message: null } : done }
    })
}

/** Another leader is answered to a fetch; an acknowledgement is told that nothing is known. */
const ofAcknowledgement = (errorCode: number): number =>
  errorCode === errorCodes.NOT_LEADER_OR_FOLLOWER ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION : errorCode

function malformedIn(ranges: readonly AcknowledgedRange[], isRenew: boolean): boolean {
  let before = -1
  for (const { first, last, types } of ranges) {
    const isWhole = types.length === 1 || types.length === last - first + 1
    if (first <= before || last < first || !isWhole) return true
    if (types.some(type => type < 0 || type > RENEW || (type === RENEW && !isRenew))) return true
    before = last
  }
  return false
}

const endOf = (share: SharePartition, { log }: StoredPartition, isReadCommitted: boolean): number =>
  share.canAcquire ? (isReadCommitted ? log.lastStableOffset : log.highWatermark) : 0

/** Resolves when a record can be acquired, a partition has an error to tell, another request comes, or the time is over. */
function waitForRecords(request: ShareFetchRequest, session: ServedSession, call: Call): Promise<void> | undefined {
  const { groupId, maxWaitMs, minBytes, maxRecords } = request
  if (maxWaitMs <= 0 || maxRecords <= 0 || session.partitions.size === 0) return undefined
  const { isReadCommitted } = call.cluster.shareGroups.settingsOf(groupId)
  const places = [...session.partitions.values()]
  const bytesIn = (place: TopicIdPartition): number => {
    const { share, partition } = look(request, place, call)
    if (share === undefined) return Number.POSITIVE_INFINITY
    const end = endOf(share, partition!, isReadCommitted)
    return partition!.log.readableBytes(share.nextOffset, end, minBytes)
  }
  const isReady = (): boolean => {
    const bytes = places.reduce((sum, place) => sum + bytesIn(place), 0)
    return bytes > 0 && bytes >= minBytes
  }
  if (isReady()) return undefined
  return new Promise(resolve => {
    const settle = (): void => {
      clearTimeout(timer)
      session.interrupt = undefined
      for (const forget of watches) forget()
      resolve()
    }
    const wake = (): void => {
      if (isReady()) settle()
    }
    const timer = setTimeout(settle, maxWaitMs)
    const watches = places.flatMap(place => {
      const { share, partition } = look(request, place, call)
      return share ? [share.watch(wake), partition!.log.watch(wake)] : []
    })
    session.interrupt = settle
  })
}

interface FetchedPartition extends TopicIdPartition {
  readonly errorCode: number
  readonly leader: StoredPartition | undefined
  readonly records: Buffer
  readonly acquired: readonly AcquiredRange[]
}

/** The partitions take turns. An exact fetch acquires from one of them. */
function acquire(request: ShareFetchRequest, session: ServedSession, call: Call): FetchedPartition[] {
  const fetched: FetchedPartition[] = []
  let left = request.maxRecords
  let leftBytes = Math.min(request.maxBytes, LARGEST_ANSWER_BYTES)
  for (const [key, place] of [...session.partitions]) {
    const { errorCode, partition, share } = look(request, place, call)
    if (share === undefined) {
      fetched.push({ ...place, errorCode, leader: partition, records: NOTHING, acquired: [] })
      continue
    }
    if (left <= 0) continue
    const got = acquireIn(request, share, partition!, leftBytes, left, call)
    if (got.acquired.length === 0) continue
    fetched.push({ ...place, errorCode: errorCodes.NONE, leader: partition, ...got })
    leftBytes = Math.max(1, leftBytes - got.records.length)
    for (const { first, last } of got.acquired) left -= last - first + 1
    if (request.isExact) left = 0
    session.partitions.delete(key)
    session.partitions.set(key, place)
  }
  return fetched
}

/** Acquires of the batches that fit, of which the first one always does. */
function acquireIn(
  { groupId, memberId, isExact }: ShareFetchRequest,
  share: SharePartition,
  { log }: StoredPartition,
  maxBytes: number,
  maxRecords: number,
  { cluster }: Call
): Pick<FetchedPartition, 'records' | 'acquired'> {
  const { isReadCommitted } = cluster.shareGroups.settingsOf(groupId)
  const end = isReadCommitted ? log.lastStableOffset : log.highWatermark
  const nothing = { records: NOTHING, acquired: [] }
  if (!share.canAcquire || share.nextOffset >= end) return nothing
  const read = log.read(share.nextOffset, maxBytes, true, end)
  const batches = splitBatches(read).batches.map(bytes => new BatchView(bytes))
  const isFresh = share.nextOffset === share.endOffset
  if (isFresh) share.skipTo(batches[0]?.baseOffset ?? end)
  if (batches.length === 0) return nothing
  const acquired = share.acquire(memberId, {
    maxRecords,
    lastOffset: Math.min(end - 1, batches.at(-1)!.lastOffset),
    endOfBatch: isExact ? undefined : offset => batches.find(batch => batch.lastOffset >= offset)?.lastOffset ?? offset,
    hidden: isReadCommitted ? abortedIn(log, batches) : []
  })
  const overlaps = ({ baseOffset, lastOffset }: BatchView): boolean =>
    acquired.some(({ first, last }) => first <= lastOffset && last >= baseOffset)
  return { records: Buffer.concat(batches.filter(overlaps).map(({ bytes }) => bytes)), acquired }
}

/** The batches of aborted transactions. */
function abortedIn({ transactions }: StoredPartition['log'], batches: readonly BatchView[]): OffsetRange[] {
  const aborted = transactions.abortedIn(batches[0]!.baseOffset, batches.at(-1)!.lastOffset + 1)
  const isAborted = ({ isControl, isTransactional, producerId, baseOffset, lastOffset }: BatchView): boolean =>
    isTransactional &&
    !isControl &&
    aborted.some(one => one.producerId === producerId && one.firstOffset <= baseOffset && one.lastOffset >= lastOffset)
  return batches.filter(isAborted).map(({ baseOffset, lastOffset }) => ({ first: baseOffset, last: lastOffset }))
}

function writeRefusal({ response, version }: Call, errorCode: number, isFetch = true): void {
  response.int32(0).int16(errorCode).nullableString(null)
  if (isFetch || version >= EXACT_SINCE) response.int32(0)
  response.structs([], () => {}).structs([], () => {})
}

function writeLeader({ response }: Call, partition: StoredPartition | undefined): void {
  response.int32(partition?.leaderId ?? -1).int32(partition?.leaderEpoch ?? -1)
  response.tags()
}

function writeFetched(
  call: Call,
  session: ServedSession,
  acknowledged: readonly Acknowledged[],
  fetched: readonly FetchedPartition[]
): void {
  const { response, cluster, faults } = call
  const told = new Map(acknowledged.map(one => [keyOf(one), one.refusal]))
  const inFetched = new Set(fetched.map(keyOf))
  const others = acknowledged
    .filter(one => !inFetched.has(keyOf(one)))
    .map(({ topicId, partition }): FetchedPartition => {
      return { topicId, partition, errorCode: errorCodes.NONE, leader: undefined, records: NOTHING, acquired: [] }
    })
  response.int32(0).int16(faults.after()).nullableString(null)
  response.int32(cluster.shareGroups.settingsOf(session.groupId).lockMs)
  response.structs([...groupBy([...fetched, ...others], ({ topicId }) => topicId)], ([topicId, partitions]) => {
    response.uuid(topicId)
    response.structs(partitions, one => {
      const { errorCode, message } = told.get(keyOf(one)) ?? { errorCode: errorCodes.NONE, message: null }
      response.int32(one.partition).int16(one.errorCode).nullableString(null)
      response.int16(errorCode).nullableString(message)
      writeLeader(call, one.errorCode ? one.leader : undefined)
      response.bytes(one.records)
      response.structs(one.acquired, ({ first, last, deliveryCount }) =>
        response.int64(first).int64(last).int16(deliveryCount)
      )
    })
  })
  response.structs([], () => {})
}

const shareAcknowledge = defineApi<SessionRequest>({
  key: 79,
  name: 'ShareAcknowledge',
  minVersion: 1,
  maxVersion: 2,
  flexibleFrom: 0,
  read(reader, version) {
    const head = readHead(reader)
    const isRenew = version >= EXACT_SINCE && reader.boolean()
    return { ...head, isRenew, partitions: readPartitions(reader) }
  },
  targets: targetsOf,
  answer(request, call) {
    const { response, cluster, version, faults } = call
    const session = sessionOf(request, call, false)
    if (typeof session === 'number') return writeRefusal(call, session, false)
    const isUnknown = ({ topicId, partition }: TopicIdPartition): boolean =>
      cluster.topics.byId(topicId)?.partitions[partition] === undefined
    // The epoch has moved on all the same.
    if (request.partitions.some(isUnknown)) return writeRefusal(call, errorCodes.UNKNOWN_SERVER_ERROR, false)
    const acknowledged = acknowledge(request, call)
    if (request.epoch === ENDS) cluster.shareGroups.sessions.end(session)
    response.int32(0).int16(faults.after()).nullableString(null)
    if (version >= EXACT_SINCE) response.int32(cluster.shareGroups.settingsOf(request.groupId).lockMs)
    response.structs([...groupBy(acknowledged, ({ topicId }) => topicId)], ([topicId, partitions]) => {
      response.uuid(topicId)
      response.structs(partitions, ({ partition, refusal }) => {
        response.int32(partition).int16(refusal.errorCode).nullableString(refusal.message)
        writeLeader(call, undefined)
      })
    })
    response.structs([], () => {})
  }
})

export const shareSessionApis: readonly ServedApi[] = [shareFetch, shareAcknowledge]
