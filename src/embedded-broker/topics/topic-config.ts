import { InvalidRequestError } from '../../core/errors.js'
import type { TopicConfigOptions } from '../embedded-cluster.js'

/** The reason to refuse a value; undefined: the value is valid. */
type ValueCheck = (value: string) => string | undefined

const INT_MAX = 2n ** 31n - 1n
const LONG_MAX = 2n ** 63n - 1n

const whole =
  (type: 'INT' | 'LONG', least: bigint, most: bigint): ValueCheck =>
  value => {
    const digits = /^\s*([+-]?\d{1,40})\s*$/.exec(value)?.[1]?.replace('+', '')
    const number = digits === undefined ? undefined : BigInt(digits)
    const largest = type === 'INT' ? INT_MAX : LONG_MAX
    if (number === undefined || number > largest || number < -largest - 1n) return `Not a number of type ${type}`
    if (number < least) return `Value must be at least ${least}`
    return number > most ? `Value must be no more than ${most}` : undefined
  }
export const int = (least: bigint, most = INT_MAX): ValueCheck => whole('INT', least, most)
const long = (least: bigint): ValueCheck => whole('LONG', least, LONG_MAX)
/** The repetitions of a pattern would fail with texts of megabytes. */
const MAX_VALUE_LENGTH = 32_767
export const matching =
  (pattern: RegExp, problem: string): ValueCheck =>
  value =>
    value.length <= MAX_VALUE_LENGTH && pattern.test(value) ? undefined : problem
export const flag = matching(/^\s*(true|false)\s*$/i, 'Expected value to be either true or false')
const throttled = matching(/^(\*|(\d+:\d+(,\s*\d+:\d+)*)?)$/, 'must be * or a list of replicas')
const ratio: ValueCheck = value => {
  const number = Number(value)
  if (value.trim() === '' || Number.isNaN(number)) return 'Not a number of type DOUBLE'
  return number >= 0 && number <= 1 ? undefined : 'Value must be between 0 and 1'
}
const gzipLevel = int(1n, 9n)

/** The settings of a topic: default, check, and the broker setting that the topic inherits, if it has one. */
const SETTINGS: ReadonlyMap<string, readonly [byDefault: string, check: ValueCheck, inherited?: string]> = new Map([
  [
    'cleanup.policy',
    [
      'delete',
      matching(/^\s*$|^(compact|delete)(\s*,\s*(compact|delete))*$/, 'String must be one of: compact, delete'),
      'log.cleanup.policy'
    ]
  ],
  [
    'compression.gzip.level',
    ['-1', value => (value === '-1' ? undefined : gzipLevel(value)), 'compression.gzip.level']
  ],
  ['compression.lz4.level', ['9', int(1n, 17n), 'compression.lz4.level']],
  [
    'compression.type',
    ['producer', matching(/^(uncompressed|gzip|snappy|lz4|zstd|producer)$/, 'unknown type'), 'compression.type']
  ],
  ['compression.zstd.level', ['3', int(-131_072n, 22n), 'compression.zstd.level']],
  ['delete.retention.ms', ['86400000', long(0n), 'log.cleaner.delete.retention.ms']],
  ['file.delete.delay.ms', ['60000', long(0n), 'log.segment.delete.delay.ms']],
  ['flush.messages', ['9223372036854775807', long(1n), 'log.flush.interval.messages']],
  ['flush.ms', ['9223372036854775807', long(0n)]],
  ['follower.replication.throttled.replicas', ['', throttled]],
  ['index.interval.bytes', ['4096', int(0n), 'log.index.interval.bytes']],
  ['leader.replication.throttled.replicas', ['', throttled]],
  ['local.retention.bytes', ['-2', long(-2n), 'log.local.retention.bytes']],
  ['local.retention.ms', ['-2', long(-2n), 'log.local.retention.ms']],
  ['max.compaction.lag.ms', ['9223372036854775807', long(1n), 'log.cleaner.max.compaction.lag.ms']],
  ['max.message.bytes', ['1048588', int(0n), 'message.max.bytes']],
  ['message.timestamp.after.max.ms', ['3600000', long(0n), 'log.message.timestamp.after.max.ms']],
  ['message.timestamp.before.max.ms', ['9223372036854775807', long(0n), 'log.message.timestamp.before.max.ms']],
  [
    'message.timestamp.type',
    [
      'CreateTime',
      matching(/^(CreateTime|LogAppendTime)$/, 'String must be one of: CreateTime, LogAppendTime'),
      'log.message.timestamp.type'
    ]
  ],
  ['min.cleanable.dirty.ratio', ['0.5', ratio, 'log.cleaner.min.cleanable.ratio']],
  ['min.compaction.lag.ms', ['0', long(0n), 'log.cleaner.min.compaction.lag.ms']],
  ['min.insync.replicas', ['1', int(1n), 'min.insync.replicas']],
  ['preallocate', ['false', flag, 'log.preallocate']],
  ['remote.log.copy.disable', ['false', flag]],
  ['remote.log.delete.on.disable', ['false', flag]],
  ['remote.storage.enable', ['false', matching(/^\s*false\s*$/i, 'Tiered Storage functionality is disabled')]],
  ['retention.bytes', ['-1', long(-LONG_MAX - 1n), 'log.retention.bytes']],
  ['retention.ms', ['604800000', long(-1n)]],
  ['segment.bytes', ['1073741824', int(1_048_576n), 'log.segment.bytes']],
  ['segment.index.bytes', ['10485760', int(4n), 'log.index.size.max.bytes']],
  ['segment.jitter.ms', ['0', long(0n)]],
  ['segment.ms', ['604800000', long(1n)]],
  ['unclean.leader.election.enable', ['false', flag, 'unclean.leader.election.enable']]
])

/** The settings of one topic. Settings that the topic does not set have defaults. */
export class TopicConfig {
  readonly #given: Map<string, string>
  maxMessageBytes = 0
  minInsyncReplicas = 0
  isLogAppendTime = false
  isCompacted = false
  /** How much earlier and later than the broker's time a record's own time may be. */
  timestampBeforeMaxMs = 0
  timestampAfterMaxMs = 0
  /** -1: only the limit of the cluster applies. */
  retentionBytes = -1

  constructor(given: ReadonlyMap<string, string> = new Map()) {
    this.#given = new Map(given)
    this.#read()
  }

  static get names(): Iterable<string> {
    return SETTINGS.keys()
  }

  /** The reason to refuse a setting, if any. */
  static problem(name: string, value: string | null): string | undefined {
    const setting = SETTINGS.get(name)
    if (!setting) return `Unknown topic config name: ${name}`
    if (value === null) return `Null value not supported for topic configs: ${name}`
    const problem = setting[1](value)
    return problem === undefined ? undefined : `Invalid value ${value} for configuration ${name}: ${problem}`
  }

  get given(): ReadonlyMap<string, string> {
    return this.#given
  }

  get(name: string): string | undefined {
    return this.#given.get(name) ?? SETTINGS.get(name)?.[0]
  }

  /** The broker setting that the topic inherits, and its value; undefined: it inherits none. */
  static inherited(name: string): { readonly name: string; readonly value: string } | undefined {
    const [value, , inherited] = SETTINGS.get(name)!
    return inherited === undefined ? undefined : { name: inherited, value }
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
    this.timestampBeforeMaxMs = Number(this.get('message.timestamp.before.max.ms'))
    this.timestampAfterMaxMs = Number(this.get('message.timestamp.after.max.ms'))
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
