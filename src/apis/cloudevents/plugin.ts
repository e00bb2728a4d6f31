import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { EventAnswers, type EventParts } from './event-answers.js'
import { FollowEndpoint } from './follow-endpoint.js'
import { GroupEndpoint } from './group-endpoint.js'
import { EventsApi } from './produce.js'
import { cloudeventsOperations } from './routes.js'
import type { CloudeventsSettings } from './settings.js'

/** Serves CloudEvents. */
export const cloudeventsPlugin =
  (context: ApiContext<CloudeventsSettings>): ApiPlugin =>
  app => {
    const { access, clock, gateway, lifetime, log, now, settings } = context
    const answers = new EventAnswers(now)
    const broken = (exchange: Exchange, error: unknown): void => {
      log.error({ err: error, requestId: exchange.requestId }, 'a request for CloudEvents failed unexpectedly')
      answers.problem(exchange, 500, 'internal error')
    }
    const parts: EventParts = { access, answers, broken, pool: bodyPool() }
    const maxBodyBytes = Math.min(settings.maxBodyBytes, app.initialConfig.bodyLimit ?? settings.maxBodyBytes)
    const { durability, syncTimeoutMs: deadlineMs } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const api = new EventsApi({ partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs })
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const groups = new GroupEndpoint(parts, gateway, clock)
    const followers = new FollowEndpoint(parts, gateway)
    lifetime.onDrain(async () => {
      groups.stop()
      followers.stop()
    })
    serveRoutes(app, servedRoutes(cloudeventsOperations, { parts, groups, followers }, produce), {
      refuse: (asked, error) => answers.refuse(asked, error),
      unknown: exchange => answers.problem(exchange, 404, 'there is no such route', { isRead: !hasBody(exchange) }),
      notAllowed(exchange, allow) {
        const options = { isRead: !hasBody(exchange), headers: { allow } }
        answers.problem(exchange, 405, `only ${allow} can be used here`, options)
      }
    })
  }
