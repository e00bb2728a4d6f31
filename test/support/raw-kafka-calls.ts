import type { RawKafka } from './raw-kafka.js'

const TRANSACTIONAL = 16

/** Produce v7 to one partition. A transactional batch has a transactional id, if none is given. */
export async function produce(
  client: RawKafka,
  topic: string,
  partition: number,
  records: Buffer | null,
  acks = -1,
  transactionalId = ((records?.[22] ?? 0) & TRANSACTIONAL) === 0 ? null : 'raw'
): Promise<{ errorCode: number; baseOffset: number; logAppendTimeMs: number; logStartOffset: number }> {
  const answer = await client.call(0, 7, body => {
    body.nullableString(transactionalId).int16(acks).int32(1000)
    body.int32(1).string(topic).int32(1).int32(partition).nullableBytes(records)
  })
  answer.int32()
  answer.string()
  answer.int32()
  answer.int32()
  return {
    errorCode: answer.int16(),
    baseOffset: answer.int64(),
    logAppendTimeMs: answer.int64(),
    logStartOffset: answer.int64()
  }
}

export interface FetchOptions {
  readonly version?: number
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly isReadCommitted?: boolean
  readonly sessionId?: number
  readonly sessionEpoch?: number
  /** Partitions of the topic that leave the session. */
  readonly forgotten?: readonly number[]
  readonly leaderEpoch?: number
}

export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly aborted: { producerId: number; firstOffset: number }[]
  readonly records: Buffer
}

/** Fetch of some partitions of one topic: partition and offset. */
export async function fetch(
  client: RawKafka,
  topic: string,
  wanted: readonly (readonly [partition: number, offset: number])[],
  options: FetchOptions = {}
): Promise<{ errorCode: number; sessionId: number; partitions: FetchedPartition[] }> {
  const version = options.version ?? 11
  const answer = await client.call(1, version, body => {
    body
      .int32(-1)
      .int32(options.maxWaitMs ?? 0)
      .int32(options.minBytes ?? 1)
      .int32(options.maxBytes ?? 10_000_000)
    body.int8(options.isReadCommitted ? 1 : 0)
    if (version >= 7) body.int32(options.sessionId ?? 0).int32(options.sessionEpoch ?? -1)
    body.array(wanted.length > 0 ? [topic] : [], () => {
      body.string(topic).array(wanted, ([partition, offset]) => {
        body.int32(partition)
        if (version >= 9) body.int32(options.leaderEpoch ?? -1)
        body.int64(offset)
        if (version >= 5) body.int64(-1)
        body.int32(options.partitionMaxBytes ?? 1_000_000)
      })
    })
    const { forgotten = [] } = options
    if (version >= 7) {
      body.array(forgotten.length > 0 ? [topic] : [], () => {
        body.string(topic).array(forgotten, partition => body.int32(partition))
      })
    }
    if (version >= 11) body.string('')
  })
  answer.int32()
  const errorCode = version >= 7 ? answer.int16() : 0
  const sessionId = version >= 7 ? answer.int32() : 0
  const partitions = answer.array(() => {
    answer.string()
    return answer.array(() => ({
      partition: answer.int32(),
      errorCode: answer.int16(),
      highWatermark: answer.int64(),
      lastStableOffset: answer.int64(),
      logStartOffset: version >= 5 ? answer.int64() : -1,
      aborted: answer.array(() => ({ producerId: answer.int64(), firstOffset: answer.int64() })),
      preferredReadReplica: version >= 11 ? answer.int32() : -1,
      records: answer.bytes()
    }))
  })
  return { errorCode, sessionId, partitions: partitions.flat() }
}

/** Fetch of one partition. */
export async function fetchOne(
  client: RawKafka,
  topic: string,
  partition: number,
  offset: number,
  options: FetchOptions = {}
): Promise<FetchedPartition> {
  const { partitions } = await fetch(client, topic, [[partition, offset]], options)
  return partitions[0]!
}

export const LATEST = -1
export const EARLIEST = -2

/** ListOffsets v5 of one partition. */
export async function listOffset(
  client: RawKafka,
  topic: string,
  partition: number,
  timestamp: number,
  { isReadCommitted = false, leaderEpoch = -1 } = {}
): Promise<{ errorCode: number; timestamp: number; offset: number; leaderEpoch: number }> {
  const answer = await client.call(2, 5, body => {
    body.int32(-1).int8(isReadCommitted ? 1 : 0)
    body.int32(1).string(topic).int32(1).int32(partition).int32(leaderEpoch).int64(timestamp)
  })
  answer.int32()
  answer.int32()
  answer.string()
  answer.int32()
  answer.int32()
  const errorCode = answer.int16()
  return { errorCode, timestamp: answer.int64(), offset: answer.int64(), leaderEpoch: answer.int32() }
}

export interface TopicAnswer {
  readonly errorCode: number
  readonly topic: string
  readonly partitions: {
    readonly errorCode: number
    readonly partition: number
    readonly leaderId: number
    readonly leaderEpoch: number
    readonly replicas: number[]
    readonly isr: number[]
    readonly offline: number[]
  }[]
}

/** Metadata v7. */
export async function metadata(
  client: RawKafka,
  topics: readonly string[] | null,
  allowAutoTopicCreation = false
): Promise<{ brokers: number[]; clusterId: string | null; controllerId: number; topics: TopicAnswer[] }> {
  const answer = await client.call(3, 7, body => {
    if (topics) body.array(topics, topic => body.string(topic))
    else body.int32(-1)
    body.boolean(allowAutoTopicCreation)
  })
  answer.int32()
  const brokers = answer.array(() => {
    const nodeId = answer.int32()
    answer.string()
    answer.int32()
    answer.nullableString()
    return nodeId
  })
  const clusterId = answer.nullableString()
  const controllerId = answer.int32()
  const ids = () => answer.array(() => answer.int32())
  const described = answer.array(() => {
    const errorCode = answer.int16()
    const topic = answer.string()
    answer.boolean()
    const partitions = answer.array(() => ({
      errorCode: answer.int16(),
      partition: answer.int32(),
      leaderId: answer.int32(),
      leaderEpoch: answer.int32(),
      replicas: ids(),
      isr: ids(),
      offline: ids()
    }))
    return { errorCode, topic, partitions }
  })
  return { brokers, clusterId, controllerId, topics: described }
}

/** InitProducerId v1 without a transaction. */
export async function initProducerId(
  client: RawKafka
): Promise<{ errorCode: number; producerId: number; producerEpoch: number }> {
  const answer = await client.call(22, 1, body => body.nullableString(null).int32(60_000))
  answer.int32()
  return { errorCode: answer.int16(), producerId: answer.int64(), producerEpoch: answer.int16() }
}
