import { z } from 'zod'
import { CastellanError } from '../../../core/errors.js'
import { isLegalTopicName } from '../../../core/model.js'
import type { Operation } from '../../../http/access/access.js'
import { ApiError } from '../../../http/api/api-answers.js'
import { seenBy } from '../../../http/api/endpoint.js'
import { lazily } from '../../../http/api/long-lists.js'
import { sentUrlOf } from '../../../http/exchange/exchange.js'
import { json } from '../../../http/openapi/operation.js'
import { errorCodes } from '../../../kafka/error-codes.js'
import type { AclOperation, LogEnds, NewTopic } from '../../../verbs/admin.js'
import type { TopicMetadata } from '../../../verbs/verbs.js'
import { queryOf } from '../../instance-routes.js'
import { KAFKA_REFUSES } from '../failures.js'
import {
  type FoundPartition,
  inOrderOfBytes,
  noPartition,
  requirePartition,
  type TimeLeft,
  unknownTopic,
  usableTopic
} from '../look-up.js'
import { kind, link, linkIfAny, pathOf, type ResourcePlace, text } from './resources.js'
import { type AskV3, brokerOf, CLUSTER, change, list, notFound, one, type V3Route } from './routes.js'

/** The only value of `offset_type`. */
const BOTH_OFFSETS = 'earliest_and_latest'
const BAD_OFFSET_TYPE = new ApiError(400, `offset_type must be ${BOTH_OFFSETS}`)
const CREATED = 201

/** The published name, and the one that the original reads where it lists topics. Both are read on both routes. */
const operationsParameters = ['include_authorized_operations', 'includeAuthorizedOperations']
/** The right in `access` that a client needs for an operation of Kafka. */
const permissions: Readonly<Record<AclOperation, Operation>> = {
  READ: 'consume',
  WRITE: 'produce',
  CREATE: 'create',
  DELETE: 'delete',
  ALTER: 'alter',
  DESCRIBE: 'admin',
  DESCRIBE_CONFIGS: 'admin',
  ALTER_CONFIGS: 'alter'
}

/** A topic in an answer. */
interface ShownTopic {
  readonly topic: string
  readonly isInternal: boolean
  readonly replicas: number
  readonly partitions: number
  readonly operations?: readonly AclOperation[] | undefined
}
interface OnePartition {
  readonly topic: string
  readonly of: FoundPartition
}
interface Replica extends OnePartition {
  readonly broker: number
}

const placeOf = ({ topic, of: { partition } }: OnePartition): ResourcePlace => [
  'topics',
  topic,
  'partitions',
  partition
]
const ofPartition = {
  topic_name: [text, ({ topic }: OnePartition) => topic],
  partition_id: [z.int(), ({ of }: OnePartition) => of.partition]
} as const

const topics = kind<ShownTopic>('KafkaTopic', ({ topic }) => ['topics', topic], {
  topic_name: [text, ({ topic }) => topic],
  is_internal: [z.boolean(), ({ isInternal }) => isInternal],
  replication_factor: [z.int(), ({ replicas }) => replicas],
  partitions_count: [z.int(), ({ partitions }) => partitions],
  partitions: link((_, path) => `${path}/partitions`),
  configs: link((_, path) => `${path}/configs`),
  partition_reassignments: link((_, path) => `${path}/partitions/-/reassignment`),
  authorized_operations: [
    z.array(text).optional().describe('What may be done with the topic, if it was asked for'),
    ({ operations }) => operations
  ]
})
const partitions = kind<OnePartition>('KafkaPartition', placeOf, {
  ...ofPartition,
  leader: linkIfAny(({ of: { leaderId } }, path) => (leaderId >= 0 ? `${path}/replicas/${leaderId}` : undefined)),
  replicas: link((_, path) => `${path}/replicas`),
  reassignment: link((_, path) => `${path}/reassignment`)
})
const replicas = kind<Replica>('KafkaReplica', one => [...placeOf(one), 'replicas', one.broker], {
  ...ofPartition,
  broker_id: [z.int(), ({ broker }) => broker],
  is_leader: [z.boolean(), ({ broker, of }) => broker === of.leaderId],
  is_in_sync: [z.boolean(), ({ broker, of }) => of.isr.includes(broker)],
  broker: link(({ broker }) => `/brokers/${broker}`)
})
const offsets = kind<OnePartition & { readonly ends: LogEnds }>(
  'KafkaPartitionWithOffsets',
  one => [...placeOf(one), 'offset'],
  {
    ...ofPartition,
    earliest_offset: [z.int(), ({ ends }) => ends.start],
    latest_offset: [z.int(), ({ ends }) => ends.end]
  }
)

const shown = ({ topic, isInternal, partitions }: TopicMetadata): ShownTopic => ({
  topic,
  isInternal,
  replicas: partitions[0]?.replicas.length ?? 0,
  partitions: partitions.length
})

/** The topics that the client may see, in the order of their names. */
export function visibleTopics({ caller }: AskV3, all: ReadonlyMap<string, TopicMetadata>): readonly TopicMetadata[] {
  const isVisible = seenBy(caller, 'topics', 'topic')
  return [...all.values()]
    .filter(({ topic, errorCode }) => errorCode === errorCodes.NONE && isVisible({ topic }))
    .sort((one, other) => inOrderOfBytes(one.topic, other.topic))
}

async function topicOf({ verbs, params: { topic_name: topic = '' }, time }: AskV3): Promise<TopicMetadata> {
  return usableTopic(await verbs.topics([topic], time.ms), topic, unknownTopic(topic))
}

async function partitionOf(ask: AskV3): Promise<OnePartition> {
  const found = await topicOf(ask)
  return { topic: found.topic, of: requirePartition(found, ask.params.partition_id ?? '') }
}

const replicasOf = (one: OnePartition): Replica[] => one.of.replicas.map(broker => ({ ...one, broker }))

/**
 * Operations on topics that Kafka allows Castellan and that `access` allows the client.
 *
 * @returns `undefined`: the request does not ask for it, or Kafka does not report it
 */
async function operationsOn(ask: AskV3, topics: readonly string[] | 'all') {
  const query = queryOf(sentUrlOf(ask.exchange.request))
  if (!operationsParameters.some(name => query.get(name)?.toLowerCase() === 'true')) return () => undefined
  const found = await ask.verbs.admin.topicOperations(topics, ask.time.ms)
  return (topic: string): readonly AclOperation[] | undefined =>
    found.get(topic)?.filter(operation => ask.caller.allows(permissions[operation], { topic }))
}

/** Kafka would not always refuse it, and would leave open which value counts. @throws ApiError */
export function requireNamedOnce(settings: readonly { readonly name: string }[]): void {
  const seen = new Set<string>()
  const twice = settings.find(({ name }) => seen.size === seen.add(name).size)
  if (twice !== undefined)
    throw new ApiError(400, `the request names the setting ${twice.name} twice`, { code: KAFKA_REFUSES })
}

const count = z.int().min(1)
const newTopicBody = z.strictObject({
  topic_name: z.string().optional(),
  partitions_count: count.nullish(),
  replication_factor: count.nullish(),
  replicas_assignments: z.record(z.string().regex(/^(?:0|[1-9]\d{0,8})$/), z.array(z.int())).nullish(),
  configs: z.array(z.strictObject({ name: z.string(), value: z.string().nullish() })).nullish(),
  validate_only: z.boolean().nullish()
})
type NewTopicBody = z.output<typeof newTopicBody>

/** @throws ApiError */
function toNewTopic({ topic_name: name, ...body }: NewTopicBody): NewTopic {
  if (name === undefined) throw new ApiError(400, 'topic_name is missing', { code: KAFKA_REFUSES })
  if (!isLegalTopicName(name)) throw new ApiError(422, 'topic_name is no name that a topic may have')
  const { partitions_count, replication_factor, replicas_assignments: replicas, configs } = body
  requireNamedOnce(configs ?? [])
  return {
    name,
    partitions: partitions_count ?? undefined,
    replicationFactor: replication_factor ?? undefined,
    assignments: replicas ? new Map(Object.entries(replicas).map(([at, brokers]) => [Number(at), brokers])) : undefined,
    configs: configs ? new Map(configs.map(one => [one.name, one.value ?? null])) : undefined
  }
}

/** A topic that was changed. The change is made and must not be answered as a failure, whatever becomes of this. */
async function lookUp({ verbs }: AskV3, topic: string, time: TimeLeft): Promise<ShownTopic | undefined> {
  try {
    const found = (await verbs.topics([topic], time.ms)).get(topic)
    return found?.errorCode === errorCodes.NONE ? shown(found) : undefined
  } catch (error) {
    if (error instanceof CastellanError) return undefined
    throw error
  }
}

const withOperations = {
  query: {
    include_authorized_operations: z
      .enum(['true', 'false'])
      .optional()
      .describe('`true`: `authorized_operations` are included')
  }
}

const TOPIC = `${CLUSTER}/topics/{topic_name}`
const PARTITION = `${TOPIC}/partitions/{partition_id}`
const topicJson = json(topics.schema)

/** The routes of version 3 about topics and their partitions, by id. */
export const topicRoutes = {
  listBrokerReplicas: list(
    'topics',
    `${CLUSTER}/brokers/{broker_id}/partition-replicas`,
    'The replicas that a broker has',
    replicas,
    async ask => {
      const { nodeId: broker } = await brokerOf(ask)
      const all = await ask.verbs.topics('all', ask.time.ms)
      return lazily(function* () {
        for (const { topic, partitions } of visibleTopics(ask, all)) {
          for (const of of partitions) if (of.replicas.includes(broker)) yield { topic, of, broker }
        }
      })
    }
  ),
  listTopicsV3: {
    ...list('topics', `${CLUSTER}/topics`, 'The topics', topics, async ask => {
      const all = await ask.verbs.topics('all', ask.time.ms)
      const operations = await operationsOn(ask, 'all')
      return lazily(function* () {
        for (const one of visibleTopics(ask, all)) yield { ...shown(one), operations: operations(one.topic) }
      })
    }),
    ...withOperations
  },
  createTopic: change(
    {
      verb: 'admin.createTopic',
      method: 'post',
      path: `${CLUSTER}/topics`,
      summary: 'Creates a topic',
      body: ['The topic', newTopicBody, newTopicBody.required({ topic_name: true })],
      answers: {
        200: { description: 'With `validate_only`: Kafka would create it', content: topicJson },
        201: { description: 'The topic', content: topicJson }
      },
      targetOf: ({ topic_name: topic = '' }) => ({ topic })
    },
    async (ask, body) => {
      const { verbs, links, time } = ask
      const topic = toNewTopic(body)
      const validateOnly = body.validate_only === true
      await verbs.admin.createTopic(topic, { timeoutMs: time.ms, validateOnly })
      const known = validateOnly ? undefined : await lookUp(ask, topic.name, time)
      const assigned = [...(topic.assignments?.values() ?? [])]
      const json = topics.json(
        known ?? {
          topic: topic.name,
          isInternal: false,
          // 0: a default of Kafka's.
          replicas: topic.replicationFactor ?? assigned[0]?.length ?? 0,
          partitions: topic.partitions ?? assigned.length
        },
        links
      )
      if (validateOnly) return { body: json }
      return { status: CREATED, headers: { location: links.url(pathOf(['topics', topic.name])) }, body: json }
    }
  ),
  getTopicV3: {
    ...one('topics', TOPIC, 'A topic', topics, async ask => {
      const found = await topicOf(ask)
      return { ...shown(found), operations: (await operationsOn(ask, [found.topic]))(found.topic) }
    }),
    ...withOperations
  },
  growTopic: change(
    {
      verb: 'admin.createPartitions',
      method: 'patch',
      path: TOPIC,
      summary: 'Adds partitions to a topic',
      body: ['How many it then has', z.strictObject({ partitions_count: count })],
      answers: { 200: { description: 'The topic', content: topicJson } }
    },
    async (ask, { partitions_count: partitions }) => {
      const { topic_name: topic = '' } = ask.params
      await ask.verbs.admin.createPartitions(topic, partitions, { timeoutMs: ask.time.ms })
      const known = (await lookUp(ask, topic, ask.time)) ?? { topic, isInternal: false, replicas: 0 }
      return { body: topics.json({ ...known, partitions }, ask.links) }
    }
  ),
  deleteTopic: change(
    {
      verb: 'admin.deleteTopic',
      method: 'delete',
      path: TOPIC,
      summary: 'Deletes a topic with its records'
    },
    async ({ verbs, params: { topic_name: topic = '' }, time }) => {
      await verbs.admin.deleteTopic(topic, time.ms)
    }
  ),
  listPartitionsV3: list('topics', `${TOPIC}/partitions`, 'The partitions of a topic', partitions, async ask => {
    const { topic, partitions } = await topicOf(ask)
    return lazily(() => partitions.map(of => ({ topic, of })))
  }),
  getPartitionV3: one('topics', PARTITION, 'A partition', partitions, partitionOf),
  getPartitionOffset: {
    ...one(
      'admin.logEnds',
      `${PARTITION}/offset`,
      'Where the log of a partition begins and ends',
      offsets,
      async ask => {
        const found = await topicOf(ask)
        if ((queryOf(sentUrlOf(ask.exchange.request)).get('offset_type') ?? BOTH_OFFSETS) !== BOTH_OFFSETS)
          throw BAD_OFFSET_TYPE
        const of = requirePartition(found, ask.params.partition_id ?? '')
        const { topic } = found
        const [ends] = await ask.verbs.admin.logEnds([{ topic, partition: of.partition }], ask.time.ms)
        if (ends === undefined) throw noPartition(topic, String(of.partition))
        return { topic, of, ends }
      }
    ),
    query: { offset_type: z.literal(BOTH_OFFSETS).optional().describe('Another value is answered 400') }
  },
  listReplicas: list('topics', `${PARTITION}/replicas`, 'The replicas of a partition', replicas, async ask =>
    replicasOf(await partitionOf(ask))
  ),
  getReplica: one('topics', `${PARTITION}/replicas/{broker_id}`, 'A replica', replicas, async ask => {
    const { broker_id: id } = ask.params
    const found = replicasOf(await partitionOf(ask)).find(({ broker }) => String(broker) === id)
    if (found === undefined) throw notFound(`the partition has no replica on broker ${id}`)
    return found
  })
} as const satisfies Readonly<Record<string, V3Route>>
