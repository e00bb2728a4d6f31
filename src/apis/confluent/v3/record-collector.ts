import { DeserializeError, JsonReader } from '../../../core/json/json-reader.js'
import { skipValue } from '../../../core/json/json-values.js'
import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import { type RefusedRecord, refusedRecord } from '../failures.js'
import { BodyError } from '../record-bytes.js'
import { type RecordAnswers, type Repeated, refusalOfBody } from './record-answers.js'
import { readSentRecord, type Unencoded } from './record-json.js'

/** A record of a request as it was read. */
export interface Item extends Repeated {
  /** Why it cannot be used. */
  readonly refused?: RefusedRecord
  /** What its bytes will be made of. */
  readonly unencoded?: Unencoded
}

/** Records that were read together, in the order of the request. */
export interface Collected {
  readonly items: readonly Item[]
  /** The records that are not refused. Their keys and values may be views of the body. */
  readonly records: readonly ProduceRecord[]
  /** Bytes of all items as they were sent, however many pieces they came in. */
  readonly bytes: number
  /** Some of the records do not have their bytes yet. */
  readonly isUnencoded: boolean
}

/** Reads records one by one. A record that cannot be used is refused, and the next one is read all the same. */
export class RecordCollector {
  readonly #topic: string
  readonly #hasRegistry: boolean
  readonly #maxItems: number
  #items: Item[] = []
  #records: ProduceRecord[] = []
  #bytes = 0
  #isBroken = false
  #isUnencoded = false

  /**
   * @param hasRegistry whether records may have schemas
   * @param maxItems further ones are not read
   */
  constructor(topic: string, hasRegistry: boolean, maxItems = Number.POSITIVE_INFINITY) {
    this.#topic = topic
    this.#hasRegistry = hasRegistry
    this.#maxItems = maxItems
  }

  /** True after a record that is not JSON. It is not known where the next record begins, so no more records are read. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** @param bytes one record */
  add(bytes: Buffer): void {
    if (this.#isBroken || this.#items.length >= this.#maxItems) return
    this.#bytes += bytes.length
    try {
      const { record, key, value, unencoded } = readSentRecord(bytes, this.#topic, this.#hasRegistry)
      this.#records.push(record)
      if (unencoded === undefined) this.#items.push({ key, value })
      else {
        this.#items.push({ key, value, unencoded })
        this.#isUnencoded = true
      }
    } catch (error) {
      this.addRefused(refusalOfItem(error))
      this.#isBroken = !isJson(bytes)
    }
  }

  addRefused(refused: RefusedRecord): void {
    this.#items.push({ refused })
  }

  take(): Collected {
    const collected = { items: this.#items, records: this.#records, bytes: this.#bytes, isUnencoded: this.#isUnencoded }
    this.#isUnencoded = false
    this.#items = []
    this.#records = []
    this.#bytes = 0
    return collected
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

/** The refusal of a record that cannot be read; throws other errors again. */
export function refusalOfItem(error: unknown): RefusedRecord {
  if (error instanceof BodyError) return refusalOfBody(error)
  if (error instanceof DeserializeError) return refusedRecord(400, `the record: ${error.message}`)
  throw error
}

/** The outcomes of all items. @param outcomes of those that are not refused */
export function outcomesOf(items: readonly Item[], outcomes: readonly RecordOutcome[]): readonly RecordOutcome[] {
  let next = 0
  return items.map(({ refused }) => refused ?? outcomes[next++]!)
}

/** The answers to the items, in their order, each with a line end. */
export function answersTo(items: readonly Item[], outcomes: readonly RecordOutcome[], answers: RecordAnswers): string {
  let text = ''
  for (let at = 0; at < items.length; at++) text += `${answers.of(outcomes[at]!, items[at]!)}\r\n`
  return text
}
