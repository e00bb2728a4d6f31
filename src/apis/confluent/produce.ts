import { CastellanError } from '../../core/errors.js'
import { DeserializeError } from '../../core/json/json-reader.js'
import type { ProduceRecord } from '../../core/model.js'
import type { ProduceOptions } from '../../gateway/gateway.js'
import { refusalStatus } from '../../http/access/access.js'
import type { Params } from '../../http/api/endpoint.js'
import {
  BodyTooLargeError,
  type Later,
  type Outcomes,
  type ProduceAnswer,
  type ProduceApi,
  type ProduceHead,
  produceOptionsOf,
  type RefusedRequest
} from '../../http/api/produce-route.js'
import { Answers, type AnswerTemplate } from '../../http/exchange/answers.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { codeOfStatus } from '../../http/exchange/modern-answers.js'
import { errorObjectJson, refusalCodeOf } from './answers.js'
import { type Problem, ProblemError, RETRIABLE, reasonOf, type Version } from './failures.js'
import { typeOf } from './media-types.js'

/** What the routes to produce of both versions have in common. All their answers wait for Kafka. */
export abstract class ConfluentProduce<Head extends ProduceHead> implements ProduceApi<Head> {
  readonly name = 'confluent'
  readonly namesOffsets = true
  readonly options: ProduceApi<Head>['options']
  /** Of answers with status 200. */
  protected readonly template: AnswerTemplate
  readonly #type: string

  constructor(version: Version, produce: ProduceOptions) {
    this.options = produceOptionsOf(this.name, produce)
    this.#type = typeOf(version)
    this.template = new Answers(Date.now).template(200, this.#type)
  }

  abstract topicOf(params: Params): string
  abstract readHead(exchange: Exchange, params: Params): Head
  abstract readBody(body: Buffer, head: Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]>
  abstract answer(outcomes: Outcomes, head: Head): ProduceAnswer | Later<ProduceAnswer>

  refuse(error: unknown, { isRead }: RefusedRequest): ProduceAnswer | undefined {
    const stays = isRead && { closes: false }
    if (error instanceof DeserializeError)
      return { ...this.errorOf({ status: 400, code: 400, message: `the body: ${error.message}` }), ...stays }
    if (error instanceof ProblemError) return { ...this.errorOf(error.problem), ...stays }
    if (error instanceof BodyTooLargeError)
      return this.errorOf({ status: 413, code: 413, message: `${error.message} (apis.confluent.maxBodyBytes)` })
    const status = refusalStatus(error)
    if (status === undefined || !(error instanceof CastellanError)) return undefined
    return { status, type: this.#type, body: errorObjectJson(refusalCodeOf(error), error.message) }
  }

  broken(): ProduceAnswer {
    return this.errorOf({ status: 500, code: 500, message: 'internal error' })
  }

  protected errorOf({ status, code, message, type = this.#type, reason = reasonOf(code) }: Problem): ProduceAnswer {
    const cause = reason === codeOfStatus(status) ? undefined : { code: reason, retriable: RETRIABLE.has(reason) }
    return { status, type, body: errorObjectJson(code, message), cause }
  }
}
