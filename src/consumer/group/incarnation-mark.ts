import type { Offset } from '../../core/model.js'
import { decodeAcks, encodeAcks } from './ack-encoding.js'
import type { OffsetRange } from './offset-ranges.js'

/** What is committed of a partition. */
interface CommittedPosition {
  readonly offset: Offset
  readonly metadata: string
}

/**
 * The incarnation of a topic whose log a committed offset belongs to, kept in the metadata of the commit: as one more
 * acknowledged offset, far beyond the end of any log. So Kafka-Pixy reads the acknowledgements before it as ever, and keeps it.
 *
 *   offset 301, [302..305) acknowledged, mark 2^52 + n   =>   BD + distance to the mark + B
 */
const FIRST_MARK = 2 ** 52
/** Of the 16 bytes of a topic id, which are random. */
const MARK_BYTES = 6

const isMark = ({ from, to }: OffsetRange): boolean =>
  from >= FIRST_MARK && from < FIRST_MARK + 2 ** (8 * MARK_BYTES) && to === from + 1

/** `undefined`: the id is not known, or none of Kafka's. */
export function markOf(topicId: string | undefined): Offset | undefined {
  const id = Buffer.from(topicId ?? '', 'base64url')
  return id.length < MARK_BYTES ? undefined : FIRST_MARK + id.readUIntBE(0, MARK_BYTES)
}

/** The mark in the metadata of a commit; `undefined`: another client has committed, or brokers did not tell the topic id. */
export const markIn = ({ offset, metadata }: CommittedPosition): Offset | undefined =>
  decodeAcks(offset, metadata)?.find(isMark)?.from

/** Adds the mark of a topic to a position that has none. */
export function withMark<Position extends CommittedPosition>(
  position: Position,
  topicId: string | undefined
): Position {
  const mark = markOf(topicId)
  if (mark === undefined) return position
  const last = decodeAcks(position.offset, position.metadata)?.at(-1)?.to ?? position.offset
  return { ...position, metadata: position.metadata + encodeAcks(last, [{ from: mark, to: mark + 1 }]) }
}

/** Whether a position with this mark is in another topic's log; not where that is not known. */
export const isOfAnother = (mark: Offset | undefined, topicId: string | undefined): boolean =>
  mark !== undefined && topicId !== undefined && mark !== markOf(topicId)

/** What the metadata lists as acknowledged, without the mark; `undefined`: it says something else. */
export const acksIn = ({ offset, metadata }: CommittedPosition): readonly OffsetRange[] | undefined =>
  decodeAcks(offset, metadata)?.filter(range => !isMark(range))

/** The position as Kafka-Pixy would have committed it. */
export const withoutMark = (position: CommittedPosition): CommittedPosition =>
  markIn(position) === undefined
    ? position
    : { ...position, metadata: encodeAcks(position.offset, acksIn(position) ?? []) }
