import type { IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import { type CastellanError, type ErrorCode, OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import type { Access } from '../../http/access/access.js'
import { originOf } from '../../http/api/request-origin.js'
import type { Answers } from '../../http/exchange/answers.js'
import { BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import { collectDecoded, type DecodedEnd } from '../../http/exchange/decoded-body.js'
import type { Asked, Exchange } from '../../http/exchange/exchange.js'
import { contentsOf, isJsonType, type PayloadMode, parseForm, toJsonObject } from './content.js'
import type { Editor } from './editor.js'
import type { Producing } from './producing.js'
import type { ProduceRequest, Replies } from './replies.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 4 * 1024 * 1024

export interface EndpointParts {
  readonly access: Access
  readonly replies: Replies
  readonly producing: Producing
  /** Absent: there are no hooks. */
  readonly editor: Editor | undefined
  readonly decodesBodies: boolean
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
    const { method } = exchange.request
    if (method !== 'POST') {
      this.#reject(request, method === 'GET' ? 'POST exp' : 'unexp', isEmpty(exchange.request))
      return
    }
    const refusal = this.#parts.access.callerOf(exchange.request).refusalOf('produce', { topic })
    if (refusal !== undefined) {
      this.refuse(exchange, refusal)
      return
    }
    const end: DecodedEnd = (body, seenBytes, isRead) => {
      if (isRead && !(body instanceof Buffer)) this.#charge(exchange.request, 0, seenBytes)
      if (body === 'tooLarge') this.#reject(request, 'no_body', isRead, 'recordTooLarge')
      else if (body instanceof Buffer) this.#parts.replies.guarded(request, () => this.#answer(request, body))
      // A client that has left gets no answer.
      else if (body instanceof OverloadedError || body instanceof UnreadableBodyError)
        this.refuse(exchange, body, isRead)
    }
    collectDecoded(exchange, this.#maxBodyBytes, this.#pool, end, this.#parts.decodesBodies)
  }

  /** Refuses a request before its body is read. */
  refuse(refused: Asked, error: CastellanError, isRead = false): void {
    this.#parts.replies.refuse(refused, error, isRead)
  }

  #answer(request: ProduceRequest, body: Buffer): void {
    const { exchange } = request
    const isJson = isJsonType(exchange.request.headers['content-type'])
    if (this.#parts.editor?.edits !== true) {
      this.#produceBody(request, body, isJson)
      return
    }
    const refusal = this.#charge(exchange.request, 1, body.length)
    if (refusal !== undefined) {
      this.refuse(exchange, refusal, true)
      return
    }
    // The hook may decide later, and `body` is valid until this returns.
    const kept = Buffer.from(body)
    this.#parts.editor.edit(request, kept, isJson, () => contentsOf(kept, isJson, this.#payload))
  }

  #produceBody(request: ProduceRequest, body: Buffer, isJson: boolean): void {
    const contents = contentsOf(body, isJson, this.#payload)
    const refusal = this.#charge(request.exchange.request, contents?.length ?? 0, body.length)
    if (refusal !== undefined) this.refuse(request.exchange, refusal, true)
    else if (contents === undefined) this.#reject(request, 'invalid')
    else {
      const isKeyed = !isJson && this.#payload === 'fields'
      const { topic, mode, exchange } = request
      this.#parts.producing.produce(request, { topic, mode, contents, isKeyed, origin: originOf(exchange.request) })
    }
  }

  #charge(request: IncomingMessage, records: number, bytes: number): CastellanError | undefined {
    return this.#parts.access.callerOf(request).charge(records, bytes)
  }

  #reject(request: ProduceRequest, message: string, isRead = true, code?: ErrorCode): void {
    const { editor, replies } = this.#parts
    if (editor === undefined) replies.error(request, 400, message, isRead, code)
    else editor.reject(request, message, isRead, code)
  }
}

const isEmpty = ({ headers }: IncomingMessage): boolean =>
  headers['content-length'] === undefined && headers['transfer-encoding'] === undefined

const JSON_TYPE = 'application/json; charset=utf-8'
const DISCO_POOL_BYTES = 1024 * 1024

/**
 * `/disco` and `/echo_post`: a POST is answered with its form as JSON, anything else with the name of this instance.
 */
export class Disco {
  readonly #answers: Answers
  readonly #maxBodyBytes: number
  readonly #pool = new BufferPool(DISCO_POOL_BYTES)

  constructor(answers: Answers, maxBodyBytes: number) {
    this.#answers = answers
    this.#maxBodyBytes = maxBodyBytes
  }

  receive(exchange: Exchange): void {
    const { request, payload } = exchange
    if (request.method !== 'POST') {
      this.#send(exchange, 200, 'text/plain', instanceName(request.socket.localPort))
      return
    }
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, this.#maxBodyBytes, this.#pool, body => {
      if (body instanceof Error) return
      if (body === 'tooLarge') this.#send(exchange, 400, JSON_TYPE, '{"error":"no_body"}', { connection: 'close' })
      else this.#echo(exchange, body)
    })
  }

  #echo(exchange: Exchange, body: Buffer): void {
    const isJson = isJsonType(exchange.request.headers['content-type'])
    const echo = body.length === 0 ? '[]' : isJson ? body.toString() : formAsJson(body)
    if (echo === undefined) this.#send(exchange, 400, JSON_TYPE, '{"error":"invalid"}')
    else this.#send(exchange, 200, JSON_TYPE, echo)
  }

  #send(
    { response, requestId }: Exchange,
    status: number,
    type: string,
    body: string,
    headers?: Record<string, string>
  ): void {
    this.#answers.send(response, status, type, body, { requestId, persisted: undefined }, headers)
  }
}

function formAsJson(body: Buffer): string | undefined {
  const fields = parseForm(body)
  return fields?.length === 0 ? '[]' : fields && toJsonObject(fields)
}

/** The address by which other instances could reach this one. */
export const instanceName = (port: number | undefined): string => `${hostname()}${port === undefined ? '' : `:${port}`}`
