import fastify, { type FastifyInstance } from 'fastify'
import { confluent } from '../../../src/apis/confluent/api.js'
import type { ConfluentSettings } from '../../../src/apis/confluent/settings.js'
import { strimzi } from '../../../src/apis/strimzi/api.js'
import type { StrimziSettings } from '../../../src/apis/strimzi/settings.js'
import { openAccess } from '../../../src/http/access/access.js'
import type { ApiContext } from '../../../src/http/api/api.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'

/** Confluent's API alone, over a gateway of the test. */
export async function serve(
  verbs: Verbs,
  settings: object = {},
  overrides: Partial<ApiContext<ConfluentSettings>> = {}
): Promise<FastifyInstance> {
  const addRoutes = await confluent.plugin(contextFor(verbs, confluent.settings.parse(settings), overrides))
  const app = fastify({ routerOptions: { maxParamLength: 1_000 } })
  await app.register(async scope => addRoutes(scope))
  await app.ready()
  return app
}

/** The API of Strimzi's bridge alone, over a gateway of the test. */
export async function serveBridge(
  verbs: Verbs,
  overrides: Partial<ApiContext<StrimziSettings>> = {}
): Promise<FastifyInstance> {
  const addRoutes = await strimzi.plugin(contextFor(verbs, strimzi.settings.parse({}), overrides))
  const app = fastify({ routerOptions: { maxParamLength: 1_000 } })
  await app.register(async scope => addRoutes(scope))
  await app.ready()
  return app
}

/** Takes the header `x-client` for the name of a client. */
export const accessByHeader = {
  ...openAccess,
  callerOf: (request: Parameters<typeof openAccess.callerOf>[0]) => ({
    ...openAccess.callerOf(request),
    principal: String(request.headers['x-client'])
  })
}
