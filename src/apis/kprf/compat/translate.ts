import { z } from 'zod'
import type { Assignment } from '../../../core/settings/problems.js'
import { listenPort } from '../../../core/settings/units.js'
import type { Translation } from '../../command.js'

const KIB = 1024
const DEFAULT_BROKER_PORT = 9_092
const NO_LIMIT_MS = 2 ** 31 - 1
const STDOUT = '/dev/stdout'

const whole = z.int().optional()
const atLeastOne = z.int().min(1).optional()
const zeroOrMore = z.int().min(0).optional()

/** The keys of kprf's own configuration file. Source: kprf fd32acc, config. */
export const compatSettings = z
  .strictObject({
    kafka: z
      .strictObject({
        brokers: z.array(z.string().min(1)).optional(),
        user: z.string().optional(),
        password: z.string().optional(),
        message_max_bytes: atLeastOne,
        queue_buffering_max_messages: atLeastOne,
        queue_buffering_max_ms: zeroOrMore,
        queue_buffering_max_kbytes: atLeastOne,
        retries: zeroOrMore,
        message_timeout_ms: zeroOrMore,
        request_timeout_ms: atLeastOne,
        request_required_acks: whole,
        statistics_interval_ms: zeroOrMore
      })
      .optional(),
    http: z.strictObject({ port: listenPort.optional(), metrics_port: listenPort.optional() }).optional(),
    output_file: z.string().min(1).optional(),
    ratelimit: z
      .strictObject({
        enabled: z.boolean().optional(),
        rules: z.array(z.strictObject({ topic_name: z.string(), max_requests_per_minute: z.int().min(0) })).optional()
      })
      .optional()
  })
  .optional()

export type CompatSettings = NonNullable<z.output<typeof compatSettings>>

/** A key of kprf: what it sets here, or why it has no effect. */
interface Key {
  readonly path: readonly [section: string, name?: string]
  readonly setting?: string
  readonly toValue?: (value: never) => unknown
  readonly note?: string
}

const ALL_ACKS = 'all in-sync replicas acknowledge a record'

const KEYS: readonly Key[] = [
  {
    path: ['kafka', 'brokers'],
    setting: 'clusters.default.brokers',
    toValue: (brokers: string[]) => brokers.map(toAddress)
  },
  { path: ['kafka', 'user'], note: 'kprf cannot log in either; set clusters.default.sasl' },
  { path: ['kafka', 'password'], note: 'kprf cannot log in either; set clusters.default.sasl' },
  { path: ['kafka', 'message_max_bytes'], setting: 'apis.kprf.messageMaxBytes' },
  { path: ['kafka', 'queue_buffering_max_messages'], note: 'the buffer is bounded in bytes: delivery.maxBytes' },
  { path: ['kafka', 'queue_buffering_max_ms'], note: 'a record is sent as soon as its broker is free' },
  {
    path: ['kafka', 'queue_buffering_max_kbytes'],
    setting: 'delivery.maxBytes',
    toValue: (kibibytes: number) => kibibytes * KIB
  },
  { path: ['kafka', 'retries'], note: 'records are tried until their time is over' },
  {
    path: ['kafka', 'message_timeout_ms'],
    setting: 'apis.kprf.messageTimeoutMs',
    // In librdkafka 0 is no limit; delivery has one of its own.
    toValue: (timeoutMs: number) => (timeoutMs === 0 ? NO_LIMIT_MS : timeoutMs)
  },
  { path: ['kafka', 'request_timeout_ms'], note: 'clusters.default.requestTimeoutMs limits a call' },
  { path: ['kafka', 'request_required_acks'], note: ALL_ACKS },
  { path: ['kafka', 'statistics_interval_ms'], note: 'metrics are calculated when they are asked for' },
  { path: ['http', 'port'], setting: 'apis.kprf.port' },
  { path: ['http', 'metrics_port'], setting: 'apis.kprf.metricsPort' },
  { path: ['output_file'], setting: 'log.file', toValue: (file: string) => (file === STDOUT ? undefined : file) },
  { path: ['ratelimit', 'enabled'], setting: 'apis.kprf.ratelimit.enabled' },
  {
    path: ['ratelimit', 'rules'],
    setting: 'apis.kprf.ratelimit.rules',
    toValue: (rules: NonNullable<NonNullable<CompatSettings['ratelimit']>['rules']>) =>
      rules.map(({ topic_name: topic, max_requests_per_minute: maxPerMinute }) => ({ topic, maxPerMinute }))
  }
]

/** Translates the keys of kprf into settings. */
export function translateCompat(compat: CompatSettings, originOf: (path: readonly string[]) => string): Translation {
  const settings: Assignment[] = []
  const notes: string[] = []
  for (const key of KEYS) {
    const value = valueAt(compat, key.path)
    if (value === undefined) continue
    if (key.setting === undefined) notes.push(`${key.path.join('.')} has no effect: ${key.note}`)
    else {
      const translated = key.toValue === undefined ? value : key.toValue(value as never)
      if (translated !== undefined) {
        settings.push({
          path: key.setting.split('.'),
          value: translated,
          origin: originOf(key.path as readonly string[])
        })
      }
    }
  }
  return { settings, notes }
}

function valueAt(compat: CompatSettings, [section, name]: Key['path']): unknown {
  const value = compat[section as keyof CompatSettings]
  return name === undefined ? value : (value as Record<string, unknown> | undefined)?.[name]
}

/** Removes a protocol before a broker and adds the default port, as librdkafka does. */
function toAddress(broker: string): string {
  const bare = broker.replace(/^[a-z_]+:\/\//i, '')
  return /(^[^:]+|\]):\d+$/.test(bare) ? bare : `${bare}:${DEFAULT_BROKER_PORT}`
}
