import { JsonAhead } from '../../../core/json/json-ahead.js'
import { DeserializeError, JsonReader } from '../../../core/json/json-reader.js'
import { ValueSkipper } from '../../../core/json/json-values.js'
import { costOf, type InPieces, PIECE_COST } from '../../../core/loop-turns.js'
import type { ProduceRecord, RecordOutcome } from '../../../core/model.js'
import { ApiError } from '../../../http/api/api-answers.js'
import { type RefusedRecord, refusedRecord } from '../failures.js'
import { ObjectSplitter, type SplitEnd } from './object-splitter.js'
import { type Repeated, refusalOfBody } from './record-answers.js'
import { type RecordTarget, readNextRecord, readSentRecord, type Unencoded, type V3Record } from './record-json.js'

/** A record of a request as it was read. */
export interface Item extends Repeated {
  /** Why it cannot be used. */
  readonly refused?: RefusedRecord | undefined
  /** Key and value that are still to be encoded with their schemas. */
  readonly unencoded?: Unencoded | undefined
}

/** Records that were read together, in the order of the request. */
export interface Collected {
  readonly items: Item[]
  /** The records that are not refused. Their keys and values may be views of the body. */
  readonly records: ProduceRecord[]
  /** Bytes of all items as they were sent, however many pieces they came in. */
  bytes: number
}

export interface ReaderOptions extends RecordTarget {
  readonly maxRecordBytes: number
  /** Called before each record; false: it is not read, and nothing behind it. Absent: all are read. */
  readonly accepts?: () => boolean
}

/** Whether some of the records do not have their bytes yet. */
export const isUnencoded = ({ items }: Collected): boolean => items.some(({ unencoded }) => unencoded !== undefined)

export const nothing = (): Collected => ({ items: [], records: [], bytes: 0 })

/** Adds what is read: a record, or why it is refused. */
export function collect(collected: Collected, read: () => V3Record): void {
  try {
    add(collected, read())
  } catch (error) {
    collected.items.push({ refused: refusalOfItem(error) })
  }
}

function add({ items, records }: Collected, { record, key, value, unencoded }: V3Record): void {
  records.push(record)
  items.push({ key, value, unencoded })
}

/** Data are inside of the brackets of a record and of its key or value. */
export const DATA_DEPTH = 2
/** Limit of refused records in one body, which is read in one turn: each takes as long as ten records that can be used. */
const MAX_REFUSED = 10_000

/** Records of a whole body. `end`: place and reason of an error that ends the reading; `undefined`: all was read. */
interface WholeBody {
  readonly collected: Collected
  readonly end: SplitEnd | 'notJson' | 'cut' | undefined
  readonly place: string
}

/**
 * Reads a whole body in UTF-8: by one reader up to a record that cannot be used, and then record by record.
 *
 * @param options.maxRecords one more is read, so that there are seen to be too many
 * @param inTurns it yields; absent: it does all at once
 * @throws ApiError where too many cannot be used
 */
export function* readWhole(
  body: Buffer,
  options: Omit<ReaderOptions, 'accepts'> & { readonly maxRecords: number },
  inTurns = false
): InPieces<WholeBody> {
  const { maxRecords } = options
  const collected = nothing()
  const { items, records } = collected
  const reader = new JsonReader(body)
  const ahead = inTurns ? new JsonAhead(reader, body, DATA_DEPTH) : undefined
  try {
    while (reader.isWholeUtf8 && items.length <= maxRecords) {
      if (ahead !== undefined) yield* ahead.between()
      if (reader.peekToken() < 0) return { collected, end: undefined, place: '' }
      if (ahead === undefined) reader.beginRecord()
      else yield* ahead.look()
      const start = reader.index
      const read = readNextRecord(reader, body, options)
      if (reader.index - start > options.maxRecordBytes) break
      add(collected, read)
      collected.bytes = reader.index
    }
  } catch {
    // The refusal, or the bug, shows again when the record is read by itself.
  }
  const accepts = (): boolean => items.length <= maxRecords && items.length - records.length <= MAX_REFUSED
  const others = new RecordReader({ ...options, accepts }, collected)
  others.pass(body.subarray(0, collected.bytes))
  let end: SplitEnd | 'notJson' | undefined
  for (let from = collected.bytes, isOver = false; !isOver; from = others.readBytes) {
    const piece = inTurns ? body.subarray(0, from + PIECE_COST) : body
    const read = others.read(piece, from, inTurns ? PIECE_COST : Number.POSITIVE_INFINITY)
    if (inTurns) yield read.cost
    end = read.end
    isOver = end !== undefined || others.readBytes === body.length || !accepts()
  }
  if (items.length - records.length > MAX_REFUSED)
    throw new ApiError(413, `a request has at most ${MAX_REFUSED} records that cannot be used`)
  return { collected, end: end ?? (others.keptBytes > 0 ? 'cut' : undefined), place: others.place }
}

/** Reads the records of a body, one by one. A record that cannot be used is refused, and the next one is read all the same. */
export class RecordReader extends ObjectSplitter {
  readonly #options: ReaderOptions
  #collected: Collected
  #isBroken = false
  #cost = 0
  #maxCost = 0

  /** @param collected where what is read is added */
  constructor(options: ReaderOptions, collected = nothing()) {
    super(options.maxRecordBytes, bytes => this.#record(bytes))
    this.#options = options
    this.#collected = collected
  }

  /**
   * Reads up to the record with which it reaches this cost.
   *
   * @param piece is not kept, but for views of its bytes in records
   * @returns the cost of what was read, and why nothing more can be read; `notJson`: the last record was refused for it
   */
  read(piece: Buffer, from: number, maxCost: number): { cost: number; end: SplitEnd | 'notJson' | undefined } {
    this.#cost = 0
    this.#maxCost = maxCost
    const end = this.push(piece, from)
    return { cost: Math.max(this.#cost, this.readBytes - from), end: this.#isBroken ? 'notJson' : end }
  }

  take(): Collected {
    const collected = this.#collected
    this.#collected = nothing()
    return collected
  }

  #record(bytes: Buffer): void {
    if (this.#isBroken || this.#options.accepts?.() === false) {
      this.stop()
      return
    }
    const { items } = this.#collected
    this.#collected.bytes += bytes.length
    this.#cost += costOf(bytes.length, 1)
    collect(this.#collected, () => readSentRecord(bytes, this.#options))
    // In this case it is not known where the next record begins.
    this.#isBroken = items.at(-1)!.refused !== undefined && !isJson(bytes)
    if (this.#isBroken || this.#cost >= this.#maxCost) this.stop()
  }
}

/** Whether bytes are one value, in whatever encoding, and however deep: brackets tell where it ends. Nothing is built of it. */
function isJson(bytes: Buffer): boolean {
  const reader = new JsonReader(bytes)
  try {
    const skipper = new ValueSkipper(reader)
    skipper.maxDepth = Number.POSITIVE_INFINITY
    return skipper.skip(Number.POSITIVE_INFINITY) && reader.peekToken() < 0
  } catch (error) {
    if (error instanceof DeserializeError) return false
    throw error
  }
}

/** The refusal of a record that cannot be read; throws other errors again. */
export function refusalOfItem(error: unknown): RefusedRecord {
  if (error instanceof ApiError) return refusalOfBody(error)
  if (error instanceof DeserializeError) return refusedRecord(400, `the record: ${error.message}`)
  throw error
}

/** The outcomes of all items. @param outcomes of those that are not refused */
export function outcomesOf(items: readonly Item[], outcomes: readonly RecordOutcome[]): readonly RecordOutcome[] {
  let next = 0
  return items.map(({ refused }) => refused ?? outcomes[next++]!)
}
