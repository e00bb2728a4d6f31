import { InvalidRequestError } from '../../core/errors.js'
import type { TopicConfigOptions } from '../embedded-cluster.js'

/** The settings that DescribeConfigs returns for a topic, with their defaults. */
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

/** The names of the broker settings that topics inherit, where they differ from the names of the topic settings. */
const BROKER_NAMES: ReadonlyMap<string, string> = new Map([
  ['cleanup.policy', 'log.cleanup.policy'],
  ['delete.retention.ms', 'log.cleaner.delete.retention.ms'],
  ['file.delete.delay.ms', 'log.segment.delete.delay.ms'],
  ['flush.messages', 'log.flush.interval.messages'],
  ['flush.ms', 'log.flush.interval.ms'],
  ['index.interval.bytes', 'log.index.interval.bytes'],
  ['max.compaction.lag.ms', 'log.cleaner.max.compaction.lag.ms'],
  ['max.message.bytes', 'message.max.bytes'],
  ['message.timestamp.type', 'log.message.timestamp.type'],
  ['min.cleanable.dirty.ratio', 'log.cleaner.min.cleanable.ratio'],
  ['min.compaction.lag.ms', 'log.cleaner.min.compaction.lag.ms'],
  ['preallocate', 'log.preallocate'],
  ['retention.bytes', 'log.retention.bytes'],
  ['retention.ms', 'log.retention.ms'],
  ['segment.bytes', 'log.segment.bytes'],
  ['segment.ms', 'log.roll.ms']
])

const INTEGERS = new Set([...DEFAULTS].filter(([, value]) => /^-?\d+$/.test(value)).map(([name]) => name))
const CHOICES: ReadonlyMap<string, RegExp> = new Map([
  ['cleanup.policy', /^(|compact|delete|compact, ?delete|delete, ?compact)$/],
  ['compression.type', /^(uncompressed|gzip|snappy|lz4|zstd|producer)$/],
  ['message.timestamp.type', /^(CreateTime|LogAppendTime)$/]
])

/** The settings of one topic. Settings that the topic does not set have defaults. */
export class TopicConfig {
  readonly #given: Map<string, string>
  maxMessageBytes = 0
  minInsyncReplicas = 0
  isLogAppendTime = false
  isCompacted = false
  /** -1: only the limit of the cluster applies. */
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

  /** The broker setting that the topic inherits, and its value. */
  static inherited(name: string): { readonly name: string; readonly value: string } {
    return { name: BROKER_NAMES.get(name) ?? name, value: DEFAULTS.get(name)! }
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

  /** Parses the settings once per change, so that an append need not parse them. */
  #read(): void {
    this.maxMessageBytes = Number(this.get('max.message.bytes'))
    this.minInsyncReplicas = Number(this.get('min.insync.replicas'))
    this.isLogAppendTime = this.get('message.timestamp.type') === 'LogAppendTime'
    this.isCompacted = this.get('cleanup.policy')!.includes('compact')
    this.retentionBytes = Number(this.get('retention.bytes'))
  }
}

/**
 * Checks the settings of a topic in the forms that the library accepts.
 *
 * @throws InvalidRequestError for a name or value that Kafka refuses
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
