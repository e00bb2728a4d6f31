import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader } from '../../kafka/protocol/encoding.js'
import type { ServedCluster } from '../cluster.js'
import type { FaultTarget } from '../faults.js'
import { defaultShareSettings, shareSettingNames, shareSettingProblem } from '../share/share-settings.js'
import { TopicConfig } from '../topics/topic-config.js'
import { type Call, defineApi, type ServedApi } from './api.js'

const TOPIC = 2
const BROKER = 4
const GROUP = 32
export const SOURCE_TOPIC = 1
const SOURCE_STATIC_BROKER = 4
export const SOURCE_DEFAULT = 5
const SOURCE_GROUP = 8
/** The broker settings that clients can read and cannot change. */
const brokerConfig = ({ options, nodes }: ServedCluster): ReadonlyMap<string, string> =>
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

interface NumberedResource {
  readonly type: number
  readonly name: string
}
interface SettingValue {
  readonly name: string
  readonly value: string
  readonly source: number
}
interface DescribedSetting extends SettingValue {
  /** The values that count for the setting, the one in force first. */
  readonly synonyms: readonly SettingValue[]
}

const topicTargets = (resources: readonly NumberedResource[]): FaultTarget[] =>
  resources.filter(({ type }) => type === TOPIC).map(({ name }) => ({ topic: name }))

const describeConfigs = defineApi({
  key: 32,
  name: 'DescribeConfigs',
  minVersion: 1,
  maxVersion: 4,
  flexibleFrom: 4,
  read(reader, version) {
    const resources = reader.structs(() => ({
      type: reader.int8(),
      name: reader.string(),
      names: reader.nullableArray(() => reader.string())
    }))
    const withSynonyms = reader.boolean()
    if (version >= 3) reader.boolean()
    return { resources, withSynonyms }
  },
  targets: ({ resources }) => topicTargets(resources),
  answer({ resources, withSynonyms }, call) {
    const { response, faults } = call
    response.int32(0)
    response.structs(resources, resource => {
      const injected = faults.before(resource.name)
      const entries = injected ? undefined : entriesOf(call.cluster, resource)
      const errorCode = entries
        ? errorCodes.NONE
        : resource.type === TOPIC
          ? errorCodes.UNKNOWN_TOPIC_OR_PARTITION
          : errorCodes.INVALID_REQUEST
      response.int16(injected || faults.after(resource.name) || errorCode).nullableString(null)
      response.int8(resource.type).string(resource.name)
      const asked = (entries ?? []).filter(({ name }) => resource.names?.includes(name) ?? true)
      response.structs(asked, entry => writeEntry(call, entry, withSynonyms))
    })
  }
})

function entriesOf(cluster: ServedCluster, { type, name }: NumberedResource): DescribedSetting[] | undefined {
  if (type === BROKER) {
    const known = name === '' || cluster.nodes.some(({ nodeId }) => String(nodeId) === name)
    if (!known) return undefined
    // Nothing is set for all brokers together.
    return name === '' ? [] : [...brokerConfig(cluster)].map(([key, value]) => brokerEntry(key, value))
  }
  if (type === GROUP) return name === '' ? undefined : groupEntries(cluster, name)
  const config = type === TOPIC ? cluster.topics.get(name)?.config : undefined
  return (
    config &&
    [...TopicConfig.names].map(key => {
      const inherited = TopicConfig.inherited(key)
      const synonyms = inherited ? [{ ...inherited, source: SOURCE_DEFAULT }] : []
      if (config.isDefault(key)) return { name: key, value: config.get(key)!, source: SOURCE_DEFAULT, synonyms }
      const own = { name: key, value: config.get(key)!, source: SOURCE_TOPIC }
      return { ...own, synonyms: [own, ...synonyms] }
    })
  )
}

/** The settings of a group; a group that does not exist has the defaults. */
function groupEntries({ shareGroups }: ServedCluster, groupId: string): DescribedSetting[] {
  const settings = shareGroups.settingsOf(groupId)
  return shareSettingNames.map(name => {
    const byDefault = { name, value: defaultShareSettings.get(name), source: SOURCE_DEFAULT }
    if (!settings.given.has(name)) return { ...byDefault, synonyms: [byDefault] }
    const own = { name, value: settings.get(name), source: SOURCE_GROUP }
    return { ...own, synonyms: [own, byDefault] }
  })
}

function brokerEntry(name: string, value: string): DescribedSetting {
  const own = { name, value, source: SOURCE_STATIC_BROKER }
  return { ...own, synonyms: [own] }
}

function writeEntry({ response, version }: Call, entry: DescribedSetting, withSynonyms: boolean): void {
  const { name, value, source, synonyms } = entry
  response.string(name).nullableString(value)
  response.boolean(source === SOURCE_STATIC_BROKER)
  response.int8(source).boolean(false)
  response.structs(withSynonyms ? synonyms : [], synonym =>
    response.string(synonym.name).nullableString(synonym.value).int8(synonym.source)
  )
  // The entry has an unknown type and no documentation.
  if (version >= 3) response.int8(0).nullableString(null)
}

const SET = 0
const DELETE = 1
interface SettingChange {
  readonly name: string
  readonly operation: number
  readonly value: string | null
}
interface AlterRequest {
  readonly resources: readonly (NumberedResource & { readonly changes: readonly SettingChange[] })[]
  readonly isValidateOnly: boolean
}

/**
 * Defines one of the two APIs that change settings. They differ in one byte per setting, and in their effect on
 * settings that a request does not name.
 */
const alterApi = (key: number, name: 'AlterConfigs' | 'IncrementalAlterConfigs', flexibleFrom: number): ServedApi =>
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
        const isDone = injected || problem || isValidateOnly || apply(cluster, resource, name === 'AlterConfigs')
        const errorCode = problem?.errorCode ?? (isDone ? errorCodes.NONE : errorCodes.POLICY_VIOLATION)
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

function changeProblem(cluster: ServedCluster, { type, name, changes }: AlterRequest['resources'][number]) {
  if (type === GROUP) return groupProblem(name, changes)
  if (type !== TOPIC) {
    const names = changes.map(change => change.name).join(', ')
    return { errorCode: errorCodes.INVALID_REQUEST, message: `Cannot update these configs dynamically: Set(${names})` }
  }
  if (!cluster.topics.get(name)) return { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION, message: null }
  for (const change of changes) {
    const isKnownOperation = change.operation === SET || change.operation === DELETE
    const problem = change.operation === DELETE ? undefined : TopicConfig.problem(change.name, change.value)
    if (change.operation === SET && change.value === null) {
      return { errorCode: errorCodes.INVALID_REQUEST, message: `Null value not supported for : ${change.name}` }
    }
    if (!isKnownOperation) return { errorCode: errorCodes.INVALID_CONFIG, message: `${change.name} is not a list here` }
    if (problem) return { errorCode: errorCodes.INVALID_CONFIG, message: problem }
  }
  return undefined
}

function groupProblem(groupId: string, changes: readonly SettingChange[]) {
  if (groupId === '') return { errorCode: errorCodes.INVALID_REQUEST, message: 'The group id is empty.' }
  for (const { name, operation, value } of changes) {
    const problem = operation === DELETE ? unknownSetting(name) : shareSettingProblem(name, value)
    if (problem) return { errorCode: errorCodes.INVALID_CONFIG, message: problem }
  }
  return undefined
}

const unknownSetting = (name: string): string | undefined =>
  shareSettingNames.includes(name) ? undefined : `Unknown group config name: ${name}`

/** @returns false: there is no capacity for another group */
function applyToGroup({ shareGroups }: ServedCluster, groupId: string, changes: readonly SettingChange[]): boolean {
  const given = new Map(shareGroups.settingsOf(groupId).given)
  for (const { name, operation, value } of changes) {
    if (operation === DELETE) given.delete(name)
    else given.set(name, value ?? '')
  }
  return shareGroups.configure(groupId, given)
}

/** @returns false: there is no capacity */
function apply(
  cluster: ServedCluster,
  { type, name, changes }: AlterRequest['resources'][number],
  isReplacing: boolean
): boolean {
  if (type === GROUP) return applyToGroup(cluster, name, changes)
  const { config } = cluster.topics.get(name)!
  if (isReplacing) config.replaceAll(new Map(changes.map(change => [change.name, change.value ?? ''])))
  else {
    for (const { name: setting, operation, value } of changes) {
      if (operation === DELETE) config.unset(setting)
      else config.set(setting, value ?? '')
    }
  }
  cluster.topicsChanged()
  return true
}

export const configs: readonly ServedApi[] = [
  describeConfigs,
  alterApi(33, 'AlterConfigs', 2),
  alterApi(44, 'IncrementalAlterConfigs', 1)
]
