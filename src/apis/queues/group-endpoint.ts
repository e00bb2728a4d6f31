import { KafkaError } from '../../core/errors.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { admits, answerWork, type Params, seenBy } from '../../http/api/endpoint.js'
import { type Exchange, sentPartsOf } from '../../http/exchange/exchange.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { queueOf, refusalOfAltering, verbsOf } from './named-queue.js'
import { answerFound, type QueueParts } from './queue-answers.js'
import { configuring, resetting, withJson } from './requests.js'

/** Groups of one answer to a list, and topics of each that it names. */
const GROUPS_PER_PAGE = 100
const MAX_TOPICS = 100

/** `GET /`: a page of the share groups whose offsets the client may read. */
export function listGroups(parts: QueueParts, exchange: Exchange, { cluster }: Params): void {
  const { shareGroups } = verbsOf(parts, cluster)
  if (!admits(parts, exchange, 'shareGroups.list', {})) return
  const caller = parts.access.callerOf(exchange.request)
  const after = new URLSearchParams(sentPartsOf(exchange.request, parts.prefix).query).get('after') ?? ''
  const isListed = seenBy(caller, 'shareGroups.list', 'group')
  const isVisible = seenBy(caller, 'shareGroups.list', 'topic+group')
  answerFound(parts, exchange, async () => {
    const only = { after, most: GROUPS_PER_PAGE, includes: (group: string) => isListed({ group }) }
    const { groups, next } = await shareGroups.list(only, LOOK_UP_TIMEOUT_MS)
    const rows = groups.map(({ groupId: group, state, members, topics }) => {
      const visible = topics.filter(topic => isVisible({ topic, group }))
      return { group, state, members: members.length, topics: visible.slice(0, MAX_TOPICS), topicCount: visible.length }
    })
    return { groups: rows, next: next ?? null }
  })
}

/** Answers 404 for an unknown group, and throws any other error. */
const noGroup = (error: unknown): never => {
  if (error instanceof KafkaError && error.errorCode === errorCodes.GROUP_ID_NOT_FOUND)
    throw new ApiError(404, error.message, { cause: error })
  throw error
}

/** `POST /{topic}/{group}/reset`: moves the group to other offsets. */
export function reset(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { topic, group } = queueOf(parts, exchange, params)
  const { shareGroups } = verbsOf(parts, params.cluster)
  if (!admits(parts, exchange, 'shareGroups.reset', { topic, group })) return
  withJson(parts, exchange, resetting, ({ to, dryRun }) =>
    answerFound(parts, exchange, async () => {
      const partitions = await shareGroups.reset(topic, group, to, dryRun, LOOK_UP_TIMEOUT_MS).catch(noGroup)
      return { partitions }
    })
  )
}

/** `DELETE /{topic}/{group}`: the group forgets the topic. */
export function forget(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { topic, group } = queueOf(parts, exchange, params)
  const { shareGroups } = verbsOf(parts, params.cluster)
  if (!admits(parts, exchange, 'shareGroups.forget', { topic, group })) return
  answerWork(parts, exchange, async () => {
    await shareGroups.forget(topic, group, LOOK_UP_TIMEOUT_MS).catch(noGroup)
    parts.answers.noContent(exchange)
  })
}

/** `GET /{topic}/{group}`. */
export function describe(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { queues, topic, group } = queueOf(parts, exchange, params)
  if (!admits(parts, exchange, 'queues.describe', { topic, group })) return
  answerFound(parts, exchange, async () => {
    const { state, members, partitions, settings = null } = await queues.describe(topic, group, LOOK_UP_TIMEOUT_MS)
    return { topic, group, state, members, partitions, settings }
  })
}

/** `PATCH /{topic}/{group}`: the settings of the group, which count for all its topics. */
export function configure(parts: QueueParts, exchange: Exchange, params: Params): void {
  const { queues, topic, group } = queueOf(parts, exchange, params)
  if (!admits(parts, exchange, 'queues.configure', { topic, group })) return
  withJson(parts, exchange, configuring, changes => {
    const caller = parts.access.callerOf(exchange.request)
    const { deadLetters } = changes
    const refusal = typeof deadLetters === 'string' ? caller.refusalOf('produce', { topic: deadLetters }) : undefined
    if (refusal !== undefined) throw refusal
    answerWork(parts, exchange, async () => {
      // A client that may alter everything needs no list of what it alters.
      const { topics } = caller.isRuled ? await queues.describe(topic, group, LOOK_UP_TIMEOUT_MS) : { topics: [] }
      const refused = refusalOfAltering(caller, topics, group)
      if (refused !== undefined) throw refused
      const settings = await queues.configure(topic, group, changes, LOOK_UP_TIMEOUT_MS)
      parts.answers.ok(exchange, { group, appliesTo: 'all topics of the group', ...settings })
    })
  })
}
