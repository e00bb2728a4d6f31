import { operationsOf } from '../../http/api/routes.js'
import { type OpenApiSchema, toDocument } from '../../http/openapi/operation.js'
import { bridgeConsumerRoutes } from './consumer-routes.js'
import { bridgeTopicRoutes, processRoutes, refusalsOf } from './routes.js'

/** The routes of the bridge as operations for `/openapi.json`. */
export const strimziOperations = operationsOf(
  { ...bridgeTopicRoutes, ...bridgeConsumerRoutes, ...processRoutes },
  refusalsOf
)

/** The operations under the ids, and with the names of schemas, that the bridge has published. */
export function documentOf(version: string, url: string): OpenApiSchema {
  const document = toDocument("Strimzi's API of Castellan", version, [
    { name: 'strimzi', prefix: '', operations: strimziOperations }
  ])
  const paths = document.paths as Readonly<Record<string, Readonly<Record<string, object>>>>
  const schemas: Record<string, unknown> = {}
  const named: Record<string, Record<string, unknown>> = {}
  for (const { id: operationId, method, path, tags } of strimziOperations) {
    const operation = refer(paths[path]![method], schemas) as object
    named[path] = { ...named[path], [method]: { ...operation, operationId, tags } }
  }
  const components = { ...(document.components as object), schemas }
  const tags = [...new Set(strimziOperations.flatMap(({ tags = [] }) => tags))].map(name => ({ name }))
  return { ...document, servers: [{ url }], tags, paths: named, components }
}

/** Puts each schema that has a title among the others, and refers to it instead. */
function refer(node: unknown, schemas: Record<string, unknown>): unknown {
  if (Array.isArray(node)) return node.map(one => refer(one, schemas))
  if (typeof node !== 'object' || node === null) return node
  const { title, ...members } = node as Readonly<Record<string, unknown>>
  const own = Object.fromEntries(Object.entries(members).map(([name, member]) => [name, refer(member, schemas)]))
  if (typeof title !== 'string') return title === undefined ? own : { title: refer(title, schemas), ...own }
  schemas[title] ??= own
  return { $ref: `#/components/schemas/${title}` }
}
