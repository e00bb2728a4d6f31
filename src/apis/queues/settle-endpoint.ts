import { ApiError } from '../../http/api/api-answers.js'
import { IGNORED_BYTES, type Params, withBytes } from '../../http/api/endpoint.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { MULTI_STATUS } from '../../http/exchange/modern-answers.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { NOTHING_TO_SETTLE, resultForClient, type Settlement, type TokenResult } from '../../verbs/verbs.js'
import { admitsConsumer, type NamedQueue, nameOfClient, queueOf } from './named-queue.js'
import type { QueueAnswers, QueueParts } from './queue-answers.js'
import { requireAtMost, settling, withJson } from './requests.js'

/** Settles messages by their tokens. @throws ApiError when the delay is too long */
export function settle(
  parts: QueueParts,
  exchange: Exchange,
  { queues, topic, group }: NamedQueue,
  settlement: Settlement
): Promise<readonly TokenResult[]> {
  requireAtMost(parts.maxLockMs, 'delayMs', settlement.delayMs)
  return queues.settle(topic, group, settlement, nameOfClient(parts, exchange))
}

/** `POST /{topic}/{group}/settle`. */
export function settleMany(parts: QueueParts, exchange: Exchange, params: Params): void {
  const queue = queueOf(parts, exchange, params)
  if (!admitsConsumer(parts, exchange, 'queues.settle', queue)) return
  withJson(parts, exchange, settling, settlement => {
    settle(parts, exchange, queue, settlement).then(
      results => {
        const status = results.every(({ outcome }) => outcome === 'done') ? 200 : MULTI_STATUS
        const now = parts.clock()
        const told = results.map(result => resultForClient(result, now))
        parts.answers.ok(exchange, { results: told }, status)
      },
      error => parts.answers.fail(exchange, error)
    )
  })
}

const TOO_LARGE_TO_IGNORE = new ApiError(413, `the body is larger than ${IGNORED_BYTES} bytes`)

/** `DELETE /{topic}/{group}/messages/{token}`. A body means nothing. */
export function acceptOne(parts: QueueParts, exchange: Exchange, params: Params): void {
  const queue = queueOf(parts, exchange, params)
  if (!admitsConsumer(parts, exchange, 'queues.settle', queue)) return
  withBytes(parts, exchange, IGNORED_BYTES, TOO_LARGE_TO_IGNORE, () => {
    settle(parts, exchange, queue, { ...NOTHING_TO_SETTLE, accept: [params.token!] }).then(
      ([result]) => {
        const problem = problemOf(result!, parts.answers)
        if (problem === undefined) parts.answers.noContent(exchange)
        else parts.answers.fail(exchange, problem)
      },
      error => parts.answers.fail(exchange, error)
    )
  })
}

const problems = {
  lost: [410, 'the token counts no longer: the lock of the message is over, or the message is settled'],
  invalid: [404, 'this is no token of the topic and the group'],
  unknown: [504, 'Kafka has not answered: the message is done, or it is offered again'],
  elsewhere: [503, 'the gateway that holds the message cannot be asked: this request settles nothing']
} as const

/** `undefined`: the message is done. */
function problemOf(
  { outcome, reason, code = errorCodes.UNKNOWN_SERVER_ERROR }: TokenResult,
  answers: QueueAnswers
): ApiError | undefined {
  if (outcome === 'done') return undefined
  if (outcome !== 'failed') return new ApiError(problems[outcome][0], problems[outcome][1])
  const { message, retriable } = kafkaErrorOf(code, reason)
  return answers.problemOf({ code: 'kafka', errorCode: code, message, retriable })
}
