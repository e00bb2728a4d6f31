import type { ProduceRecord } from '../../../core/model.js'
import { recordOf } from '../content.js'
import type { ProduceMode } from '../routes.js'

const MODES: ReadonlySet<unknown> = new Set<ProduceMode>(['async', 'sync', 'batchAsync', 'batchSync'])
const MAX_ERROR_LENGTH = 1_000

/** The records that a hook wants produced; `records: undefined` means the body as it came. */
export interface HookProduce {
  readonly topic: string
  readonly mode: ProduceMode | undefined
  readonly records: readonly ProduceRecord[] | undefined
}

/** A checked decision of `editJson`. */
export type Decided =
  | { readonly type: 'produce'; readonly produce: HookProduce }
  | { readonly type: 'reply'; readonly body: string; readonly produce: HookProduce | undefined }
  | { readonly type: 'reject'; readonly message: string }

/** The messages are the original's. */
const reject = (message: 'empty' | 'unexp' | 'unknown'): Decided => ({ type: 'reject', message })

/**
 * Checks a decision of `editJson`, since hooks may be written without types. Reads each property once.
 *
 * @param path the topic in the path
 * @throws whatever a getter or `toJSON` throws
 */
export function readDecision(decision: unknown, path: string): Decided {
  if (typeof decision !== 'object' || decision === null) return reject('unexp')
  if (Array.isArray(decision)) return reject(decision.length === 0 ? 'empty' : 'unexp')
  const own = ownOf(decision)
  if ('error' in own) {
    const { error } = own
    return typeof error === 'string' ? { type: 'reject', message: error.slice(0, MAX_ERROR_LENGTH) } : reject('unknown')
  }
  if ('status' in own) return readReply(own, path)
  const produce = readProduce(own.produce, path)
  if (produce === undefined) return reject('unexp')
  return produce.records?.length === 0 ? reject('empty') : { type: 'produce', produce }
}

/** Inherited properties do not count: other code in the process may have changed `Object.prototype`. */
const ownOf = (object: object): Record<string, unknown> => Object.assign(Object.create(null), object)

function readReply({ status, body, produce }: Record<string, unknown>, path: string): Decided {
  const text =
    body instanceof Uint8Array ? Buffer.from(body).toString() : typeof body === 'string' ? body : JSON.stringify(body)
  const read = readProduce(produce, path)
  if (status !== 200 || text === undefined || (produce !== undefined && read === undefined)) return reject('unexp')
  return { type: 'reply', body: text, produce: read }
}

function readProduce(produce: unknown, path: string): HookProduce | undefined {
  if (typeof produce !== 'object' || produce === null) return undefined
  const { topic = path, mode, data } = ownOf(produce)
  if (typeof topic !== 'string' || (mode !== undefined && !MODES.has(mode))) return undefined
  const records = data === undefined ? undefined : readDecidedRecords(topic, data)
  if (data !== undefined && records === undefined) return undefined
  return { topic, mode: mode as ProduceMode | undefined, records }
}

/** Reads one record or a list of records; `undefined`: one of them is none. */
export function readDecidedRecords(topic: string, data: unknown): readonly ProduceRecord[] | undefined {
  const records: ProduceRecord[] = []
  for (const one of Array.isArray(data) ? data : [data]) {
    if (one === null) return undefined
    const alone = toBytes(one)
    if (alone !== undefined) records.push(recordOf(topic, null, alone))
    else {
      if (typeof one !== 'object') return undefined
      const own = ownOf(one)
      const [key, value] = [toBytes(own.key), toBytes(own.value)]
      if (key === undefined || value === undefined) return undefined
      records.push(recordOf(topic, key, value))
    }
  }
  return records
}

/** Views of bytes are not copied: the gateway does that. `undefined`: neither text, bytes nor `null`. */
function toBytes(value: unknown): ProduceRecord['key'] | undefined {
  if (value === null || typeof value === 'string' || value instanceof Buffer) return value
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : undefined
}
