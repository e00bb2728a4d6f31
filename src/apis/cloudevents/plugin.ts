import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
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
    const { access, lifetime, log, settings } = context
    const answers = new EventAnswers(log)
    const parts: EventParts = { access, answers, pool: bodyPool() }
    const { maxBodyBytes } = settings
    const { durability, syncTimeoutMs: deadlineMs } = settings
    const capacityWaitMs = capacityWaitMsOf(context)
    const sync = { partitioner: 'murmur2', deadlineMs, durability, capacityWaitMs } as const
    const api = new EventsApi('cloudevents', answers, sync)
    const produce = new ProduceRoute(api, context, maxBodyBytes).at(deadlineMs)
    const groups = new GroupEndpoint(parts, context)
    const followers = new FollowEndpoint(parts, context)
    lifetime.onDrain(async () => {
      groups.stop()
      followers.stop()
    })
    const routes = servedRoutes(cloudeventsOperations, { parts, groups, followers }, produce)
    serveRoutes(app, routes, answers)
  }
