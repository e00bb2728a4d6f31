import type { CastellanError } from '../../core/errors.js'
import { printable, shortened } from '../../core/printable.js'
import { NAMELESS } from '../../core/record-budget.js'
import { type Caller, forbiddenByRules } from '../../http/access/access.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, type Params } from '../../http/api/endpoint.js'
import { clientOf } from '../../http/exchange/client.js'
import { type Exchange, isEscaped } from '../../http/exchange/exchange.js'
import type { QueueVerbs, Verbs } from '../../verbs/verbs.js'
import type { QueueParts } from './queue-answers.js'

/** The queue that a path names. */
export interface NamedQueue {
  /** Queues of the cluster. */
  readonly queues: QueueVerbs
  readonly topic: string
  readonly group: string
  /** Path below the prefix of the API. */
  readonly path: string
}

/** @throws ApiError when there is no such cluster */
export function verbsOf({ verbsByCluster }: QueueParts, cluster: string | undefined): Verbs {
  const verbs = verbsByCluster.get(cluster ?? 'default')
  if (verbs === undefined) throw new ApiError(404, 'there is no such cluster')
  return verbs
}

/**
 * @throws ApiError when there is no such cluster, or a name is empty, or is not percent-encoded, or names nothing that Kafka
 *   takes: clients make other paths of `.` and `..`, and Kafka takes white space for an empty name of a group
 */
export function queueOf(
  parts: QueueParts,
  { request }: Exchange,
  { cluster, topic = '', group = '' }: Params
): NamedQueue {
  if (isEscaped(request)) throw new ApiError(400, 'the path is not percent-encoded UTF-8')
  const { queues } = verbsOf(parts, cluster)
  if (topic === '' || group === '')
    throw new ApiError(400, `the name of the ${topic === '' ? 'topic' : 'group'} is empty`)
  for (const [what, name] of [
    ['topic', topic],
    ['group', group]
  ] as const)
    if (name === '.' || name === '..') throw new ApiError(400, `the name of the ${what} cannot be ${name}`)
  if (group.trim() === '') throw new ApiError(400, 'the name of the group is white space')
  if (group.includes('\0')) throw new ApiError(400, 'the name of the group has the character NUL')
  const start = cluster === undefined ? '' : `/clusters/${encodeURIComponent(cluster)}`
  return { queues, topic, group, path: `${start}/${encodeURIComponent(topic)}/${encodeURIComponent(group)}` }
}

/** Refuses a client that may not read the topic for the group. @returns whether it may */
export const admitsConsumer = (
  parts: QueueParts,
  exchange: Exchange,
  verb: 'queues.acquire' | 'queues.settle',
  { topic, group }: NamedQueue
): boolean => admits(parts, exchange, verb, { topic, group })

/** Topics that a refusal names. */
const MAX_NAMED = 5

/**
 * A setting of a group counts for all its topics. @returns the error to be answered, which names the topics that lack the right
 * `alter`, and is in the audit log; `undefined`: the client may change it
 */
export function refusalOfAltering(
  caller: Caller,
  topics: readonly string[],
  group: string
): CastellanError | undefined {
  const refusals = topics.map(topic => [topic, caller.refusalOf('alter', { topic, group })] as const)
  const refused = refusals.filter(([, refusal]) => refusal !== undefined)
  const [first] = refused
  if (refused.length < 2) return first?.[1]
  const names = refused.slice(0, MAX_NAMED).map(([topic]) => printable(JSON.stringify(shortened(topic))))
  const more = refused.length > MAX_NAMED ? ` and ${refused.length - MAX_NAMED} more` : ''
  return forbiddenByRules(
    `${caller.principal} may not do this: no rule allows alter here, for the topics ${names.join(', ')}${more}`
  )
}

/** The client whose limits count. All clients of a unix socket count as one. */
export const nameOfClient = ({ access }: QueueParts, { request }: Exchange): string =>
  clientOf(request, access.callerOf(request)) ?? NAMELESS
