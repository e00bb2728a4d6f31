import type { ProduceMode } from '../routes.js'
import type { KafboyKeyedRecord } from './hooks.js'

/** Records that a hook wants produced, checked. */
export interface DecidedProduce {
  readonly topic: string | undefined
  readonly mode: ProduceMode | undefined
  /** `undefined`: the body as it came. */
  readonly records: readonly KafboyKeyedRecord[] | undefined
  readonly isKeyed: boolean
}

/** What a hook has decided, checked: hooks are written without types, too. */
export type Decided =
  | { readonly type: 'produce'; readonly produce: DecidedProduce }
  | { readonly type: 'reply'; readonly body: string | Uint8Array; readonly produce: DecidedProduce | undefined }
  | { readonly type: 'reject'; readonly message: string }

/** What clients are told when a decision is none. The words are the original's. */
const reject = (message: 'empty' | 'unexp' | 'unknown'): Decided => ({ type: 'reject', message })

const MODES: ReadonlySet<unknown> = new Set<ProduceMode>(['async', 'sync', 'batchAsync', 'batchSync'])
/** More letters of an error are not sent. */
const MAX_ERROR_LETTERS = 1_000

/**
 * Reads a decision, each property once.
 *
 * @throws what a getter or `toJSON` of the decision throws
 */
export function readDecision(decision: unknown): Decided {
  if (typeof decision !== 'object' || decision === null) return reject('unexp')
  if (Array.isArray(decision)) return reject(decision.length === 0 ? 'empty' : 'unexp')
  const own = ownOf(decision)
  if ('error' in own) return readError(own.error)
  if ('status' in own) return readReply(own)
  const produce = readProduce(own.produce)
  if (produce === undefined) return reject('unexp')
  return produce.records?.length === 0 ? reject('empty') : { type: 'produce', produce }
}

/** Only what an object has itself counts: something else in the thread may have changed the prototype of all. */
const ownOf = (object: object): Record<string, unknown> => Object.assign(Object.create(null), object)

const readError = (error: unknown): Decided =>
  typeof error === 'string' ? { type: 'reject', message: error.slice(0, MAX_ERROR_LETTERS) } : reject('unknown')

function readReply({ status, body, produce }: Record<string, unknown>): Decided {
  const text = readBody(body)
  const read = produce === undefined ? undefined : readProduce(produce)
  if (status !== 200 || text === undefined || (produce !== undefined && read === undefined)) return reject('unexp')
  return { type: 'reply', body: text, produce: read?.records?.length === 0 ? undefined : read }
}

const readBody = (body: unknown): string | Uint8Array | undefined =>
  typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)

function readProduce(produce: unknown): DecidedProduce | undefined {
  if (typeof produce !== 'object' || produce === null) return undefined
  const { topic, mode, data } = ownOf(produce)
  if (topic !== undefined && typeof topic !== 'string') return undefined
  if (mode !== undefined && !MODES.has(mode)) return undefined
  const records = data === undefined ? undefined : readRecords(data)
  if (data !== undefined && records === undefined) return undefined
  const isKeyed = records?.some(({ key }) => key !== null) ?? false
  return { topic, mode: mode as ProduceMode | undefined, records, isKeyed }
}

/** One record or a list of them; `undefined` when any is none. */
export function readRecords(data: unknown): readonly KafboyKeyedRecord[] | undefined {
  if (!Array.isArray(data)) {
    const record = readRecord(data)
    return record === undefined ? undefined : [record]
  }
  const records: KafboyKeyedRecord[] = []
  for (const one of data) {
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

/** Bytes that records or the body of an answer take at most on their way to the gateway. */
export function sizeOf(decided: Decided): number {
  if (decided.type === 'reject') return 0
  const body = decided.type === 'reply' ? Buffer.byteLength(decided.body) : 0
  return body + sizeOfRecords(decided.produce?.records ?? [])
}

export function sizeOfRecords(records: readonly KafboyKeyedRecord[]): number {
  let sizeBytes = 0
  for (const { key, value } of records) sizeBytes += lengthOf(key) + lengthOf(value) + RECORD_BYTES
  return sizeBytes
}

/** What a record costs beside its bytes. */
const RECORD_BYTES = 16

/** UTF-16 units of a string: an estimate that costs nothing, and less than a third of what it can become. */
const lengthOf = (bytes: string | Uint8Array | null): number => (bytes === null ? 0 : bytes.length)
