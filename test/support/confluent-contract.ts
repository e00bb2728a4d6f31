import { confluent } from '../../src/apis/confluent/api.js'
import { type AnswerSeen, DescribedAnswers } from './described-answers.js'

/**
 * The members that answers of version 3 have by the document that Confluent publishes
 * (confluentinc/kafka-rest 985d0e0, api/v3/openapi.yaml), by kind, besides `kind` and `metadata`. `?`: it may be absent or null.
 */
const ofTopic = 'cluster_id:text topic_name:text'
const ofPartition = `${ofTopic} partition_id:integer`
const ofGroup = 'cluster_id:text consumer_group_id:text'
const ofConfig =
  'cluster_id:text name:text value?:text is_default:boolean is_read_only:boolean is_sensitive:boolean source:text synonyms:list'
const publishedKinds: Readonly<Record<string, string>> = {
  KafkaCluster:
    'cluster_id:text controller?:link acls:link brokers:link broker_configs:link consumer_groups:link topics:link partition_reassignments:link',
  KafkaBroker:
    'cluster_id:text broker_id:integer host?:text port?:integer rack?:text configs:link partition_replicas:link',
  KafkaTopic: `${ofTopic} is_internal:boolean replication_factor:integer partitions_count:integer partitions:link configs:link partition_reassignments:link authorized_operations?:list`,
  KafkaPartition: `${ofPartition} leader?:link replicas:link reassignment:link`,
  KafkaReplica: `${ofPartition} broker_id:integer is_leader:boolean is_in_sync:boolean broker:link`,
  KafkaPartitionWithOffsets: `${ofPartition} earliest_offset:integer latest_offset:integer`,
  KafkaTopicConfig: `${ofConfig} topic_name:text`,
  KafkaBrokerConfig: `${ofConfig} broker_id:integer`,
  KafkaClusterConfig: `${ofConfig} config_type:text`,
  KafkaConsumerGroup: `${ofGroup} is_simple:boolean partition_assignor:text state:text type:text is_mixed_consumer_group:boolean coordinator:link consumers:link lag_summary:link`,
  KafkaConsumer: `${ofGroup} consumer_id:text instance_id?:text client_id:text assignments:link`,
  KafkaConsumerAssignment: `${ofGroup} consumer_id:text topic_name:text partition_id:integer partition:link lag:link`,
  KafkaConsumerLag: `${ofGroup} topic_name:text partition_id:integer current_offset:integer log_end_offset:integer lag:integer consumer_id:text instance_id?:text client_id:text`,
  KafkaConsumerGroupLagSummary: `${ofGroup} max_lag_consumer_id:text max_lag_instance_id?:text max_lag_client_id:text max_lag_topic_name:text max_lag_partition_id:integer max_lag:integer total_lag:integer max_lag_consumer:link max_lag_partition:link`,
  KafkaAcl:
    'cluster_id:text resource_type:text resource_name:text pattern_type:text principal:text host:text operation:text permission:text'
}

/** Where Castellan's answers differ, each with its reason in docs/compatibility/confluent.md: `KIND MEMBER` may be absent. */
const absent: ReadonlySet<string> = new Set([
  'KafkaConsumerGroup coordinator',
  'KafkaConsumerGroupLagSummary max_lag_consumer'
])

type Json = Readonly<Record<string, unknown>>

const isJson = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: value => typeof value === 'string',
  integer: Number.isInteger,
  boolean: value => typeof value === 'boolean',
  list: Array.isArray,
  link: value => isJson(value) && typeof value.related === 'string' && Object.keys(value).length === 1
}

/** What an answer of version 3 lacks of the published document, or has beside it. */
export function differencesFrom(body: unknown): string[] {
  if (!isJson(body)) return ['it is no object']
  const { kind, metadata, data } = body
  const base = isJson(metadata) && typeof metadata.self === 'string' ? [] : [`${kind} has no metadata.self`]
  if (typeof kind !== 'string' || !kind.endsWith('List')) return [...base, ...differencesOf(body)]
  if (!Array.isArray(data)) return [...base, `${kind} has no data`]
  const others = data.filter(one => `${one.kind}List` !== kind).map(one => `${kind} has an element ${one.kind}`)
  return [...base, ...others, ...data.flatMap(differencesFrom)]
}

function differencesOf(resource: Json): string[] {
  const kind = String(resource.kind)
  const line = publishedKinds[kind]
  if (line === undefined) return [`the kind ${kind} is not in the published document`]
  const differences: string[] = []
  const known = new Set(['kind', 'metadata'])
  for (const member of line.split(' ')) {
    const [, name, optional, type] = /^(\w+)(\??):(\w+)$/.exec(member)!
    known.add(name!)
    const value = resource[name!]
    const mayLack = optional === '?' || (absent.has(`${kind} ${name}`) && value === undefined)
    if (!(mayLack && (value === undefined || value === null)) && !types[type!]!(value)) {
      differences.push(`${kind}.${name} is ${JSON.stringify(value)}`)
    }
  }
  return [
    ...differences,
    ...Object.keys(resource)
      .filter(name => !known.has(name))
      .map(name => `${kind} has ${name}`)
  ]
}

/** Statuses of version 3 whose bodies are one of the published kinds. */
const WITH_RESOURCE = new Set([200, 201])

/** Every answer of Confluent's API, as the description and the published document have it. */
export class ConfluentContract {
  readonly answers: DescribedAnswers

  constructor() {
    const errors = {
      type: 'object',
      properties: { error_code: { type: 'integer' }, message: { type: 'string' } },
      required: ['error_code', 'message'],
      additionalProperties: false
    }
    const operations = confluent.operations(confluent.settings.parse({}))
    this.answers = new DescribedAnswers('confluent', operations, ['confluentProduceRecords'], errors)
  }

  /** Throws when an answer differs. */
  readonly check = (asked: AnswerSeen): void => {
    const seen = { ...asked, path: asked.path.replace(/^\/kafka(?=\/v3\/)/, '') }
    this.answers.check(seen)
    const { method, path, status, body } = seen
    if (!path.startsWith('/v3/') || /\/records(?::batch)?\/?(?:\?|$)/.test(path)) return
    if (method === 'HEAD' || !WITH_RESOURCE.has(status)) return
    const differences = differencesFrom(JSON.parse(body))
    if (differences.length > 0) throw new Error(`${method} ${path}: ${differences.join('; ')}`)
  }
}

/** Of this process. */
export const confluentContract = new ConfluentContract()
