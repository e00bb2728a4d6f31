import type { RawKafka } from './raw-kafka.js'

/** FindCoordinator v2 of a group. */
export async function findCoordinator(
  client: RawKafka,
  groupId: string
): Promise<{ errorCode: number; nodeId: number }> {
  const answer = await client.call(10, 2, body => body.string(groupId).int8(0))
  answer.int32()
  const errorCode = answer.int16()
  answer.nullableString()
  return { errorCode, nodeId: answer.int32() }
}

/** OffsetCommit v5 of partitions of one topic; the error codes in the same order. */
export async function offsetCommit(
  client: RawKafka,
  groupId: string,
  topic: string,
  offsets: readonly (readonly [partition: number, offset: number])[],
  { generationId = -1, memberId = '', metadata = '' } = {}
): Promise<number[]> {
  const answer = await client.call(8, 5, body => {
    body.string(groupId).int32(generationId).string(memberId).int32(1).string(topic)
    body.array(offsets, ([partition, offset]) => body.int32(partition).int64(offset).string(metadata))
  })
  answer.int32()
  return answer
    .array(() => {
      answer.string()
      return answer.array(() => {
        answer.int32()
        return answer.int16()
      })
    })
    .flat()
}

export interface FetchedOffset {
  readonly partition: number
  readonly offset: number
  readonly metadata: string | null
  readonly errorCode: number
}

/** OffsetFetch v4. */
export async function offsetFetch(
  client: RawKafka,
  groupId: string,
  topic: string,
  partitions: readonly number[] | null
): Promise<{ errorCode: number; partitions: FetchedOffset[] }> {
  const answer = await client.call(9, 4, body => {
    body.string(groupId)
    if (partitions)
      body
        .int32(1)
        .string(topic)
        .array(partitions, partition => body.int32(partition))
    else body.int32(-1)
  })
  answer.int32()
  const fetched = answer.array(() => {
    answer.string()
    return answer.array(() => ({
      partition: answer.int32(),
      offset: answer.int64(),
      metadata: answer.nullableString(),
      errorCode: answer.int16()
    }))
  })
  return { partitions: fetched.flat(), errorCode: answer.int16() }
}

/** OffsetFetch v7 of one partition, which requires a stable offset. */
export async function offsetFetchStable(
  client: RawKafka,
  groupId: string,
  topic: string,
  partition: number
): Promise<{ errorCode: number; offset: number }> {
  const answer = await client.callFlexible(9, 7, body => {
    body.string(groupId)
    body.structs([topic], name => body.string(name).array([partition], one => body.int32(one)))
    body.boolean(true)
  })
  answer.int32()
  const [[found]] = answer.structs(() => {
    answer.string()
    return answer.structs(() => {
      answer.int32()
      const offset = answer.int64()
      answer.int32()
      answer.nullableString()
      return { offset, errorCode: answer.int16() }
    })
  }) as [[{ errorCode: number; offset: number }]]
  return found
}

/** JoinGroup v5; with an empty member id the first answer is 79 and an id. The session outlasts a test on a busy machine. */
export async function joinGroup(
  client: RawKafka,
  groupId: string,
  memberId = '',
  { sessionTimeoutMs = 300_000, version = 5 } = {}
): Promise<{ errorCode: number; generationId: number; leaderId: string; memberId: string; members: string[] }> {
  const answer = await client.call(11, version, body => {
    body.string(groupId).int32(sessionTimeoutMs)
    if (version >= 1) body.int32(30_000)
    body.string(memberId)
    if (version >= 5) body.nullableString(null)
    body.string('consumer').int32(1).string('range').bytes(Buffer.from('topics'))
  })
  if (version >= 2) answer.int32()
  const errorCode = answer.int16()
  const generationId = answer.int32()
  answer.string()
  const leaderId = answer.string()
  const joinedAs = answer.string()
  const members = answer.array(() => {
    const id = answer.string()
    if (version >= 5) answer.nullableString()
    answer.bytes()
    return id
  })
  return { errorCode, generationId, leaderId, memberId: joinedAs, members }
}

/** SyncGroup v3. */
export async function syncGroup(
  client: RawKafka,
  groupId: string,
  generationId: number,
  memberId: string,
  assignments: ReadonlyMap<string, string | Buffer> = new Map()
): Promise<{ errorCode: number; assignment: string }> {
  const answer = await client.call(14, 3, body => {
    body.string(groupId).int32(generationId).string(memberId).nullableString(null)
    body.array([...assignments], ([id, assignment]) => body.string(id).bytes(Buffer.from(assignment as string)))
  })
  answer.int32()
  return { errorCode: answer.int16(), assignment: answer.bytes().toString() }
}

/** Joins and syncs as the only member. */
export async function joinAlone(
  client: RawKafka,
  groupId: string
): Promise<{ memberId: string; generationId: number }> {
  const { memberId } = await joinGroup(client, groupId)
  const { generationId } = await joinGroup(client, groupId, memberId)
  await syncGroup(client, groupId, generationId, memberId, new Map([[memberId, 'everything']]))
  return { memberId, generationId }
}
