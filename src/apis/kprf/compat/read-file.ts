import type { z } from 'zod'
import { ConfigError } from '../../../core/errors.js'
import { suggestion } from '../../../core/settings/suggestion.js'
import { parseFile } from './formats.js'
import { type CompatSettings, compatSettings } from './settings.js'

/** The content of a configuration file of kprf. */
export interface KprfFile {
  readonly compat: CompatSettings
  /** Keys that kprf does not know, and ignores. */
  readonly unknown: readonly UnknownKey[]
}

export interface UnknownKey {
  readonly key: string
  /** `; did you mean port?`, or an empty text. */
  readonly hint: string
}

/**
 * Reads a configuration file of kprf; its ending tells the format. As in kprf, upper and lower case of keys are the same.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export async function readKprfFile(name: string, text: string): Promise<KprfFile> {
  const content = await parseFile(name, text)
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new ConfigError(`${name}: expected the settings of kprf, such as "kafka:"`)
  }
  const unknown: UnknownKey[] = []
  const known = knownOf(content as Record<string, unknown>, compatShape, '', unknown)
  const parsed = compatSettings.safeParse(known)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(issue => describe(name, issue)).join('\n'))
  return { compat: parsed.data ?? {}, unknown }
}

type Kind = 'number' | 'boolean' | 'other'
interface Shape {
  readonly [key: string]: Shape | readonly [Shape] | Kind
}

const numbers = (...keys: string[]): Shape => Object.fromEntries(keys.map(key => [key, 'number']))

/** The keys there are, and which of them are numbers: kprf takes numbers and switches in quotes, too. */
const compatShape: Shape = {
  kafka: {
    brokers: 'other',
    user: 'other',
    password: 'other',
    ...numbers('message_max_bytes', 'queue_buffering_max_messages', 'queue_buffering_max_ms'),
    ...numbers('queue_buffering_max_kbytes', 'retries', 'message_timeout_ms', 'request_timeout_ms'),
    ...numbers('request_required_acks', 'statistics_interval_ms')
  },
  http: numbers('port', 'metrics_port'),
  output_file: 'other',
  ratelimit: { enabled: 'boolean', rules: [{ topic_name: 'other', ...numbers('max_requests_per_minute') }] }
}

function knownOf(content: Record<string, unknown>, shape: Shape, prefix: string, unknown: UnknownKey[]): object {
  const known: Record<string, unknown> = {}
  for (const [written, value] of Object.entries(content)) {
    const key = written.toLowerCase()
    const expected = Object.hasOwn(shape, key) ? shape[key] : undefined
    if (expected === undefined) unknown.push({ key: prefix + written, hint: suggestion(key, Object.keys(shape)) })
    else if (value !== null) known[key] = knownValue(value, expected, prefix + key, unknown)
  }
  return known
}

function knownValue(value: unknown, expected: Shape[string], path: string, unknown: UnknownKey[]): unknown {
  if (typeof expected === 'string') return fromText(value, expected)
  const isList = Array.isArray(value)
  if (typeof value !== 'object' || isList !== Array.isArray(expected)) return value
  if (!isList) return knownOf(value as Record<string, unknown>, expected as Shape, `${path}.`, unknown)
  const [shape] = expected as readonly [Shape]
  return value.map((item, index) => (item === null ? item : knownValue(item, shape, `${path}.${index}`, unknown)))
}

function fromText(value: unknown, expected: Kind): unknown {
  if (typeof value !== 'string' || expected === 'other') return value
  if (expected === 'number') return /^-?\d+$/.test(value) ? Number(value) : value
  return value === 'true' ? true : value === 'false' ? false : value
}

const describe = (name: string, { path, message }: z.core.$ZodIssue): string =>
  `${name}: ${path.join('.')}: ${message.replace(/^Invalid input: /, '')}`
