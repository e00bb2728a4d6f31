import { isAscii, isUtf8 } from 'node:buffer'
import { foreignTexts } from '../core/foreign-texts.js'
import {
  type Codec,
  MAX_JSON_LENGTH,
  MAX_RECORD_BYTES,
  MAX_WORDS_LENGTH,
  Misfit,
  type SchemaSource,
  TooManyBytes,
  TooMuchJson
} from './codec.js'
import type { SchemaFormat } from './registry.js'

/** Reads a schema; the codec has this number from then on. */
export interface OpenCall {
  readonly type: 'open'
  readonly codec: number
  readonly format: SchemaFormat
  readonly source: SchemaSource
  readonly isStrict: boolean
}

/** Encodes JSON, or decodes payloads, one after the other. */
export interface RunCall {
  readonly type: 'encode' | 'decode'
  /** Codec of each item. */
  readonly codecs: readonly number[]
  /** End of each item in `bytes`. */
  readonly ends: readonly number[]
  readonly bytes: Uint8Array
  /** Only for `encode`: the schema id that is written before each payload. */
  readonly ids: readonly number[]
  /** Limit of all results together. */
  readonly maxBytes: number
}

export type CodecCall = OpenCall | RunCall
export type CodecResult = OpenResult | RunResult

/** Why an item has no result. `full`: all results of `encode` together would have more than `maxBytes`. */
export interface ItemFailure {
  readonly type: 'misfit' | 'tooLarge' | 'full' | 'undecodable' | 'defect'
  readonly message: string
  /** Place of a misfit. */
  readonly path?: string
}

/** The results of the first items: `decode` ends where a later result would no longer fit. An item that failed has no bytes. */
export interface RunResult {
  readonly type: 'results'
  readonly ends: readonly number[]
  readonly bytes: Uint8Array
  readonly failures: readonly (readonly [item: number, failure: ItemFailure])[]
}

export type OpenResult =
  | { readonly type: 'opened'; readonly name: string | undefined; readonly heldBytes: number }
  | { readonly type: 'invalid'; readonly message: string }

/** Shared with the thread: the place of the call that it is at, from 1 (0: none), and its number in Linux (0: unknown). */
export const AT_CALL = 0
export const THREAD_ID = 1
export interface CodecThreadData {
  readonly progress: Int32Array
}

/** Message to the thread: calls, and codecs to forget after them. */
export interface ThreadMessage {
  readonly calls: readonly CodecCall[]
  readonly forgotten: readonly number[]
}

/** Message from the thread: results of the first calls, and the time that each took. */
export interface ThreadAnswer {
  readonly results: readonly CodecResult[]
  readonly tookMs: readonly number[]
}

/** Why items failed is told in fewer characters each, once all of them together have so many. */
const MAX_ALL_WORDS = 1024 * 1024
const FEW_WORDS_LENGTH = 100

/** The byte before the id. */
export const SCHEMA_MAGIC = 0
export const ID_END = 5

type CreateCodec = (source: SchemaSource, isStrict: boolean) => Codec

/** Formats that are loaded. An import takes ticks of the event loop, even if Node has its module. */
const loaded = new Map<SchemaFormat, CreateCodec>()

/** Formats are loaded with their first schema. */
export async function load(format: SchemaFormat): Promise<CreateCodec> {
  const create = loaded.get(format) ?? (await loadFormat(format))
  loaded.set(format, create)
  return create
}

async function loadFormat(format: SchemaFormat): Promise<CreateCodec> {
  if (format === 'AVRO') return (await import('./avro.js')).createAvro
  if (format === 'PROTOBUF') return (await import('./protobuf.js')).createProtobuf
  return (await import('./json-schema.js')).createJsonSchema
}

/** JavaScript's own words for a stack that is too deep say nothing of the data. */
const wordsOf = (error: Error): string =>
  error instanceof RangeError && foreignTexts.V8.deepStack.test(error.message)
    ? 'it is nested too deeply'
    : error.message

/** The codecs of a thread, by number. */
export class CodecCore {
  readonly #codecs = new Map<number, Codec>()

  async open(call: OpenCall): Promise<OpenResult> {
    const create = await load(call.format)
    try {
      const codec = create(call.source, call.isStrict)
      this.#codecs.set(call.codec, codec)
      return { type: 'opened', name: codec.name, heldBytes: codec.heldBytes }
    } catch (error) {
      return { type: 'invalid', message: wordsOf(error as Error).slice(0, MAX_WORDS_LENGTH) }
    }
  }

  forget(codec: number): void {
    this.#codecs.delete(codec)
  }

  /** Encodes or decodes: a step for each item, then the result. */
  run(call: RunCall): Run {
    return new Run(this.#codecs, call)
  }
}

/** Work on many items, one step for each. */
export class Run implements Iterable<undefined> {
  readonly #codecs: ReadonlyMap<number, Codec>
  readonly #call: RunCall
  readonly #ends: number[] = []
  readonly #failures: [number, ItemFailure][] = []
  /** Results, in its first `#end` bytes. It grows, since JSON and Avro are seldom much longer than each other. */
  #made: Buffer
  #end = 0
  #words = 0

  constructor(codecs: ReadonlyMap<number, Codec>, call: RunCall) {
    this.#codecs = codecs
    this.#call = call
    this.#made = Buffer.allocUnsafe(call.bytes.length + ID_END * call.codecs.length)
  }

  *[Symbol.iterator](): Iterator<undefined> {
    const { type, codecs, ends, bytes } = this.#call
    const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const isAllAscii = type === 'encode' && isAscii(content)
    for (let item = 0, start = 0; item < codecs.length; start = ends[item++]!) {
      const before = this.#end
      try {
        const codec = this.#codecs.get(codecs[item]!)
        if (codec === undefined) throw new Error('the schema is not read')
        if (type === 'decode') this.#decode(codec, content.subarray(start, ends[item]))
        else this.#encode(codec, this.#call.ids[item]!, jsonIn(content, start, ends[item]!, isAllAscii))
      } catch (error) {
        this.#end = before
        const isFull = this.#isFull(error as Error)
        if (isFull && type === 'decode' && item > 0) return
        this.#failures.push([item, isFull && type === 'encode' ? FULL : this.#brief(failureOf(type, error as Error))])
      }
      this.#ends.push(this.#end)
      yield
    }
  }

  #decode(codec: Codec, payload: Buffer): void {
    this.#add(Buffer.from(codec.decode(payload, Math.min(this.#left, MAX_JSON_LENGTH))))
  }

  #encode(codec: Codec, id: number, json: string): void {
    const payload = codec.encode(json, Math.min(this.#left - ID_END, MAX_RECORD_BYTES))
    this.#reserve(ID_END + payload.length)
    this.#made[this.#end] = SCHEMA_MAGIC
    this.#made.writeUInt32BE(id, this.#end + 1)
    this.#end += ID_END
    this.#add(payload)
  }

  #add(bytes: Buffer): void {
    this.#reserve(bytes.length)
    this.#made.set(bytes, this.#end)
    this.#end += bytes.length
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#made.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#made.length, needed))
    larger.set(this.#made.subarray(0, this.#end))
    this.#made = larger
  }

  get #left(): number {
    return this.#call.maxBytes - this.#end
  }

  #brief({ type, message, path }: ItemFailure): ItemFailure {
    const length = this.#words < MAX_ALL_WORDS ? MAX_WORDS_LENGTH : FEW_WORDS_LENGTH
    const brief = {
      type,
      message: message.slice(0, length),
      ...(path !== undefined && { path: path.slice(0, length) })
    }
    this.#words += brief.message.length + (brief.path?.length ?? 0)
    return brief
  }

  /** Whether what is left of all bytes, and not the limit of one item, was exceeded. */
  #isFull(error: Error): boolean {
    if (error instanceof TooMuchJson) return this.#left < MAX_JSON_LENGTH
    return error instanceof TooManyBytes && this.#left - ID_END < MAX_RECORD_BYTES
  }

  /** Results of the steps until now. */
  get result(): RunResult {
    return { type: 'results', ends: this.#ends, bytes: this.#made.subarray(0, this.#end), failures: this.#failures }
  }
}

const FULL: ItemFailure = { type: 'full', message: 'all have more bytes than they may have together' }

/** The JSON of an item as text. @throws SyntaxError, RangeError */
function jsonIn(content: Buffer, start: number, end: number, isAllAscii: boolean): string {
  if (!isAllAscii && !isUtf8(content.subarray(start, end))) throw new SyntaxError()
  if (end - start > MAX_JSON_LENGTH) throw new RangeError(`its JSON has more than ${MAX_JSON_LENGTH} bytes`)
  return content.toString(isAllAscii ? 'latin1' : 'utf8', start, end)
}

function failureOf(type: RunCall['type'], error: Error): ItemFailure {
  const message = wordsOf(error)
  if (type === 'decode') return { type: 'undecodable', message }
  if (error instanceof RangeError) return { type: 'tooLarge', message }
  if (error instanceof Misfit) return { type: 'misfit', message, path: error.path }
  return error instanceof SyntaxError
    ? { type: 'misfit', message: 'it is not JSON', path: '' }
    : { type: 'defect', message: error.stack ?? message }
}
