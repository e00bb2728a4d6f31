import { z } from 'zod'
import { ForbiddenError } from '../../../core/errors.js'
import { ANONYMOUS } from '../../../http/access/access.js'
import { ApiError } from '../../../http/api/api-answers.js'
import { lazily } from '../../../http/api/long-lists.js'
import { isOfThisMachine } from '../../../http/exchange/client.js'
import { sentUrlOf } from '../../../http/exchange/exchange.js'
import { type AclEntry, type AclFilter, aclWords } from '../../../verbs/admin.js'
import { queryOf } from '../../instance-routes.js'
import { KAFKA_REFUSES } from '../failures.js'
import { type ResourceKind, text } from './resources.js'
import { type AskV3, CLUSTER, list, type V3Route } from './routes.js'

/** Members of an entry, by the names of the parameters that select it. */
const members = {
  resource_type: 'resourceType',
  resource_name: 'resourceName',
  pattern_type: 'patternType',
  principal: 'principal',
  host: 'host',
  operation: 'operation',
  permission: 'permission'
} as const satisfies Readonly<Record<string, keyof AclEntry>>
const pairs = Object.entries(members)

const KIND = 'KafkaAcl'
/** An entry has no path of its own: it is found by all that it says. */
const acls: ResourceKind<AclEntry> = {
  name: KIND,
  schema: z.object({
    kind: z.literal(KIND),
    metadata: z.object({ self: text }),
    cluster_id: text,
    ...Object.fromEntries(pairs.map(([name]) => [name, text]))
  }),
  json(entry, links) {
    const said = Object.fromEntries(pairs.map(([name, field]) => [name, entry[field]]))
    const self = links.url(`/acls?${new URLSearchParams(said)}`)
    return { kind: KIND, metadata: { self }, cluster_id: links.clusterId, ...said }
  }
}

const NOT_HERE =
  'without credentials, and without rules of access, only clients on the machine of the gateway may read access control lists'

/** @throws ForbiddenError for a client on another machine about which nothing is known */
function requireNear({ caller, exchange }: AskV3): void {
  if (!caller.isRuled && caller.principal === ANONYMOUS && !isOfThisMachine(exchange.request))
    throw new ForbiddenError(NOT_HERE)
}

/** @throws ApiError for a word that there is not */
function filterIn(query: URLSearchParams): AclFilter {
  const filter: Record<string, string> = {}
  for (const [name, field] of pairs) {
    const given = query.get(name)
    if (given === null) continue
    const words: readonly string[] | undefined =
      field in aclWords ? aclWords[field as keyof typeof aclWords] : undefined
    if (words === undefined) filter[field] = given
    else {
      const word = given.toUpperCase()
      if (word === 'UNKNOWN' || !words.includes(word)) {
        const message = `${name} must be one of ${words.filter(one => one !== 'UNKNOWN').join(', ')}`
        throw new ApiError(400, message, { code: KAFKA_REFUSES })
      }
      if (word !== 'ANY') filter[field] = word
    }
  }
  return filter
}

const described = Object.fromEntries(
  pairs.map(([name]) => [name, text.optional().describe('Only entries that say this')])
)

/** The route of version 3 about access control lists. They are read only. */
export const aclRoutes = {
  searchAcls: {
    ...list('admin.describeAcls', `${CLUSTER}/acls`, 'Entries of access control lists', acls, async ask => {
      requireNear(ask)
      const filter = filterIn(queryOf(sentUrlOf(ask.exchange.request)))
      const found = await ask.verbs.admin.describeAcls(filter, ask.time.ms)
      return lazily(() => found)
    }),
    query: described
  }
} as const satisfies Readonly<Record<string, V3Route>>
