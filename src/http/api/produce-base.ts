import { persistedText } from '../../verbs/persisted.js'
import type { ProduceOptions } from '../../verbs/verbs.js'
import { BodyTooLargeError } from '../exchange/decoded-body.js'
import { hasBody, type Reply } from '../exchange/exchange.js'
import type { ErrorAnswers } from './api-answers.js'
import {
  type ProduceAnswer,
  type ProduceApi,
  type ProduceHead,
  produceOptionsOf,
  type RefusedRequest
} from './produce-route.js'

/** The part of a route to produce of an API that has one form for all of its errors. */
export abstract class ProduceBase<Head extends ProduceHead> {
  readonly name: string
  readonly readsInTurns = true
  readonly options: ProduceApi<Head>['options']
  protected readonly answers: ErrorAnswers

  constructor(name: string, answers: ErrorAnswers, sync: ProduceOptions) {
    this.name = name
    this.options = produceOptionsOf(name, sync)
    this.answers = answers
  }

  refuse(error: unknown, { exchange, isRead }: RefusedRequest): ProduceAnswer | undefined {
    const isTooLarge = error instanceof BodyTooLargeError
    const told = isTooLarge ? error.naming(`apis.${this.name}.maxBodyBytes`) : error
    const answer = this.answers.answerTo(told, exchange, persistedText(['no']))
    const stays = isRead || !hasBody({ request: exchange.response.req })
    return answer && { ...answer, ...(stays && { closes: false }) }
  }

  broken(_: unknown, asked: Reply): ProduceAnswer {
    return this.answers.broken(asked, persistedText(['unknown']))
  }
}
