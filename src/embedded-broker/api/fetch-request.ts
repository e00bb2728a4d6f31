import type { FetchTopic, ForgottenTopics } from '../fetch-sessions.js'
import type { ProtocolReader } from '../protocol/reader.js'

/** The session epoch of a request that neither belongs to a fetch session nor begins one. It ends the session that it names. */
export const NO_SESSION = -1
/** The session epoch of a request that begins a session. It ends the one that it names. */
export const NEW_SESSION = 0
/** From this version on there are sessions. */
export const SESSIONS_SINCE = 7
/** From this version on topics are named by their ids. */
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
