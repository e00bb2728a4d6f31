import { type Described, operationsOf } from '../../http/api/routes.js'
import { type Content, json, type Operation } from '../../http/openapi/operation.js'
import { error } from './look-up.js'
import { V2_TYPE } from './media-types.js'
import { consumerRoutes } from './v2/consumer-routes.js'
import { lookUpRoutes, produceOperations } from './v2/routes.js'
import { clusterRoutes } from './v3/cluster-routes.js'
import { configRoutes } from './v3/config-routes.js'
import { groupRoutes } from './v3/group-routes.js'
import { v3Operations } from './v3/operations.js'
import { topicRoutes } from './v3/topic-routes.js'

/** The routes of version 3 on clusters, topics and consumer groups, by id. */
export const v3AdminRoutes = { ...configRoutes, ...clusterRoutes, ...topicRoutes, ...groupRoutes } as const
const all = { ...lookUpRoutes, ...produceOperations, ...consumerRoutes, ...v3Operations, ...v3AdminRoutes }

/** Refusals that each operation can answer with, whose descriptions do not say more. */
const refusals: Readonly<Record<number, string>> = {
  400: 'The request cannot be read',
  401: 'No credentials, or wrong ones',
  403: 'The client may not do this',
  408: 'The request comes too slowly',
  429: 'A quota is used up',
  500: 'The request failed unexpectedly',
  503: 'Overloaded, or shutting down'
}
const v2Errors: Content = { [V2_TYPE]: error }
/** At the root the client names the type. */
const rootErrors: Content = { ...v2Errors, ...json(error) }

function refusalsOf({ path, body }: Described): Operation['answers'] {
  const content = path === '/' ? rootErrors : path.startsWith('/v3') ? json(error) : v2Errors
  const described = Object.entries(refusals).map(([status, description]) => [status, { description, content }])
  return {
    ...Object.fromEntries(described),
    ...(body !== undefined && { 413: { description: 'The body is too large', content } }),
    406: { description: 'The client takes no type that there is', content: json(error) }
  }
}

/** The operations of Confluent's API for `/openapi.json`. */
export const confluentOperations: readonly Operation[] = operationsOf<Described>(all, refusalsOf)
