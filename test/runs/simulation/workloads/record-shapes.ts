import type { ProduceRecord, RecordHeader } from '../../../../src/core/model.js'
import type { Invoked } from '../../../support/history-checker.js'
import type { SeededRandom } from '../../../support/random.js'
import { bytesText, filler, ID_HEADER, valueText } from '../record-text.js'

/** What a record has in the places of key and value. Each can be told by its id. */
type Shape = 'usual' | 'noKey' | 'emptyKey' | 'noValue' | 'emptyValue' | 'onlyKey' | 'onlyHeaders'

const SHAPES: readonly Shape[] = ['noKey', 'emptyKey', 'noValue', 'emptyValue', 'onlyKey', 'onlyHeaders']
/** Of so many records one has another shape than the usual one, one has headers, and one a time of its own. */
const SHAPED_EVERY = 4
const HEADERS_EVERY = 4
const TIMED_EVERY = 5
const LONGEST_AGO_MS = 100_000_000
const EMPTY = Buffer.alloc(0)
/** Empty is not null, and a name may come twice. */
const ODD_HEADERS: readonly RecordHeader[] = [
  { key: 'none', value: null },
  { key: '', value: EMPTY },
  { key: 'none', value: EMPTY }
]

export interface ShapedRecord {
  readonly record: ProduceRecord
  readonly invoked: Invoked
}

/** What a record needs to be made. */
export interface Wanted {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly maxValueBytes: number
}

/** A record of any shape, and what has to be in the log of it. */
export function someRecord({ id, topic, key: usualKey, maxValueBytes }: Wanted, random: SeededRandom): ShapedRecord {
  const shape = random.between(1, SHAPED_EVERY) === 1 ? random.pick(SHAPES) : 'usual'
  const key = keyOf(shape, id, usualKey)
  const value = bytesOfValue(shape, id, () => filler(random.between(0, maxValueBytes), false))
  const needsId = shape === 'noValue' || shape === 'emptyValue' || shape === 'onlyHeaders'
  const hasHeaders = needsId || random.between(1, HEADERS_EVERY) === 1
  const headers = hasHeaders ? [{ key: ID_HEADER, value: Buffer.from(`${id}|`) }, ...ODD_HEADERS] : []
  const isTimed = random.between(1, TIMED_EVERY) === 1
  const timestampMs = isTimed ? Date.now() - random.between(0, LONGEST_AGO_MS) : undefined
  return {
    record: { topic, key, value, headers, timestampMs },
    invoked: {
      id,
      topic,
      key: bytesText(key),
      value: valueText(bytesText(value), headers),
      timestampMs,
      // Without a key it goes to any partition.
      isUnordered: key === null || key.length === 0
    }
  }
}

function keyOf(shape: Shape, id: string, usualKey: string): Buffer | null {
  if (shape === 'noKey' || shape === 'onlyHeaders') return null
  if (shape === 'emptyKey') return EMPTY
  return Buffer.from(shape === 'onlyKey' ? `${id}|` : usualKey)
}

function bytesOfValue(shape: Shape, id: string, rest: () => string): Buffer | null {
  if (shape === 'noValue' || shape === 'onlyKey') return null
  if (shape === 'emptyValue' || shape === 'onlyHeaders') return EMPTY
  return Buffer.from(`${id}|${rest()}`, 'latin1')
}
