import { extname } from 'node:path'
import type { z } from 'zod'
import { ConfigError } from '../../../errors.js'
import { type CompatSettings, compatSettings } from './settings.js'

/** The content of a configuration file of kprf. */
export interface KprfFile {
  readonly compat: CompatSettings
  /** Keys that kprf does not know, and ignores. */
  readonly unknown: readonly string[]
}

type Parse = (text: string) => Promise<unknown>

const parsers = new Map<string, Parse>([
  ['.yaml', async text => (await import('yaml')).parse(text)],
  ['.yml', async text => (await import('yaml')).parse(text)],
  ['.json', async text => parseJson(text)],
  ['.toml', async text => (await import('smol-toml')).parse(text)]
])

/** Formats that kprf reads, too, and why they are not read here. */
const others = new Map([
  ['.ini', 'INI has no lists, so that it cannot name brokers'],
  ['.hjson', 'write it as JSON or YAML']
])

/**
 * Reads a configuration file of kprf; its ending tells the format.
 *
 * @throws ConfigError naming every value that cannot be used, one per line
 */
export async function readKprfFile(name: string, text: string): Promise<KprfFile> {
  const content = await parse(name, text)
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new ConfigError(`${name}: expected the settings of kprf, such as "kafka:"`)
  }
  const unknown: string[] = []
  const known = knownOf(content as Record<string, unknown>, compatShape, '', unknown)
  const parsed = compatSettings.safeParse(known)
  if (!parsed.success) throw new ConfigError(parsed.error.issues.map(issue => describe(name, issue)).join('\n'))
  return { compat: parsed.data ?? {}, unknown }
}

async function parse(name: string, text: string): Promise<unknown> {
  const ending = extname(name).toLowerCase()
  const read = parsers.get(ending)
  if (read === undefined) {
    const why = others.get(ending) ?? 'name a .yaml, .json or .toml file'
    throw new ConfigError(`${name}: cannot be read: ${why}`)
  }
  try {
    return await read(text)
  } catch (error) {
    // The rest of a parser's message quotes the file, which may hold a password.
    throw new ConfigError(`${name}: ${(error as Error).message.split('\n')[0]!.slice(0, 200)}`)
  }
}

/** Without the parser's message, which quotes what it cannot read. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('is no valid JSON')
  }
}

interface Shape {
  readonly [key: string]: Shape | 'number' | 'boolean' | 'other'
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
  ratelimit: { enabled: 'boolean', rules: 'other' }
}

function knownOf(content: Record<string, unknown>, shape: Shape, prefix: string, unknown: string[]): object {
  const known: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(content)) {
    const expected = Object.hasOwn(shape, key) ? shape[key] : undefined
    if (expected === undefined) unknown.push(prefix + key)
    else if (value === null) continue
    else if (typeof expected === 'string') known[key] = fromText(value, expected)
    else if (typeof value === 'object' && !Array.isArray(value)) {
      known[key] = knownOf(value as Record<string, unknown>, expected, `${prefix}${key}.`, unknown)
    } else known[key] = value
  }
  return known
}

function fromText(value: unknown, expected: 'number' | 'boolean' | 'other'): unknown {
  if (typeof value !== 'string' || expected === 'other') return value
  if (expected === 'number') return /^-?\d+$/.test(value) ? Number(value) : value
  return value === 'true' ? true : value === 'false' ? false : value
}

const describe = (name: string, { path, message }: z.core.$ZodIssue): string =>
  `${name}: ${path.join('.')}: ${message.replace(/^Invalid input: /, '')}`
