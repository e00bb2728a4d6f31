import type { Content } from '../content.js'
import type { ProduceMode } from '../routes.js'

const MODES: ReadonlySet<unknown> = new Set<ProduceMode>(['async', 'sync', 'batchAsync', 'batchSync'])
const MAX_ERROR_LENGTH = 1_000

/** What a hook wants produced; `contents: undefined` means the body as it came. */
export interface HookProduce {
  readonly topic: string | undefined
  readonly mode: ProduceMode | undefined
  readonly contents: readonly Content[] | undefined
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
 * @throws whatever a getter or `toJSON` throws
 */
export function readDecision(decision: unknown): Decided {
  if (typeof decision !== 'object' || decision === null) return reject('unexp')
  if (Array.isArray(decision)) return reject(decision.length === 0 ? 'empty' : 'unexp')
  const own = ownOf(decision)
  if ('error' in own) {
    const { error } = own
    return typeof error === 'string' ? { type: 'reject', message: error.slice(0, MAX_ERROR_LENGTH) } : reject('unknown')
  }
  if ('status' in own) return readReply(own)
  const produce = readProduce(own.produce)
  if (produce === undefined) return reject('unexp')
  return produce.contents?.length === 0 ? reject('empty') : { type: 'produce', produce }
}

/** Inherited properties do not count: other code in the process may have changed `Object.prototype`. */
const ownOf = (object: object): Record<string, unknown> => Object.assign(Object.create(null), object)

function readReply({ status, body, produce }: Record<string, unknown>): Decided {
  const text =
    body instanceof Uint8Array ? Buffer.from(body).toString() : typeof body === 'string' ? body : JSON.stringify(body)
  const read = readProduce(produce)
  if (status !== 200 || text === undefined || (produce !== undefined && read === undefined)) return reject('unexp')
  return { type: 'reply', body: text, produce: read }
}

function readProduce(produce: unknown): HookProduce | undefined {
  if (typeof produce !== 'object' || produce === null) return undefined
  const { topic, mode, data } = ownOf(produce)
  if (topic !== undefined && typeof topic !== 'string') return undefined
  if (mode !== undefined && !MODES.has(mode)) return undefined
  const contents = data === undefined ? undefined : readRecords(data)
  if (data !== undefined && contents === undefined) return undefined
  return { topic, mode: mode as ProduceMode | undefined, contents }
}

/** Reads one record or a list of records; `undefined`: one of them is none. */
export function readRecords(data: unknown): readonly Content[] | undefined {
  const contents: Content[] = []
  for (const one of Array.isArray(data) ? data : [data]) {
    const content = readRecord(one)
    if (content === undefined) return undefined
    contents.push(content)
  }
  return contents
}

function readRecord(record: unknown): Content | undefined {
  if (record === null) return undefined
  const alone = toBytes(record)
  if (alone !== undefined) return { key: null, value: alone }
  if (typeof record !== 'object') return undefined
  const own = ownOf(record)
  const key = toBytes(own.key)
  const value = toBytes(own.value)
  return key === undefined || value === undefined ? undefined : { key, value }
}

/** Views of bytes are not copied: the gateway does that. `undefined`: neither text, bytes nor `null`. */
function toBytes(value: unknown): Content['key'] | undefined {
  if (value === null || typeof value === 'string' || value instanceof Buffer) return value
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.length) : undefined
}
