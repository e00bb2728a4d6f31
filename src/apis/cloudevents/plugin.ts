import type { Target } from '../../http/access/access.js'
import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { byHand } from '../../http/api/by-hand.js'
import { admits, type Receive } from '../../http/api/endpoint.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { type Route, serveRoutes } from '../../http/api/routes.js'
import { BufferPool } from '../../http/exchange/body-collector.js'
import { browserRefusalOf } from '../../http/exchange/client.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { afterBody, type EndpointParts, EventAnswers, guarded, ProblemError } from './event-answers.js'
import { FollowEndpoint } from './follow-endpoint.js'
import { GroupEndpoint } from './group-endpoint.js'
import { cloudeventsOperations, type OperationId } from './operations.js'
import { EventsApi } from './produce.js'
import { Query } from './read-request.js'
import type { CloudeventsSettings } from './settings.js'

/** Memory kept for assembling bodies while none are being assembled. */
const POOL_BYTES = 16 * 1024 * 1024

/** Serves CloudEvents: `operations.ts` has the routes, `receiversOf` the handler of each. */
export const cloudeventsPlugin =
  (context: ApiContext<CloudeventsSettings>): ApiPlugin =>
  app => {
    const { access, log, now, settings } = context
    const answers = new EventAnswers(now)
    const broken = (exchange: Exchange, error: unknown): void => {
      log.error({ err: error, requestId: exchange.requestId }, 'a request for CloudEvents failed unexpectedly')
      answers.problem(exchange, 500, 'internal error')
    }
    const parts: EndpointParts = { access, answers, broken, pool: new BufferPool(POOL_BYTES) }
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const receivers = receiversOf(context, parts)
    const { durability, syncTimeoutMs: deadlineMs } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const api = new EventsApi({ partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs })
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const routes = cloudeventsOperations.map(
      ({ id, method, path }): Route => ({
        method,
        path,
        ...(id === 'produce' ? produce : { preParsing: byHand(guarded(parts, receivers[id])) })
      })
    )
    serveRoutes(app, routes, {
      refuse: (asked, error) => answers.refuse(asked, error),
      unknown: exchange => answers.problem(exchange, 404, 'there is no such route', { isRead: !hasBody(exchange) }),
      notAllowed(exchange, allow) {
        const options = { isRead: !hasBody(exchange), headers: { allow } }
        answers.problem(exchange, 405, `only ${allow} can be used here`, options)
      }
    })
  }

function receiversOf(
  context: ApiContext<CloudeventsSettings>,
  parts: EndpointParts
): Readonly<Record<Exclude<OperationId, 'produce'>, Receive>> {
  const { gateway, clock, lifetime } = context
  const groups = new GroupEndpoint(parts, gateway, clock)
  const followers = new FollowEndpoint(parts, gateway)
  lifetime.onDrain(async () => {
    groups.stop()
    followers.stop()
  })
  return {
    consume: (exchange, { topic = '' }) => {
      const query = new Query(exchange.request)
      const group = query.text('group')
      const from = query.text('from')
      if (!mayRead(parts, exchange, { topic, group })) return
      if (group !== undefined && from !== undefined) throw new ProblemError(400, 'group and from exclude each other')
      if (group === '') throw new ProblemError(400, 'the parameter group is empty')
      if (group !== undefined) groups.poll(exchange, topic, group, query)
      else if (from !== undefined) followers.poll(exchange, topic, from, query)
      else throw new ProblemError(400, 'one of the parameters group and from is needed')
    },
    acknowledge: afterBody(parts, (exchange, params) => groups.ack(exchange, params)),
    tail: (exchange, params) => {
      if (mayRead(parts, exchange, { topic: params.topic })) followers.tail(exchange, params)
    }
  }
}

/** Refuses a request to read of a browser that no page may send, or whose client may not read. @returns whether it may */
function mayRead(parts: EndpointParts, exchange: Exchange, target: Target): boolean {
  const refusal = browserRefusalOf(exchange.request)
  if (refusal !== undefined) parts.answers.refuse(exchange, refusal, true)
  return refusal === undefined && admits(parts, exchange, 'consume', target)
}
