import { ResponseBuilder } from '../support/response-builder.js'

/** The id of the topic in these responses. */
export const SHARED_ID = Buffer.from('0102030405060708090a0b0c0d0e0f10', 'hex')
export const SHARED = SHARED_ID.toString('base64url')

/** A tagged field that a newer broker adds. */
const NEWER = { 7: Buffer.from('new') }
const head = (): ResponseBuilder => new ResponseBuilder().tags().int32(5)
const numbers = (builder: ResponseBuilder, values: readonly number[]) =>
  builder.compactArray(values, value => builder.int32(value))

/** @param partitions `null`: the assignment is as before */
export function shareHeartbeatPayload(partitions: readonly number[] | null): Buffer {
  const builder = head().int16(0).compactString(null).compactString('m').int32(3).int32(5_000)
  if (partitions === null) return builder.int8(-1).tags().payload
  builder.int8(1).compactArray([SHARED_ID], id => numbers(builder.raw(id), partitions).tags())
  return builder.tags().tags(NEWER).payload
}

export function shareGroupPayload(): Buffer {
  const builder = head()
  builder.compactArray(['g', 'gone'], groupId => {
    const isThere = groupId === 'g'
    builder.int16(isThere ? 0 : 69).compactString(isThere ? null : 'Group gone not found.')
    builder
      .compactString(groupId)
      .compactString(isThere ? 'Stable' : 'Dead')
      .int32(3)
      .int32(3)
      .compactString('simple')
    builder.compactArray(isThere ? ['m'] : [], memberId => {
      builder.compactString(memberId).compactString(null).int32(2).compactString('client').compactString('/10.0.0.1')
      builder.compactArray(['orders'], topic => builder.compactString(topic))
      builder.compactArray(['orders'], topic => numbers(builder.raw(SHARED_ID).compactString(topic), [1, 0]).tags())
      builder.tags().tags()
    })
    builder.int32(-(2 ** 31)).tags()
  })
  return builder.tags().payload
}

export const describedShareGroups = {
  throttleTimeMs: 5,
  groups: [
    {
      errorCode: 0,
      errorMessage: null,
      groupId: 'g',
      state: 'Stable',
      assignor: 'simple',
      members: [
        {
          memberId: 'm',
          epoch: 2,
          clientId: 'client',
          clientHost: '/10.0.0.1',
          topics: ['orders'],
          assignment: new Map([['orders', [1, 0]]])
        }
      ]
    },
    {
      errorCode: 69,
      errorMessage: 'Group gone not found.',
      groupId: 'gone',
      state: 'Dead',
      assignor: 'simple',
      members: []
    }
  ]
}

const nodes = (builder: ResponseBuilder) =>
  builder.compactArray([2], id => builder.int32(id).compactString('host2').int32(9092).compactString(null).tags())

/** @param acquired first offset, last offset and delivery count */
export function shareFetchPayload(
  records: Buffer | null,
  acquired: readonly (readonly [number | bigint, number | bigint, number])[]
): Buffer {
  const builder = head().int16(0).compactString(null).int32(30_000)
  builder.compactArray([SHARED_ID], id => {
    builder.raw(id).compactArray([3, 4], partition => {
      const isLed = partition === 3
      builder
        .int32(partition)
        .int16(isLed ? 0 : 6)
        .compactString(isLed ? null : 'moved')
        .int16(isLed ? 121 : 0)
      builder.compactString(isLed ? 'not acquired' : null)
      builder
        .int32(isLed ? -1 : 2)
        .int32(isLed ? -1 : 9)
        .tags(NEWER)
      builder.compactBytes(isLed ? records : null)
      builder.compactArray(isLed ? acquired : [], ([first, last, count]) =>
        builder.int64(first).int64(last).int16(count).tags()
      )
      builder.tags()
    })
    builder.tags()
  })
  return nodes(builder).tags().payload
}

export function shareAcknowledgePayload(version: 1 | 2): Buffer {
  const builder = head().int16(0).compactString(null)
  if (version === 2) builder.int32(15_000)
  builder.compactArray([SHARED_ID], id => {
    builder.raw(id).compactArray([0, 1], partition =>
      builder
        .int32(partition)
        .int16(partition * 121)
        .compactString(partition === 1 ? 'not acquired' : null)
        .int32(-1)
        .int32(-1)
        .tags()
        .tags()
    )
    builder.tags()
  })
  return nodes(builder).tags().payload
}

export function shareOffsetsPayload(version: 0 | 1): Buffer {
  const builder = head()
  builder.compactArray(['g'], groupId => {
    builder.compactString(groupId).compactArray(['orders'], topic => {
      builder.compactString(topic).raw(SHARED_ID)
      builder.compactArray([0, 1], partition => {
        builder
          .int32(partition)
          .int64(partition === 0 ? 40 : -1)
          .int32(9)
        if (version === 1) builder.int64(partition === 0 ? 7 : -1)
        builder
          .int16(partition * 3)
          .compactString(null)
          .tags()
      })
      builder.tags()
    })
    builder.int16(0).compactString(null).tags()
  })
  return builder.tags().payload
}

export const describedShareOffsets = (lag: number) => ({
  throttleTimeMs: 5,
  errorCode: 0,
  errorMessage: null,
  offsets: [
    { topic: 'orders', topicId: SHARED, partition: 0, startOffset: 40, lag, errorCode: 0 },
    { topic: 'orders', topicId: SHARED, partition: 1, startOffset: -1, lag: -1, errorCode: 3 }
  ]
})

/** A part of an answer to a change of offsets: its code, and the message of the broker. */
const codeOfPart = (builder: ResponseBuilder, at: number): ResponseBuilder =>
  builder
    .int16(at * 3)
    .compactString(at === 0 ? null : 'gone')
    .tags()

export function alteredSharePayload(): Buffer {
  const builder = head().int16(0).compactString(null)
  builder.compactArray(['a'], topic => {
    builder.compactString(topic).raw(SHARED_ID)
    builder.compactArray([0, 1], partition => codeOfPart(builder.int32(partition), partition))
    builder.tags()
  })
  return builder.tags().payload
}

export function deletedSharePayload(): Buffer {
  const builder = head().int16(0).compactString(null)
  builder.compactArray(['a', 'b'], topic =>
    codeOfPart(builder.compactString(topic).raw(SHARED_ID), topic === 'a' ? 0 : 1)
  )
  return builder.tags().payload
}
