import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { headersIn, type KeptAnswer } from '../../producer/keys/key-frames.js'
import { asServerResponse, type KnownBody, QuietEmitter, type ResponseState } from '../engine/lazy-streams.js'
import type { Exchange } from './exchange.js'

/** An answer as an API has written it. If it has no header lines yet, {@link headerLinesOf} makes them. */
export interface WrittenAnswer extends KeptAnswer {
  /** Whether its records are in Kafka. Absent: a header says so, or none does, and others may be of this answer only. */
  readonly persisted?: string | undefined
}

/** An answer of a template. Few ask for its headers one by one. */
export class AnswerInLines implements WrittenAnswer {
  readonly status: number
  readonly lines: string
  readonly body: Buffer
  readonly persisted: string | undefined

  constructor(status: number, lines: string, body: Buffer, persisted: string | undefined) {
    this.status = status
    this.lines = lines
    this.body = body
    this.persisted = persisted
  }

  get headers(): WrittenAnswer['headers'] {
    return headersIn(this.lines)
  }
}

/** Characters that Node refuses in a header, or writes in another way. */
const REFUSED = /[^\t\x20-\x7e\x80-\xff]/

/** Headers as a connection takes them. `undefined`: Node refuses them, or writes them in another way. */
export function headerLinesOf(headers: WrittenAnswer['headers']): string | undefined {
  let lines = ''
  for (const [name, value] of headers) {
    const line = `${name}: ${value}`
    if (REFUSED.test(line)) return undefined
    lines += `${line}\r\n`
  }
  return lines
}

const NO_HEADERS: WrittenAnswer['headers'] = []

export interface AnswerTaker {
  /** Called once, with the whole answer. */
  take(answer: WrittenAnswer, exchange: KeptExchange): void
}

/**
 * A request whose body has come, as its API sees it, and its response in one object: that takes the answer in place of the
 * client's connection, and hands it on when it is complete. The client may leave before: an answer is made all the same.
 */
export class KeptExchange extends QuietEmitter implements ResponseState, Exchange {
  readonly request: IncomingMessage
  readonly payload: KnownBody
  readonly requestId: string
  statusCode = 200
  readonly shouldKeepAlive = true
  headersSent = false
  readonly destroyed = false
  readonly closed = false
  finished = false
  readonly writable = true
  readonly socket = null
  readonly #taker: AnswerTaker
  #pieces: Buffer[] | undefined
  #headers = NO_HEADERS

  constructor({ request, requestId }: Pick<Exchange, 'request' | 'requestId'>, payload: KnownBody, taker: AnswerTaker) {
    super()
    this.request = request
    this.payload = payload
    this.requestId = requestId
    this.#taker = taker
  }

  get req(): IncomingMessage {
    return this.request
  }

  /**
   * Routes that produce use no other members of Node's answers than this one has. It never asks a writer to wait, and keeps all
   * that is written: routes that read or stream must not have keys.
   */
  get response(): ServerResponse {
    return asServerResponse(this)
  }

  get writableEnded(): boolean {
    return this.finished
  }

  writeHead(status: number, headers: OutgoingHttpHeaders = {}): this {
    this.statusCode = status
    this.headersSent = true
    this.#headers = Object.entries(headers).flatMap(([name, value]) => pairsOf(name, value))
    return this
  }

  /** The whole answer at once. Its parts may be shared with other answers, and are never written to. */
  keep(answer: WrittenAnswer): void {
    if (this.finished) return
    this.statusCode = answer.status
    this.headersSent = true
    this.finished = true
    this.#taker.take(answer, this)
  }

  write(piece: string | Uint8Array): boolean {
    ;(this.#pieces ??= []).push(Buffer.from(piece as Uint8Array))
    return true
  }

  end(last?: string | Uint8Array): this {
    if (this.finished) return this
    this.headersSent = true
    this.finished = true
    if (last !== undefined && last.length > 0) this.write(last)
    const pieces = this.#pieces ?? []
    const body = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    this.#taker.take({ status: this.statusCode, headers: this.#headers, body }, this)
    return this
  }
}

const pairsOf = (name: string, value: OutgoingHttpHeader | undefined): (readonly [string, string])[] => {
  if (value === undefined) return []
  return Array.isArray(value) ? value.map(one => [name, one]) : [[name, String(value)]]
}
