import type { OffsetAndMetadata } from '../../core/model.js'
import type { AccessTarget } from '../../http/access/access.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { seenBy } from '../../http/api/endpoint.js'
import { type LongList, lazily } from '../../http/api/long-lists.js'
import { clientOf } from '../../http/exchange/client.js'
import { holdUntilLeft } from '../../http/exchange/leaving-records.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { VerbPath } from '../../verbs/facts.js'
import type { GroupOffset, TopicMetadata } from '../../verbs/verbs.js'
import { byBytes, checkJson, type GoJson, GoJsonError, goJson, longGoJson, withNumbersOnOneLine } from './go-json.js'
import { CONFIG_VERSION, configsOf, lagOf, NO_OFFSET, readersOf, type TopicConfigs, UNKNOWN_TOPIC } from './groups.js'
import { NO_SUCH_TOPIC_TEXT } from './pixy-answers.js'
import { allows, groupOf, merged, type PixyRequest, type RouteParts, textOf, type Values } from './pixy-request.js'

/** Kept for old clients, although ZooKeeper is not used. */
const NO_CONFIG = 'failed to fetch topic configuration: zk: node does not exist'
const NO_PARTITIONS = `failed to get partitions: ${NO_SUCH_TOPIC_TEXT}`

/** `GET /topics/{topic}/offsets`. */
export function readOffsets(parts: RouteParts, request: PixyRequest): void {
  const { verbs, topic, query } = request
  const group = groupOf(query.values)
  answer(parts, request, 'groups.offsets', { topic, group }, async () => {
    const offsets = await verbs.groups.offsets(group, topic, LOOK_UP_TIMEOUT_MS)
    if (offsets === undefined) throw new ApiError(404, UNKNOWN_TOPIC)
    return offsets.length === 0
      ? '[]'
      : longGoJson(
          'offsets',
          lazily(() => offsets.map(toJson))
        )
  })
}

/** `POST /topics/{topic}/offsets`. @param body whose bytes are valid during the call */
export function writeOffsets(parts: RouteParts, request: PixyRequest, form: Values, body: Buffer): void {
  const { verbs, topic, query } = request
  const group = groupOf(merged(form, query.values))
  answer(parts, request, 'groups.commit', { topic, group }, async () => {
    const changes = offsetChangesOf(body)
    const isPossible = [...changes.keys()].every(partition => partition >= 0)
    const outcomes = isPossible ? await verbs.groups.commit(group, topic, changes, LOOK_UP_TIMEOUT_MS) : undefined
    if (outcomes === undefined || [...outcomes.values()].includes('unknownTopicOrPartition'))
      throw new ApiError(404, UNKNOWN_TOPIC)
    return '{}'
  })
}

/** `GET /topics`. */
export function listTopics(parts: RouteParts, request: PixyRequest): void {
  const { exchange, verbs, query } = request
  const { values, flaw } = query
  const caller = parts.access.callerOf(exchange.request)
  answer(parts, request, 'topics', {}, async () => {
    if (flaw !== undefined) throw new ApiError(400, flaw)
    const [withPartitions, withConfig] = [values.has('withPartitions'), values.has('withConfig')]
    const all = await verbs.topics('all', LOOK_UP_TIMEOUT_MS)
    const isVisible = seenBy(caller, 'topics', 'topic')
    const topics = new Map([...all].filter(([topic]) => isVisible({ topic })))
    const names = [...topics.keys()].sort(byBytes)
    if (names.length === 0) return goJson(withPartitions || withConfig ? {} : [])
    if (!withPartitions && !withConfig) return longGoJson('topics', names)
    const configs = withConfig ? await configsOf(verbs, [...topics.keys()], LOOK_UP_TIMEOUT_MS) : undefined
    const described = function* (): Iterable<GoJson> {
      for (const name of names) yield [name, describe(topics.get(name)!, configs, withPartitions)]
    }
    return longGoJson('described topics', described(), true)
  })
}

/** `GET /topics/{topic}`. */
export function describeTopic(parts: RouteParts, request: PixyRequest): void {
  const { verbs, topic, query } = request
  answer(parts, request, 'topics', { topic }, async () => {
    if (query.flaw !== undefined) throw new ApiError(400, query.flaw)
    const withPartitions = query.values.has('withPartitions')
    const found = (await verbs.topics([topic], LOOK_UP_TIMEOUT_MS)).get(topic)
    if (found === undefined || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      throw new ApiError(500, withPartitions ? NO_PARTITIONS : NO_CONFIG)
    return goJson(describe(found, await configsOf(verbs, [topic], LOOK_UP_TIMEOUT_MS), withPartitions))
  })
}

/** `GET /topics/{topic}/consumers`. */
export function readConsumers(parts: RouteParts, request: PixyRequest): void {
  const { exchange, verbs, topic, query } = request
  const caller = parts.access.callerOf(exchange.request)
  const groups = query.values.get('group') ?? []
  const group = groups.length === 1 && groups[0] ? textOf(groups[0]) : undefined
  answer(parts, request, 'groups.consumers', { topic, ...(group !== undefined && { group }) }, async () => {
    if (groups.length > 1) throw new ApiError(400, `one consumer group is expected, but ${groups.length} provided`)
    const isVisible = seenBy(caller, 'groups.consumers', 'topic+group')
    const isListed = (one: string): boolean => isVisible({ topic, group: one })
    return withNumbersOnOneLine(goJson(await readersOf(verbs, { topic, group }, isListed, LOOK_UP_TIMEOUT_MS)))
  })
}

/** Does the work, if the client may have it done, and answers with its JSON or its failure. */
function answer(
  parts: RouteParts,
  request: PixyRequest,
  verb: VerbPath,
  target: AccessTarget,
  work: () => Promise<string | LongList>
): void {
  if (!allows(parts, request, verb, target)) return
  const { access, answers, fail, longLists, records } = parts
  const { exchange } = request
  const client = clientOf(exchange.request, access.callerOf(exchange.request))
  const write = async (json: string | LongList): Promise<void> => {
    if (typeof json === 'string') return answers.ok(exchange, json)
    const made = await longLists.make(json, client, exchange.response)
    if (made === undefined) return
    const { body, held } = made
    holdUntilLeft(exchange.response, records, held)
    if (typeof body === 'string') answers.ok(exchange, body)
    else answers.message(exchange, body, {}, held)
  }
  work()
    .then(write)
    .catch(error => fail(request, error))
}

/** A group's place in a partition, as Kafka-Pixy writes it. */
function toJson(place: GroupOffset): GoJson {
  const { partition, earliest: begin, latest: end, committed, acknowledged } = place
  const { offset = NO_OFFSET, metadata } = committed ?? {}
  const sparse = acknowledged.map(({ from, to }) => `${from - offset}-${to - offset}`).join()
  return {
    partition,
    begin,
    end,
    count: end - begin,
    offset,
    lag: lagOf(place),
    metadata: metadata || undefined,
    sparse_acks: sparse || undefined
  }
}

const LIST_TYPE = '[]httpsrv.partitionInfo'
const ITEM_TYPE = 'httpsrv.partitionInfo'

/** Members of an item, with their types in Go. Only three of them count. */
const MEMBERS: ReadonlyMap<string, 'int32' | 'int64' | 'string'> = new Map([
  ['partition', 'int32'],
  ['begin', 'int64'],
  ['end', 'int64'],
  ['count', 'int64'],
  ['offset', 'int64'],
  ['lag', 'int64'],
  ['metadata', 'string'],
  ['sparse_acks', 'string']
])

/**
 * Offsets to be set, by partition. A missing number is 0, and names of members may be in upper or lower case.
 *
 *   [{"partition": 1, "offset": -2}]   =>   1: -2
 *
 * @throws GoJsonError in the words of the original
 */
export function offsetChangesOf(body: Buffer): ReadonlyMap<number, OffsetAndMetadata> {
  checkJson(body.toString('latin1'))
  const list: unknown = JSON.parse(body.toString())
  if (list === null) return new Map()
  if (!Array.isArray(list)) throw mismatch(list, `Go value of type ${LIST_TYPE}`)
  return new Map(list.map(changeOf))
}

function changeOf(item: unknown): [partition: number, OffsetAndMetadata] {
  if (item !== null && (typeof item !== 'object' || Array.isArray(item))) {
    throw mismatch(item, `Go value of type ${ITEM_TYPE}`)
  }
  const found = new Map<string, unknown>()
  for (const [name, value] of Object.entries(item ?? {})) {
    const member = name.toLowerCase()
    if (value !== null) found.set(member, checked(member, value))
  }
  const metadata = found.get('metadata') as string | undefined
  const offset = (found.get('offset') as number | undefined) ?? 0
  return [(found.get('partition') as number | undefined) ?? 0, { offset, ...(metadata && { metadata }) }]
}

function checked(member: string, value: unknown): unknown {
  const type = MEMBERS.get(member)
  if (type === undefined || (type === 'string' ? typeof value === 'string' : isWhole(value, type))) return value
  throw mismatch(value, `Go struct field partitionInfo.${member} of type ${type}`, type !== 'string')
}

const isWhole = (value: unknown, type: 'int32' | 'int64'): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && (type === 'int64' || Math.trunc(value) === (value | 0))

/** @param isForNumber Go names the number that does not fit, if a number is expected */
const mismatch = (value: unknown, type: string, isForNumber = false): GoJsonError =>
  new GoJsonError(
    `json: cannot unmarshal ${kindOf(value)}${isForNumber && typeof value === 'number' ? ` ${value}` : ''} into ${type}`
  )

function kindOf(value: unknown): string {
  if (typeof value === 'boolean') return 'bool'
  return Array.isArray(value) ? 'array' : typeof value
}

function describe(
  { topic, partitions }: TopicMetadata,
  configs: TopicConfigs | undefined,
  withPartitions: boolean
): { [name: string]: GoJson } {
  const config = configs && { version: CONFIG_VERSION, config: configs.get(topic) ?? {} }
  return {
    ...(config && { config }),
    ...(withPartitions && partitions.length > 0 && { partitions: partitions.map(partitionJson) })
  }
}

const partitionJson = ({
  partition,
  leaderId: leader,
  replicas,
  isr
}: TopicMetadata['partitions'][number]): GoJson => ({
  partition,
  leader,
  replicas,
  isr
})
