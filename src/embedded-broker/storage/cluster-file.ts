import { ConfigError } from '../../core/errors.js'
import { isLegalTopicName } from '../../core/model.js'
import { TopicConfig } from '../topics/topic-config.js'
import type { TopicDescription } from '../topics/topic-table.js'
import { FILE_MODE, type FileSystem } from './file-bytes.js'
import { FIRST_PRODUCER_ID, newClusterId, type StoredCluster } from './storage.js'

/** Pause before another attempt to write the file after a failure. */
const RETRY_MS = 1000

/** The content of `cluster.json`. */
interface Content {
  readonly format: 1
  readonly clusterId: string
  readonly nextProducerId: number
  readonly topics: readonly TopicDescription[]
}

/** The file `cluster.json`, with cluster id, next producer id, and topics with settings, replicas and log starts. */
export class ClusterFile implements StoredCluster {
  readonly clusterId: string
  readonly topics: readonly TopicDescription[]
  readonly #path: string
  readonly #files: FileSystem
  readonly #warn: (message: string) => void
  #nextProducerId: number
  #describe: () => readonly TopicDescription[]
  #savedTopicIds: ReadonlySet<string> = new Set()
  #saving: NodeJS.Immediate | undefined
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  /** @throws ConfigError when the file exists and cannot be read */
  constructor(path: string, files: FileSystem, warn: (message: string) => void) {
    this.#path = path
    this.#files = files
    this.#warn = warn
    const { clusterId, nextProducerId, topics } = this.#read()
    this.clusterId = clusterId
    this.topics = topics
    this.#nextProducerId = nextProducerId
    this.#describe = () => topics
  }

  get nextProducerId(): number {
    return this.#nextProducerId
  }

  saveTopics(describe: () => readonly TopicDescription[]): void {
    if (this.#isClosed) return
    this.#describe = describe
    this.#saving ??= setImmediate(() => this.#saveOrRetry())
  }

  requireSaved(topicId: string): void {
    if (!this.#savedTopicIds.has(topicId)) this.#write()
  }

  /** Writes the file at once, because a producer id must never be allocated twice. */
  saveNextProducerId(next: number): void {
    const before = this.#nextProducerId
    this.#nextProducerId = next
    try {
      this.#write()
    } catch (error) {
      this.#nextProducerId = before
      throw error
    }
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    try {
      this.#write()
    } catch (error) {
      this.#warn(`${this.#path} cannot be written: ${(error as Error).message}`)
    }
  }

  #read(): Content {
    if (!this.#files.existsSync(this.#path)) {
      return { format: 1, clusterId: newClusterId(), nextProducerId: FIRST_PRODUCER_ID, topics: [] }
    }
    try {
      return parse(this.#files.readFileSync(this.#path, 'utf8'))
    } catch (error) {
      throw new ConfigError(`${this.#path} cannot be read (${(error as Error).message}); move it away to start anew`)
    }
  }

  /**
   * Writes the file. After a failure it tries again later, because a full disk may have free space again. Until then,
   * records of topics that are not in the file are refused.
   */
  #saveOrRetry(): void {
    this.#saving = undefined
    try {
      this.#write()
    } catch (error) {
      if (!this.#retry) this.#warn(`${this.#path} cannot be written and is tried again: ${(error as Error).message}`)
      // All failed attempts share one timer, so that it can be stopped.
      clearTimeout(this.#retry)
      this.#retry = setTimeout(() => this.#saveOrRetry(), RETRY_MS).unref()
    }
  }

  /** Writes a new file and renames it, so that a crash leaves either the old file or the new one. */
  #write(): void {
    clearImmediate(this.#saving)
    this.#saving = undefined
    const topics = this.#describe()
    const { clusterId } = this
    const file: Content = { format: 1, clusterId, nextProducerId: this.#nextProducerId, topics }
    this.#files.writeFileSync(`${this.#path}.new`, JSON.stringify(file, null, 1), { mode: FILE_MODE })
    this.#files.renameSync(`${this.#path}.new`, this.#path)
    this.#savedTopicIds = new Set(topics.flatMap(({ id }) => id ?? []))
    clearTimeout(this.#retry)
    this.#retry = undefined
  }
}

/** The syntax of a cluster id and of a topic id, as Kafka prints them. */
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
 * Checks every field, because the file may have been edited, and names become folders and numbers become offsets.
 *
 * @throws Error with the first field that is invalid
 */
function parse(text: string): Content {
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
    // A setting that an earlier version took and Kafka refuses is left out: its topic can still be read.
    config: config
      .map((entry, index) => parseSetting(entry, `${where}.config[${index}]`))
      .filter(([setting, value]) => TopicConfig.problem(setting, value) === undefined),
    partitions: partitions.map((partition, index) => parsePartition(partition, `${where}.partitions[${index}]`))
  }
}

function parseSetting(entry: unknown, where: string): readonly [string, string] {
  const [name, value] = Array.isArray(entry) ? (entry as unknown[]) : []
  require(typeof name === 'string' && typeof value === 'string', `${where} must be a name and a value`)
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
