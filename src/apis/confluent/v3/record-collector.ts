import { DeserializeError, JsonReader } from '../../../core/json/json-reader.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import { type ProduceOrigin, placesOf } from '../../../gateway/produce-origin.js'
import type { RecordProblem } from '../answers.js'
import { BodyError } from '../record-bytes.js'
import { problemOfBody, type RecordAnswers, type Repeated } from './record-answers.js'
import { readSentRecord } from './record-json.js'

/** A record of a request as it was read, or why it cannot be used. */
export type Item = Repeated | RecordProblem

export const isProblem = (item: Item): item is RecordProblem => 'code' in item

/** Records that were read together, in the order of the request. */
export interface Collected {
  readonly items: readonly Item[]
  /** The records without a problem. Their keys and values may be views of the body. */
  readonly records: readonly ProduceRecord[]
  /** Bytes of all items as they were sent, however many pieces they came in. */
  readonly bytes: number
}

/** Reads records one by one. A record that cannot be used has a problem, and the next one is read all the same. */
export class RecordCollector {
  readonly #topic: string
  readonly #maxItems: number
  #items: Item[] = []
  #records: ProduceRecord[] = []
  #bytes = 0
  #isBroken = false

  /** @param maxItems further ones are not read */
  constructor(topic: string, maxItems = Number.POSITIVE_INFINITY) {
    this.#topic = topic
    this.#maxItems = maxItems
  }

  /** True after a record that is not JSON. It is not known where the next record begins, so no more records are read. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** @param bytes one record */
  add(bytes: Buffer): void {
    if (this.#isBroken || this.#items.length >= this.#maxItems) return
    const read = readOrProblem(bytes, this.#topic)
    this.#bytes += bytes.length
    if ('record' in read) {
      this.#records.push(read.record)
      this.#items.push({ key: read.key, value: read.value })
    } else {
      this.#items.push(read)
      this.#isBroken = !isJson(bytes)
    }
  }

  addProblem(problem: RecordProblem): void {
    this.#items.push(problem)
  }

  take(): Collected {
    const collected = { items: this.#items, records: this.#records, bytes: this.#bytes }
    this.#items = []
    this.#records = []
    this.#bytes = 0
    return collected
  }
}

function readOrProblem(bytes: Buffer, topic: string): ReturnType<typeof readSentRecord> | RecordProblem {
  try {
    return readSentRecord(bytes, topic)
  } catch (error) {
    return itemProblemOf(error)
  }
}

function isJson(bytes: Buffer): boolean {
  const reader = new JsonReader(bytes)
  try {
    skipValue(reader)
    return reader.peekToken() < 0
  } catch (error) {
    if (error instanceof DeserializeError) return false
    throw error
  }
}

/** The problem of a record that cannot be read; throws other errors again. */
export function itemProblemOf(error: unknown): RecordProblem {
  if (error instanceof BodyError) return problemOfBody(error)
  if (error instanceof DeserializeError) return { code: 400, message: `the record: ${error.message}` }
  throw error
}

/** Tells the request which of its records are produced: those without a problem. */
export function notePlaces(origin: ProduceOrigin, items: readonly Item[]): ProduceOrigin {
  if (items.some(isProblem)) origin.places = placesOf(items.length, index => isProblem(items[index]!))
  return origin
}

/** The outcome of each item; `undefined`: it had a problem before it was sent. */
export function outcomesByItem(
  items: readonly Item[],
  outcomes: readonly RecordOutcome[]
): (RecordOutcome | undefined)[] {
  let next = 0
  return items.map(item => (isProblem(item) ? undefined : outcomes[next++]!))
}

/** The answers to the items, in their order, each with a line end. */
export function answersTo(items: readonly Item[], outcomes: readonly RecordOutcome[], answers: RecordAnswers): string {
  let text = ''
  let next = 0
  for (const item of items) {
    text += isProblem(item) ? answers.problem(item) : answers.of(outcomes[next++]!, item)
    text += '\r\n'
  }
  return text
}
