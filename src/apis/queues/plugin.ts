import { Shares } from '../../core/shares.js'
import { type ApiContext, type ApiPlugin, MAX_LOOK_UPS } from '../../http/api/api.js'
import { neverCalled } from '../../http/api/by-hand.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { LongLists } from '../../http/api/long-lists.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import { AcquireEndpoint } from './acquire-endpoint.js'
import { QueueAnswers, type QueueParts } from './queue-answers.js'
import { queuesOperations } from './routes.js'
import type { QueuesApiSettings } from './settings.js'

/** Serves queues. */
export const queuesPlugin =
  (context: ApiContext<QueuesApiSettings>): ApiPlugin =>
  app => {
    const { access, clock, lifetime, log, maxLockMs, records, schemas, settings, verbsByCluster } = context
    const answers = new QueueAnswers(log)
    const parts: QueueParts = {
      access,
      answers,
      clock,
      maxLockMs,
      records,
      schemas,
      pool: bodyPool(),
      lookUps: new Shares(MAX_LOOK_UPS, 'look-ups'),
      longLists: new LongLists(records),
      prefix: app.prefix,
      maxBodyBytes: settings.maxBodyBytes,
      verbsByCluster
    }
    const acquire = new AcquireEndpoint(parts)
    lifetime.onDrain(async () => acquire.stop())
    const routes = servedRoutes(queuesOperations, { parts, acquire }, { preParsing: neverCalled })
    serveRoutes(app, routes, answers)
  }
