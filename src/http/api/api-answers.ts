import type { CastellanError } from '../../core/errors.js'
import { refusalHeaders } from '../access/access.js'
import { Answers, type AnswerTemplate, unreadBodyHeaders } from '../exchange/answers.js'
import type { Asked } from '../exchange/exchange.js'
import type { Cause } from '../exchange/modern-answers.js'

/** What an answer has beside its status, type and body. */
export interface AnswerOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined
  /** Whether the body has been read, or there is none; false: the connection ends with the answer. Default: true. */
  readonly isRead?: boolean
  readonly cause?: Cause | undefined
}

/** The rest of an unwanted body is not read. */
const CLOSE = { connection: 'close' }

/** Writes answers to requests that produce nothing. Each API adds the form of its errors. */
export class ApiAnswers {
  readonly #answers: Answers

  /** @param now epoch milliseconds, for the header `date` */
  constructor(now: () => number) {
    this.#answers = new Answers(now)
  }

  /** @param type `undefined`: no content type */
  send(
    { response, requestId }: Asked,
    status: number,
    type: string | undefined,
    body: string | Buffer,
    { headers, isRead = true, cause }: AnswerOptions = {}
  ): void {
    const further = isRead ? headers : { ...headers, ...CLOSE }
    this.#answers.send(response, status, type, body, { requestId, persisted: undefined, cause }, further)
  }

  noContent(asked: Asked, options?: AnswerOptions): void {
    this.send(asked, 204, undefined, '', options)
  }

  protected template(status: number, type: string): AnswerTemplate {
    return this.#answers.template(status, type)
  }
}

/** Of an answer that refuses a request for a reason of {@link refusalStatus}. @param isRead whether the body has been read */
export const refusalOptions = ({ response }: Asked, error: CastellanError, isRead: boolean): AnswerOptions => ({
  headers: { ...refusalHeaders(error), ...(!isRead && unreadBodyHeaders(response, error)) },
  cause: error
})
