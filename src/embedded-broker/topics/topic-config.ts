import { InvalidRequestError } from '../../core/errors.js'
import type { TopicConfigOptions } from '../embedded-cluster.js'

/** The settings that DescribeConfigs returns for a topic, and the defaults of those that have an effect here. */
const DEFAULTS: ReadonlyMap<string, string> = new Map([
  ['cleanup.policy', 'delete'],
  ['compression.type', 'producer'],
  ['delete.retention.ms', '86400000'],
  ['file.delete.delay.ms', '60000'],
  ['flush.messages', '9223372036854775807'],
  ['flush.ms', '9223372036854775807'],
  ['index.interval.bytes', '4096'],
  ['max.compaction.lag.ms', '9223372036854775807'],
  ['max.message.bytes', '1048588'],
  ['message.timestamp.type', 'CreateTime'],
  ['min.cleanable.dirty.ratio', '0.5'],
  ['min.compaction.lag.ms', '0'],
  ['min.insync.replicas', '1'],
  ['preallocate', 'false'],
  ['retention.bytes', '-1'],
  ['retention.ms', '604800000'],
  ['segment.bytes', '1073741824'],
  ['segment.ms', '604800000'],
  ['unclean.leader.election.enable', 'false']
])

const INTEGERS = new Set([...DEFAULTS].filter(([, value]) => /^-?\d+$/.test(value)).map(([name]) => name))
const CHOICES: ReadonlyMap<string, RegExp> = new Map([
  ['cleanup.policy', /^(|compact|delete|compact, ?delete|delete, ?compact)$/],
  ['compression.type', /^(uncompressed|gzip|snappy|lz4|zstd|producer)$/],
  ['message.timestamp.type', /^(CreateTime|LogAppendTime)$/]
])

/** The settings of one topic: its own ones over the defaults. */
export class TopicConfig {
  readonly #given: Map<string, string>
  maxMessageBytes = 0
  minInsyncReplicas = 0
  isLogAppendTime = false
  isCompacted = false
  /** -1: only the cluster's limit. */
  retentionBytes = -1

  constructor(given: ReadonlyMap<string, string> = new Map()) {
    this.#given = new Map(given)
    this.#read()
  }

  static get names(): Iterable<string> {
    return DEFAULTS.keys()
  }

  /** The reason to refuse a setting, if any. */
  static problem(name: string, value: string | null): string | undefined {
    if (!DEFAULTS.has(name)) return `Unknown topic config name: ${name}`
    if (value === null) return `Null value not supported for topic configs: ${name}`
    if (INTEGERS.has(name) && !/^-?\d{1,19}$/.test(value))
      return `Invalid value ${value} for configuration ${name}: Not a number`
    if (CHOICES.has(name) && !CHOICES.get(name)!.test(value)) return `Invalid value ${value} for configuration ${name}`
    return undefined
  }

  get given(): ReadonlyMap<string, string> {
    return this.#given
  }

  get(name: string): string | undefined {
    return this.#given.get(name) ?? DEFAULTS.get(name)
  }

  isDefault(name: string): boolean {
    return !this.#given.has(name)
  }

  set(name: string, value: string): void {
    this.#given.set(name, value)
    this.#read()
  }

  unset(name: string): void {
    this.#given.delete(name)
    this.#read()
  }

  replaceAll(given: ReadonlyMap<string, string>): void {
    this.#given.clear()
    for (const [name, value] of given) this.#given.set(name, value)
    this.#read()
  }

  /** Once per change, so that appending need not parse text. */
  #read(): void {
    this.maxMessageBytes = Number(this.get('max.message.bytes'))
    this.minInsyncReplicas = Number(this.get('min.insync.replicas'))
    this.isLogAppendTime = this.get('message.timestamp.type') === 'LogAppendTime'
    this.isCompacted = this.get('cleanup.policy')!.includes('compact')
    this.retentionBytes = Number(this.get('retention.bytes'))
  }
}

/**
 * Settings of a topic as the library takes them, checked.
 *
 * @throws InvalidRequestError a name or a value that Kafka would refuse
 */
export function toTopicConfig(given: TopicConfigOptions = {}): ReadonlyMap<string, string> {
  const entries = given instanceof Map ? [...given] : Object.entries(given)
  const config = new Map(entries.map(([name, value]) => [name, String(value)]))
  for (const [name, value] of config) {
    const problem = TopicConfig.problem(name, value)
    if (problem !== undefined) throw new InvalidRequestError(problem)
  }
  return config
}
