import type { ProduceMode } from '../routes.js'
import type { KafboyEvent, KafboyKeyedRecord } from './hooks.js'

/** All hooks that a module may define. */
export const HOOK_NAMES = ['editJson', 'onError', 'pickPartition', 'massageBuffer', 'onEvent'] as const
export type HookName = (typeof HOOK_NAMES)[number]

/**
 * Records in one piece of memory, which is transferred between the threads without a copy: the number of keys and
 * values, the length of each as 32 bits (-1 for null), then their bytes.
 */
export type PackedRecords = ArrayBuffer

/** A call of a hook. Its records are packed when it is posted. */
export type HookCall = { readonly id: number } & (
  | {
      readonly type: 'edit'
      readonly topic: string
      readonly mode: ProduceMode
      readonly isJson: boolean
      /** Request id, method, URL and address, then names and values of headers, a line each. */
      readonly head: string
    }
  | { readonly type: 'error'; readonly message: string }
  | { readonly type: 'pick'; readonly topic: string; readonly partitionCount: number }
  | { readonly type: 'massage'; readonly topic: string }
  | { readonly type: 'event'; readonly event: KafboyEvent }
  /** The result of a hook's own call to the producer. */
  | { readonly type: 'outcome'; readonly producerCall: number; readonly outcome: unknown }
)
export type PostedCall = HookCall & { readonly records: PackedRecords }

/** Records that a hook wants produced; `records: undefined` means the body as it came. */
export interface HookProduce {
  readonly topic: string | undefined
  readonly mode: ProduceMode | undefined
  readonly records: PackedRecords | undefined
  readonly isKeyed: boolean
}

/** A checked decision of `editJson`. */
export type Decided =
  | { readonly type: 'produce'; readonly produce: HookProduce }
  | { readonly type: 'reply'; readonly body: string; readonly produce: HookProduce | undefined }
  | { readonly type: 'reject'; readonly message: string }

/** Answers a call. Events and outcomes are not answered. */
export type HookAnswer =
  | Decided
  | { readonly type: 'threw'; readonly message: string }
  | { readonly type: 'done' }
  /** Partitions may be {@link ANY_PARTITION} and {@link NO_PARTITION}. */
  | { readonly type: 'picked'; readonly partitions: readonly number[] }
  | { readonly type: 'massaged'; readonly records: PackedRecords }

/** The hook leaves the choice of the partition to the producer. */
export const ANY_PARTITION = -1
/** The hook refuses the record. */
export const NO_PARTITION = -2

/** A message of the hooks' thread to the gateway. */
export type HookReply =
  | (HookAnswer & { readonly id: number })
  | { readonly type: 'twice' }
  /** Something failed outside of any call. */
  | { readonly type: 'stray'; readonly message: string }
  | {
      readonly type: 'ekaf'
      readonly producerCall: number
      readonly topic: string
      readonly mode: 'async' | 'sync' | 'batchAsync'
      readonly records: PackedRecords
    }
  | { readonly type: 'info'; readonly producerCall: number; readonly topic: string }

export type ThreadMessage =
  /** The first message: the module is loaded, or cannot be. */
  | { readonly type: 'ready'; readonly hooks: readonly HookName[] }
  | { readonly type: 'unusable'; readonly message: string }
  /** `endsBatch`: each call of the oldest batch has been begun. */
  | { readonly type: 'replies'; readonly replies: readonly HookReply[]; readonly endsBatch: boolean }

/** Start data of the thread. */
export interface HookThreadData {
  /** URL of the module of hooks. */
  readonly module: string
  readonly maxDecisionBytes: number
  /** One number in shared memory: the id of the call that was begun last. */
  readonly begun: Int32Array
}

/** Memory of a record beside its bytes: keeps a list of a million empty records within the limit, too. */
const RECORD_BYTES = 16

/** Gives memory that may be written over; it is asked once the records cannot change any more. */
export type Spare = () => PackedRecords | undefined

/**
 * @param spare its memory is used if it is large enough
 * @throws RangeError when the records need more than `maxBytes`
 */
export function packRecords(
  records: readonly KafboyKeyedRecord[],
  maxBytes = Number.POSITIVE_INFINITY,
  spare?: Spare
): PackedRecords {
  const lengths: number[] = []
  let sizeBytes = 0
  for (const { key, value } of records) {
    const keyBytes = lengthOf(key)
    const valueBytes = lengthOf(value)
    lengths.push(keyBytes, valueBytes)
    sizeBytes += Math.max(0, keyBytes) + Math.max(0, valueBytes)
    if (sizeBytes + lengths.length * (RECORD_BYTES / 2) > maxBytes) {
      throw new RangeError(`the records need more than ${maxBytes} bytes`)
    }
  }
  const headBytes = (1 + lengths.length) * Int32Array.BYTES_PER_ELEMENT
  const packed = memoryOf(headBytes + sizeBytes, spare?.())
  const head = new Int32Array(packed.buffer, 0, 1 + lengths.length)
  head[0] = lengths.length
  head.set(lengths, 1)
  let at = headBytes
  let index = 0
  for (const { key, value } of records) {
    at = write(packed, at, key, lengths[index++]!)
    at = write(packed, at, value, lengths[index++]!)
  }
  return packed.buffer as ArrayBuffer
}

/** @returns where the next bytes go */
function write(packed: Buffer, at: number, content: string | Uint8Array | null, lengthBytes: number): number {
  if (content === null) return at
  if (typeof content !== 'string') packed.set(content, at)
  // Only ASCII has as many bytes as characters.
  else if (content.length === lengthBytes) packed.write(content, at, 'latin1')
  else packed.write(content, at)
  return at + lengthBytes
}

/** Records and the body that they are made of need about the same: memory of either fits the other. */
const MEMORY_STEP_BYTES = 16 * 1024

function memoryOf(bytes: number, spare: PackedRecords | undefined): Buffer {
  if (spare !== undefined && spare.byteLength >= bytes) return Buffer.from(spare)
  return Buffer.allocUnsafeSlow(bytes < MEMORY_STEP_BYTES ? bytes : bytes + MEMORY_STEP_BYTES)
}

const lengthOf = (content: string | Uint8Array | null): number =>
  content === null ? -1 : typeof content === 'string' ? Buffer.byteLength(content) : content.length

export interface UnpackedRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** False when the records of a reply cannot be unpacked: hooks can reach the port of their thread, and send anything. */
export function hasReadableRecords(reply: HookAnswer): boolean {
  const holder = reply.type === 'produce' || reply.type === 'reply' ? reply.produce : reply
  if (!holder || !('records' in holder) || holder.records === undefined) return reply.type !== 'massaged'
  const { records } = holder
  if (!(records instanceof ArrayBuffer) || records.byteLength < Int32Array.BYTES_PER_ELEMENT) return false
  const count = countRecords(records)
  return Number.isInteger(count) && count >= 0 && records.byteLength >= (1 + 2 * count) * Int32Array.BYTES_PER_ELEMENT
}

export const countRecords = (packed: PackedRecords): number => new Int32Array(packed, 0, 1)[0]! / 2

/** The keys and values are views of the packed bytes. */
export function unpackRecords(packed: PackedRecords): readonly UnpackedRecord[] {
  const lengths = new Int32Array(packed, Int32Array.BYTES_PER_ELEMENT, 2 * countRecords(packed))
  const bytes = Buffer.from(packed)
  let at = lengths.byteOffset + lengths.byteLength
  const next = (length: number): Buffer | null => (length < 0 ? null : bytes.subarray(at, (at += length)))
  const records: UnpackedRecord[] = []
  for (let index = 0; index < lengths.length; index += 2)
    records.push({ key: next(lengths[index]!), value: next(lengths[index + 1]!) })
  return records
}
