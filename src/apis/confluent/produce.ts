import type { ProduceRecord } from '../../core/model.js'
import type { ProduceOptions } from '../../gateway/gateway.js'
import type { Params } from '../../http/api/endpoint.js'
import { ProduceBase } from '../../http/api/produce-base.js'
import type { Later, Outcomes, ProduceAnswer, ProduceApi, ProduceHead } from '../../http/api/produce-route.js'
import { AnswerTemplate } from '../../http/exchange/answers.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { ConfluentAnswers } from './answers.js'
import type { Version } from './failures.js'
import { typeOf } from './media-types.js'

/** What the routes to produce of both versions have in common. All their answers wait for Kafka. */
export abstract class ConfluentProduce<Head extends ProduceHead> extends ProduceBase<Head> implements ProduceApi<Head> {
  readonly namesOffsets = true
  /** Of answers with status 200. */
  protected readonly template: AnswerTemplate

  constructor(version: Version, answers: ConfluentAnswers, produce: ProduceOptions) {
    super('confluent', answers, produce)
    this.template = new AnswerTemplate(200, typeOf(version))
  }

  abstract topicOf(params: Params): string
  abstract readHead(exchange: Exchange, params: Params): Head
  abstract readBody(body: Buffer, head: Head): readonly ProduceRecord[] | Later<readonly ProduceRecord[]>
  abstract answer(outcomes: Outcomes, head: Head): ProduceAnswer | Later<ProduceAnswer>
}
