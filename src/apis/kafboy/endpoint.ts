import type { IncomingMessage } from 'node:http'
import { type CastellanError, OverloadedError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import { persistedText } from '../../gateway/persisted.js'
import type { Access } from '../../http/access/access.js'
import { collectBody } from '../../http/exchange/body-collector.js'
import { BufferPool } from '../../http/exchange/buffer-pool.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { sentUrlOf } from '../../http/exchange/sent-url.js'
import { contentsOf, isJsonType, type PayloadMode } from './content.js'
import type { Editor } from './editor.js'
import type { ProduceRequest, Refused } from './produce-request.js'
import type { Producing } from './producing.js'
import type { Replies } from './replies.js'

/** Memory kept for putting bodies together again while none are. */
const POOL_BYTES = 4 * 1024 * 1024

export interface EndpointParts {
  readonly access: Access
  readonly replies: Replies
  readonly producing: Producing
  /** Absent: there are no hooks. */
  readonly editor: Editor | undefined
  readonly log: Logger
}

/** The produce routes: reads the body, asks the hook, produces, answers. It writes to Node's response. */
export class Endpoint {
  readonly #parts: EndpointParts
  readonly #maxBodyBytes: number
  readonly #payload: PayloadMode
  readonly #pool = new BufferPool(POOL_BYTES)

  constructor(payload: PayloadMode, maxBodyBytes: number, parts: EndpointParts) {
    this.#payload = payload
    this.#maxBodyBytes = maxBodyBytes
    this.#parts = parts
  }

  receive(request: ProduceRequest): void {
    const { exchange, topic } = request
    const { method, headers } = exchange.request
    if (method !== 'POST') {
      this.#reject(request, method === 'GET' ? 'POST exp' : 'unexp', isEmpty(exchange.request))
      return
    }
    const refusal = this.#parts.access.callerOf(exchange.request).refusalOf('produce', { topic })
    if (refusal !== undefined) {
      this.refuse(exchange, refusal)
      return
    }
    const declaredBytes = Number(headers['content-length'] ?? 0)
    collectBody(exchange.payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
      if (body instanceof Error) this.#unread(exchange, body)
      else if (body === 'tooLarge') this.#reject(request, 'no_body', false)
      else this.#guarded(request, () => this.#answer(request, body))
    })
  }

  /** Refuses a request nothing of which has been read. */
  refuse(refused: Refused, error: CastellanError, isRead = false): void {
    this.#parts.replies.refuse(refused, error, isRead)
  }

  /** A client that left is told nothing. */
  #unread(exchange: Exchange, error: Error): void {
    if (error instanceof OverloadedError) this.refuse(exchange, error)
  }

  #answer(request: ProduceRequest, body: Buffer): void {
    const { exchange } = request
    const isJson = isJsonType(exchange.request.headers['content-type'])
    if (this.#parts.editor?.edits !== true) {
      this.#produceBody(request, body, isJson)
      return
    }
    // The body is asked for again when the hook leaves it as it is, or has to be called again.
    const kept = Buffer.from(body)
    const refusal = this.#charge(exchange.request, 1, kept.length)
    if (refusal !== undefined) this.refuse(exchange, refusal, true)
    else this.#parts.editor.edit(request, kept, isJson, unchanged => contentsOf(unchanged, isJson, this.#payload))
  }

  #produceBody(request: ProduceRequest, body: Buffer, isJson: boolean): void {
    const contents = contentsOf(body, isJson, this.#payload)
    const refusal = this.#charge(request.exchange.request, contents?.length ?? 0, body.length)
    if (refusal !== undefined) this.refuse(request.exchange, refusal, true)
    else if (contents === undefined) this.#reject(request, 'invalid')
    else {
      const isKeyed = !isJson && this.#payload === 'fields'
      this.#parts.producing.produce(request, { topic: request.topic, mode: request.mode, contents, isKeyed })
    }
  }

  #charge(request: IncomingMessage, records: number, bytes: number): CastellanError | undefined {
    return this.#parts.access.callerOf(request).charge(records, bytes)
  }

  #reject(request: ProduceRequest, message: string, isRead = true): void {
    const { editor, replies } = this.#parts
    if (editor === undefined) replies.error(request, 400, message, isRead)
    else editor.reject(request, message, isRead)
  }

  /** A bug: records may have been handed on before it. */
  #guarded(request: ProduceRequest, answer: () => void): void {
    try {
      answer()
    } catch (error) {
      this.#parts.log.error({ err: error }, 'a kafboy request failed unexpectedly')
      this.#parts.replies.broken(request, persistedText(['unknown']))
    }
  }
}

const isEmpty = ({ headers }: IncomingMessage): boolean =>
  headers['content-length'] === undefined && headers['transfer-encoding'] === undefined

/** The path as it was sent, below the prefix and without the query. */
export function pathOf(request: IncomingMessage, prefix: string): string {
  const url = sentUrlOf(request)
  const path = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?#]*/i, '')
  const end = path.search(/[?#]/)
  return path.slice(prefix.length, end < 0 ? undefined : end)
}
