import type { Logger } from '../../core/model.js'
import { Shares } from '../../core/shares.js'
import type { Access } from '../../http/access/access.js'
import { MAX_LOOK_UPS } from '../../http/api/api.js'
import { ProblemAnswers } from '../../http/api/api-answers.js'
import { neverCalled } from '../../http/api/by-hand.js'
import { bodyPool } from '../../http/api/endpoint.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import type { ApiMount } from '../../http/server/http.js'
import type { Verbs } from '../../verbs/verbs.js'
import type { WebhooksOfAll } from '../../webhooks/webhooks-of-all.js'
import { webhooksOperations } from './routes.js'

/** The routes about webhooks, on the shared port. They have no settings, since webhooks are defined in the configuration. */
export function mountWebhooks(deps: {
  readonly webhooks: WebhooksOfAll
  readonly access: Access
  readonly log: Logger
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
}): ApiMount {
  const answers = new ProblemAnswers(deps.log)
  const parts = { ...deps, answers, pool: bodyPool(), lookUps: new Shares(MAX_LOOK_UPS, 'look-ups') }
  return {
    name: 'webhooks',
    prefix: '/webhooks',
    operations: webhooksOperations,
    listeners: [],
    plugin: async app => {
      const routes = servedRoutes(webhooksOperations, { parts }, { preParsing: neverCalled })
      serveRoutes(app, routes, answers)
    }
  }
}
