import { isAscii, isUtf8 } from 'node:buffer'
import { parseForm } from '../content.js'
import { type PackedRecords, type PostedCall, type Spare, unpackRecords } from './hook-messages.js'
import type { KafboyField, KafboyHttpRequest, KafboyRequest } from './hooks.js'

type EditCall = Extract<PostedCall, { readonly type: 'edit' }>

/** The call of a request's hook: what the hook sees, and the memory that the call came in. */
export class EditedCall {
  readonly request: KafboyRequest
  readonly #head: string
  readonly #records: PackedRecords
  readonly #bytes: Buffer
  /** Bytes that were given away can be made of it again. */
  #text: string | undefined
  #rawBody: Uint8Array | undefined
  #isGivenAway = false
  #req: KafboyHttpRequest | undefined

  private constructor({ topic, mode, head, records }: EditCall, bytes: Buffer, { body, json, text }: BodyContent) {
    this.#head = head
    this.#records = records
    this.#bytes = bytes
    this.#text = text
    this.request = withLazy({ type: 'post', topic, mode, body, json }, this)
  }

  /** `undefined`: the body is not of its type. */
  static of(call: EditCall): EditedCall | undefined {
    const bytes = unpackRecords(call.records)[0]!.value!
    const content = call.isJson ? readJson(bytes) : readForm(bytes)
    return content && new EditedCall(call, bytes, content)
  }

  get rawBody(): Uint8Array {
    return (this.#rawBody ??= this.#isGivenAway ? Buffer.from(this.#text!) : this.#bytes)
  }

  get req(): KafboyHttpRequest {
    return (this.#req ??= readHead(this.#head))
  }

  /** Gives the memory of the call away, unless the hook has the bytes in it, or decides later. */
  readonly spare: Spare = () => {
    if (this.#rawBody !== undefined || this.#text === undefined) return undefined
    this.#isGivenAway = true
    return this.#records
  }

  /** The text of the body is not kept for a hook that decides later. */
  decidesLater(): void {
    this.#text = undefined
  }
}

const CALL = Symbol('call')

interface OfCall {
  readonly [CALL]: EditedCall
}

/**
 * Most hooks do not look at these two. All requests share the getters: getters of its own would give each request a hidden
 * class of its own, which holds the text of its body until V8 collects its old space.
 */
const lazy = {
  rawBody: {
    get(this: OfCall) {
      return this[CALL].rawBody
    },
    enumerable: true,
    configurable: true
  },
  req: {
    get(this: OfCall) {
      return this[CALL].req
    },
    enumerable: true,
    configurable: true
  }
} as const

function withLazy(request: Omit<KafboyRequest, keyof typeof lazy>, call: EditedCall): KafboyRequest {
  Object.defineProperty(request, CALL, { value: call })
  return Object.defineProperties(request, lazy) as KafboyRequest
}

interface BodyContent extends Pick<KafboyRequest, 'body' | 'json'> {
  /** The text of the whole body, where it was needed. */
  readonly text?: string
}

function readJson(bytes: Buffer): BodyContent | undefined {
  if (bytes.length === 0) return { body: [], json: undefined }
  // Latin-1 needs no check, and is copied.
  const text = isAscii(bytes) ? bytes.toString('latin1') : isUtf8(bytes) ? bytes.toString() : undefined
  if (text === undefined) return undefined
  try {
    const json: unknown = JSON.parse(text)
    const isObject = typeof json === 'object' && json !== null && !Array.isArray(json)
    return { body: isObject ? Object.entries(json) : [], json, text }
  } catch {
    return undefined
  }
}

function readForm(bytes: Buffer): BodyContent | undefined {
  const body: KafboyField[] = []
  const fields = parseForm(bytes)
  if (fields === undefined) return undefined
  for (const { name, value } of fields) {
    if (!isUtf8(name) || (value !== true && !isUtf8(value))) return undefined
    body.push([name.toString(), value === true ? true : value.toString()])
  }
  return { body, json: undefined }
}

/** A header cannot contain the end of a line. */
function readHead(head: string): KafboyHttpRequest {
  const [requestId = '', method = '', url = '', remoteAddress = '', ...rawHeaders] = head.split('\n')
  const headers: Record<string, string | undefined> = Object.create(null)
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase()
    const before = headers[name]
    headers[name] = before === undefined ? rawHeaders[at + 1] : `${before}, ${rawHeaders[at + 1]}`
  }
  return { requestId, method, url, headers, remoteAddress }
}
