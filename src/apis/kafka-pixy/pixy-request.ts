import { OverloadedError } from '../../core/errors.js'
import type { Gateway } from '../../gateway/gateway.js'
import type { Access } from '../../http/access/access.js'
import { type BufferPool, collectBody } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { Decoding } from '../../schemas/record-json.js'
import { type ParsedQuery, parseQuery, type Values } from './parameters.js'
import type { PixyAnswers } from './pixy-answers.js'

/** A request whose path is known, on its way to an answer. */
export interface PixyRequest {
  readonly exchange: Exchange
  /** The gateway of the cluster that the path names. */
  readonly gateway: Gateway
  /** The empty string where the path names none. */
  readonly topic: string
  readonly query: ParsedQuery
}

/** The parts that every endpoint is created with. */
export interface RouteParts {
  readonly access: Access
  readonly answers: PixyAnswers
  /** Absent: no schema registry is configured. */
  readonly schemas?: Decoding | undefined
  /** Called when a request has failed by a bug. */
  readonly broken: (request: PixyRequest, error: unknown) => void
}

/** A body, and the parameters in it. The bytes are valid until the call returns; of a form there are none left. */
export interface ReadBody {
  readonly form: Values
  readonly rest: Buffer
}

const EMPTY = Buffer.alloc(0)
const NO_VALUES: Values = new Map()

/** Reads the bodies of requests that may bring parameters in a form. */
export class FormReader {
  readonly #maxBytes: number
  readonly #pool: BufferPool
  readonly #answers: PixyAnswers

  constructor(maxBytes: number, pool: BufferPool, answers: PixyAnswers) {
    this.#maxBytes = maxBytes
    this.#pool = pool
    this.#answers = answers
  }

  /** @param use called with the body; not when it is too large, or the client has left */
  read({ exchange }: PixyRequest, use: (body: ReadBody) => void): void {
    const { headers } = exchange.request
    collectBody(exchange.payload, Number(headers['content-length'] ?? 0), this.#maxBytes, this.#pool, body => {
      if (body instanceof OverloadedError) this.#answers.refuse(exchange, body)
      else if (body === 'tooLarge') this.#answers.error(exchange, 413, 'the body is too large', { isRead: false })
      else if (body instanceof Error) return
      else if (isFormType(headers['content-type']))
        use({ form: parseQuery(body.toString('latin1')).values, rest: EMPTY })
      else use({ form: NO_VALUES, rest: body })
    })
  }
}

/** Whether a body is the message itself or a form that contains it. */
export type ContentKind = 'raw' | 'form'

const FORM_TYPE = 'application/x-www-form-urlencoded'
const JSON_TYPE = /^application\/(?:json|[^;]*\+json)(?:;.*)?$/

/** Letters count as they are written, and only JSON may have parameters. `undefined`: no message can be of this type. */
export function contentKindOf(type: string | undefined): ContentKind | undefined {
  if (type === 'text/plain' || type === 'application/json') return 'raw'
  if (type === FORM_TYPE) return 'form'
  return type !== undefined && JSON_TYPE.test(type) ? 'raw' : undefined
}

/** Whether parameters are read from a body of this type. */
export const isFormType = (type: string | undefined): boolean =>
  type !== undefined && type.split(';', 1)[0]!.trim().toLowerCase() === FORM_TYPE
