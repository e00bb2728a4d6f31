import type { ProduceMode } from '../routes.js'
import { countRecords, type Decided, type HookProduce, packRecords, type Spare } from './hook-messages.js'
import type { KafboyKeyedRecord } from './hooks.js'

const MODES: ReadonlySet<unknown> = new Set<ProduceMode>(['async', 'sync', 'batchAsync', 'batchSync'])
const MAX_ERROR_LENGTH = 1_000

/** The messages are the original's. */
const reject = (message: 'empty' | 'unexp' | 'unknown'): Decided => ({ type: 'reject', message })

/**
 * Checks a decision of `editJson`, since hooks may be written without types. Reads each property once, and copies the
 * records, so that the hook cannot change them afterwards.
 *
 * @param spare gives memory for the records. Absent: it is new
 * @throws RangeError when the decision needs more than `maxBytes`, and whatever a getter or `toJSON` throws
 */
export function readDecision(decision: unknown, maxBytes: number, spare?: Spare): Decided {
  if (typeof decision !== 'object' || decision === null) return reject('unexp')
  if (Array.isArray(decision)) return reject(decision.length === 0 ? 'empty' : 'unexp')
  const own = ownOf(decision)
  if ('error' in own) return readError(own.error)
  if ('status' in own) return readReply(own, maxBytes, spare)
  const produce = readProduce(own.produce, maxBytes, spare)
  if (produce === undefined) return reject('unexp')
  return isEmpty(produce) ? reject('empty') : { type: 'produce', produce }
}

/** Inherited properties do not count: other code in the thread may have changed `Object.prototype`. */
const ownOf = (object: object): Record<string, unknown> => Object.assign(Object.create(null), object)

const readError = (error: unknown): Decided =>
  typeof error === 'string' ? { type: 'reject', message: error.slice(0, MAX_ERROR_LENGTH) } : reject('unknown')

function readReply(
  { status, body, produce }: Record<string, unknown>,
  maxBytes: number,
  spare: Spare | undefined
): Decided {
  const text =
    body instanceof Uint8Array ? Buffer.from(body).toString() : typeof body === 'string' ? body : JSON.stringify(body)
  if (status !== 200 || text === undefined) return reject('unexp')
  const maxRecordBytes = maxBytes - Buffer.byteLength(text)
  if (maxRecordBytes < 0) throw new RangeError(`the answer needs more than ${maxBytes} bytes`)
  const read = produce === undefined ? undefined : readProduce(produce, maxRecordBytes, spare)
  if (produce !== undefined && read === undefined) return reject('unexp')
  return { type: 'reply', body: text, produce: read && isEmpty(read) ? undefined : read }
}

const isEmpty = ({ records }: HookProduce): boolean => records !== undefined && countRecords(records) === 0

function readProduce(produce: unknown, maxBytes: number, spare: Spare | undefined): HookProduce | undefined {
  if (typeof produce !== 'object' || produce === null) return undefined
  const { topic, mode, data } = ownOf(produce)
  if (topic !== undefined && typeof topic !== 'string') return undefined
  if (mode !== undefined && !MODES.has(mode)) return undefined
  const records = data === undefined ? undefined : readRecords(data)
  if (data !== undefined && records === undefined) return undefined
  return {
    topic,
    mode: mode as ProduceMode | undefined,
    records: records && packRecords(records, maxBytes, spare),
    isKeyed: records?.some(({ key }) => key !== null) ?? false
  }
}

/** Reads one record or a list of records; `undefined`: one of them is none. */
export function readRecords(data: unknown): readonly KafboyKeyedRecord[] | undefined {
  const records: KafboyKeyedRecord[] = []
  for (const one of Array.isArray(data) ? data : [data]) {
    const record = readRecord(one)
    if (record === undefined) return undefined
    records.push(record)
  }
  return records
}

function readRecord(record: unknown): KafboyKeyedRecord | undefined {
  if (isBytes(record)) return { key: null, value: record }
  if (typeof record !== 'object' || record === null) return undefined
  const { key, value } = ownOf(record)
  return isBytesOrNull(key) && isBytesOrNull(value) ? { key, value } : undefined
}

const isBytes = (value: unknown): value is string | Uint8Array =>
  typeof value === 'string' || value instanceof Uint8Array

const isBytesOrNull = (value: unknown): value is string | Uint8Array | null => value === null || isBytes(value)
