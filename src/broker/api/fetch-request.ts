import type { ProtocolReader } from '../protocol/reader.js'
import type { ByTopic } from './api.js'

/** The session epoch of a request that neither belongs to a fetch session nor opens one. */
export const NO_SESSION = -1
/** From this version on topics are named by their ids. */
export const TOPIC_IDS_SINCE = 13

export interface FetchPartition {
  readonly partition: number
  readonly currentLeaderEpoch: number
  readonly fetchOffset: number
  readonly maxBytes: number
}
/** A topic asked for by its id has its name once it is known here; until then it is called by its id. */
export interface FetchTopic extends ByTopic<FetchPartition> {
  /** Undefined: it was asked for by name. */
  readonly topicId: string | undefined
}
export interface FetchRequest {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isReadCommitted: boolean
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly topics: readonly FetchTopic[]
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
  if (version >= 7) skipForgotten(reader, byId)
  if (version >= 11) reader.nullableString()
  return { maxWaitMs, minBytes, maxBytes, isReadCommitted, sessionId, sessionEpoch, topics }
}

/** Sessions are never created, so there is nothing to forget. */
function skipForgotten(reader: ProtocolReader, byId: boolean): void {
  reader.structs(() => {
    if (byId) reader.uuid()
    else reader.string()
    reader.array(() => reader.int32())
  })
}
