import { isLegalTopicName } from '../../core/model.js'
import { TopicConfig } from '../topics/topic-config.js'
import type { TopicDescription } from '../topics/topic-table.js'

/** What `cluster.json` holds. */
export interface ClusterFile {
  readonly format: 1
  readonly clusterId: string
  readonly nextProducerId: number
  readonly topics: readonly TopicDescription[]
}

/** A cluster id, and a topic id, as Kafka prints them. */
const ID = /^[\w-]{1,64}$/
const TOPIC_ID = /^[\w-]{22}$/

type Fields = Record<string, unknown>

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isCountArray = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)

function require(isRight: boolean, what: string): asserts isRight {
  if (!isRight) throw new Error(what)
}

/**
 * Checks every field, since the file may have been edited: names become folders, numbers become offsets.
 *
 * @throws Error with the first field that is invalid
 */
export function parseClusterFile(text: string): ClusterFile {
  const file: unknown = JSON.parse(text)
  require(isFields(file), 'it must hold an object')
  const { format, clusterId, nextProducerId, topics } = file
  require(format === 1, `format ${JSON.stringify(format)} is not known`)
  require(typeof clusterId === 'string' && ID.test(clusterId), 'clusterId must be letters, digits, - and _')
  require(isCount(nextProducerId), 'nextProducerId must be a whole number')
  require(Array.isArray(topics), 'topics must be a list')
  const names = new Set<string>()
  const checked = topics.map((topic, index) => {
    const where = `topics[${index}]`
    const parsed = parseTopic(topic, where)
    require(!names.has(parsed.name), `${where}.name occurs twice`)
    names.add(parsed.name)
    return parsed
  })
  return { format, clusterId, nextProducerId, topics: checked }
}

function parseTopic(topic: unknown, where: string): TopicDescription {
  require(isFields(topic), `${where} must be an object`)
  const { name, id, config, partitions } = topic
  require(typeof name === 'string' && isLegalTopicName(name), `${where}.name must be a legal topic name`)
  require(id === undefined || (typeof id === 'string' && TOPIC_ID.test(id)), `${where}.id must be a topic id`)
  require(Array.isArray(config), `${where}.config must be a list`)
  require(Array.isArray(partitions) && partitions.length > 0, `${where}.partitions must be a list that is not empty`)
  return {
    name,
    ...(id !== undefined && { id: id as string }),
    config: config.map((entry, index) => parseSetting(entry, `${where}.config[${index}]`)),
    partitions: partitions.map((partition, index) => parsePartition(partition, `${where}.partitions[${index}]`))
  }
}

function parseSetting(entry: unknown, where: string): readonly [string, string] {
  const [name, value] = Array.isArray(entry) ? (entry as unknown[]) : []
  require(typeof name === 'string' && typeof value === 'string', `${where} must be a name and a value`)
  const problem = TopicConfig.problem(name, value)
  require(problem === undefined, `${where}: ${problem}`)
  return [name, value]
}

function parsePartition(partition: unknown, where: string): TopicDescription['partitions'][number] {
  require(isFields(partition), `${where} must be an object`)
  const { replicas, leaderEpoch, logStartOffset, endOffset } = partition
  require(isCountArray(replicas), `${where}.replicas must be a list of node ids`)
  require(isCount(leaderEpoch) && leaderEpoch < 2 ** 31 - 1, `${where}.leaderEpoch must be a whole number`)
  require(isCount(logStartOffset), `${where}.logStartOffset must be a whole number`)
  require(endOffset === undefined || isCount(endOffset), `${where}.endOffset must be a whole number`)
  return { replicas, leaderEpoch, logStartOffset, ...(endOffset !== undefined && { endOffset }) }
}
