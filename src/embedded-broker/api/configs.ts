import type { Cluster } from '../cluster.js'
import type { Target } from '../faults.js'
import { errors } from '../protocol/error-codes.js'
import type { ProtocolReader } from '../protocol/reader.js'
import { TopicConfig } from '../topics/topic-config.js'
import { type Api, type Call, defineApi } from './api.js'

const TOPIC = 2
const BROKER = 4
export const SOURCE_TOPIC = 1
const SOURCE_STATIC_BROKER = 4
export const SOURCE_DEFAULT = 5
/** The broker settings that clients can read; none can be changed. */
const brokerConfig = ({ options, nodes }: Cluster): ReadonlyMap<string, string> =>
  new Map([
    ['auto.create.topics.enable', String(options.autoCreateTopics)],
    ['default.replication.factor', String(Math.min(3, nodes.length))],
    ['group.min.session.timeout.ms', String(options.minSessionTimeoutMs)],
    ['log.retention.bytes', String(options.retentionBytes)],
    ['message.max.bytes', '1048588'],
    ['min.insync.replicas', '1'],
    ['num.partitions', String(options.defaultPartitions)],
    ['producer.id.expiration.ms', String(options.producerExpiration.expirationMs)]
  ])

interface Resource {
  readonly type: number
  readonly name: string
}
interface Entry {
  readonly name: string
  readonly value: string
  readonly source: number
}

const topicTargets = (resources: readonly Resource[]): Target[] =>
  resources.filter(({ type }) => type === TOPIC).map(({ name }) => ({ topic: name }))

const describeConfigs = defineApi<{ readonly resources: readonly (Resource & { names: readonly string[] | null })[] }>({
  key: 32,
  name: 'DescribeConfigs',
  minVersion: 0,
  maxVersion: 4,
  flexibleFrom: 4,
  read(reader, version) {
    const resources = reader.structs(() => ({
      type: reader.int8(),
      name: reader.string(),
      names: reader.nullableArray(() => reader.string())
    }))
    if (version >= 1) reader.boolean()
    if (version >= 3) reader.boolean()
    return { resources }
  },
  targets: ({ resources }) => topicTargets(resources),
  answer({ resources }, call) {
    const { response, faults } = call
    response.int32(0)
    response.structs(resources, resource => {
      const injected = faults.before(resource.name)
      const entries = injected ? undefined : entriesOf(call.cluster, resource)
      const errorCode = entries
        ? errors.none
        : resource.type === TOPIC
          ? errors.unknownTopicOrPartition
          : errors.invalidRequest
      response.int16(injected || faults.after(resource.name) || errorCode).nullableString(null)
      response.int8(resource.type).string(resource.name)
      const asked = (entries ?? []).filter(({ name }) => resource.names?.includes(name) ?? true)
      response.structs(asked, entry => writeEntry(call, entry))
    })
  }
})

function entriesOf(cluster: Cluster, { type, name }: Resource): Entry[] | undefined {
  if (type === BROKER) {
    const known = name === '' || cluster.nodes.some(({ nodeId }) => String(nodeId) === name)
    if (!known) return undefined
    return [...brokerConfig(cluster)].map(([key, value]) => ({ name: key, value, source: SOURCE_STATIC_BROKER }))
  }
  const config = type === TOPIC ? cluster.topics.get(name)?.config : undefined
  return (
    config &&
    [...TopicConfig.names].map(key => ({
      name: key,
      value: config.get(key)!,
      source: config.isDefault(key) ? SOURCE_DEFAULT : SOURCE_TOPIC
    }))
  )
}

function writeEntry({ response, version }: Call, { name, value, source }: Entry): void {
  response.string(name).nullableString(value)
  response.boolean(source === SOURCE_STATIC_BROKER)
  if (version === 0) response.boolean(source !== SOURCE_TOPIC)
  else response.int8(source)
  response.boolean(false)
  // No synonyms; type unknown; no documentation.
  if (version >= 1) response.structs([], () => {})
  if (version >= 3) response.int8(0).nullableString(null)
}

const SET = 0
const DELETE = 1
interface Change {
  readonly name: string
  readonly operation: number
  readonly value: string | null
}
interface AlterRequest {
  readonly resources: readonly (Resource & { readonly changes: readonly Change[] })[]
  readonly isValidateOnly: boolean
}

/**
 * Both APIs for changing settings differ in one byte per setting, and in what happens to settings that are not named.
 */
const alterApi = (key: number, name: 'AlterConfigs' | 'IncrementalAlterConfigs', flexibleFrom: number): Api =>
  defineApi<AlterRequest>({
    key,
    name,
    minVersion: 0,
    maxVersion: flexibleFrom,
    flexibleFrom,
    read: reader => readAlter(reader, name === 'IncrementalAlterConfigs'),
    targets: ({ resources }) => topicTargets(resources),
    answer({ resources, isValidateOnly }, call) {
      const { response, faults, cluster } = call
      response.int32(0)
      response.structs(resources, resource => {
        const injected = faults.before(resource.name)
        const problem = injected ? undefined : changeProblem(cluster, resource)
        if (!injected && !problem && !isValidateOnly) apply(cluster, resource, name === 'AlterConfigs')
        const errorCode = problem?.errorCode ?? errors.none
        response.int16(injected || faults.after(resource.name) || errorCode).nullableString(problem?.message ?? null)
        response.int8(resource.type).string(resource.name)
      })
    }
  })

function readAlter(reader: ProtocolReader, isIncremental: boolean): AlterRequest {
  const resources = reader.structs(() => ({
    type: reader.int8(),
    name: reader.string(),
    changes: reader.structs(() => ({
      name: reader.string(),
      operation: isIncremental ? reader.int8() : SET,
      value: reader.nullableString()
    }))
  }))
  return { resources, isValidateOnly: reader.boolean() }
}

function changeProblem(cluster: Cluster, { type, name, changes }: AlterRequest['resources'][number]) {
  if (type !== TOPIC) return { errorCode: errors.invalidRequest, message: 'only topics can be configured here' }
  if (!cluster.topics.get(name)) return { errorCode: errors.unknownTopicOrPartition, message: null }
  for (const change of changes) {
    const isKnownOperation = change.operation === SET || change.operation === DELETE
    const problem = change.operation === DELETE ? undefined : TopicConfig.problem(change.name, change.value)
    if (!isKnownOperation) return { errorCode: errors.invalidConfig, message: `${change.name} is not a list here` }
    if (problem) return { errorCode: errors.invalidConfig, message: problem }
  }
  return undefined
}

function apply(cluster: Cluster, { name, changes }: AlterRequest['resources'][number], isReplacing: boolean): void {
  const { config } = cluster.topics.get(name)!
  if (isReplacing) config.replaceAll(new Map(changes.map(change => [change.name, change.value ?? ''])))
  else {
    for (const { name: setting, operation, value } of changes) {
      if (operation === DELETE) config.unset(setting)
      else config.set(setting, value ?? '')
    }
  }
  cluster.topicsChanged()
}

export const configs: readonly Api[] = [
  describeConfigs,
  alterApi(33, 'AlterConfigs', 2),
  alterApi(44, 'IncrementalAlterConfigs', 1)
]
