import { OverloadedError } from '../../core/errors.js'
import { collectBody } from '../../http/exchange/body-collector.js'
import type { BufferPool } from '../../http/exchange/buffer-pool.js'
import { isFormType } from './content.js'
import { parseQuery, type Values } from './parameters.js'
import type { PixyAnswers } from './pixy-answers.js'
import type { PixyRequest } from './pixy-request.js'

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
