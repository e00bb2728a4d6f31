import type { Translation } from '../../apis/api-command.js'
import { apis } from '../../apis/apis.js'
import { ConfigError } from '../../core/errors.js'
import { printable } from '../../core/printable.js'
import type { Leaf } from '../../core/settings/leaves.js'
import { ONCE } from '../../core/settings/options.js'
import { type Assignment, toProblems } from '../../core/settings/problems.js'
import type { HttpApi } from '../../http/api/api.js'
import { misplaced, named, placed } from './advanced.js'
import { type ConfigRole, crossCheck, forbiddenHosts, usesEmbeddedBroker } from './checks.js'
import { readSources, type ValueSources } from './read-sources.js'
import { type Config, configSchema, describeSettings, leaves, schemaOf, settingsOfApis } from './schema.js'
import { webhookFilesOf } from './webhook-files.js'

export type { FlagSetting } from './read-sources.js'
export type { Config } from './schema.js'

/** The sources of settings. Later sources override earlier ones: defaults, translated, file, environment, flags. */
export interface ConfigSources extends ValueSources {
  /** Purpose of the settings, which decides which combinations of settings are checked. Default `serve`. */
  readonly role?: ConfigRole | undefined
  /** The APIs whose settings are accepted. Default: all APIs of this version. */
  readonly apis?: readonly HttpApi[] | undefined
}

export interface ExplainedConfig {
  readonly config: Config
  /** The origin of a value: `default`, `castellan.yaml, line 3`, `CASTELLAN_HTTP_PORT` or `--port`. */
  originOf(path: readonly string[]): string
}

interface Settable {
  readonly apis: readonly HttpApi[]
  readonly schema: typeof configSchema
  readonly leaves: readonly Leaf[]
}

const known: Settable = { apis, schema: configSchema, leaves }

function settableWith(listed: readonly HttpApi[] | undefined): Settable {
  if (listed === undefined) return known
  const schema = schemaOf(listed)
  return { apis: listed, schema, leaves: describeSettings(schema).leaves }
}

/**
 * Reads and checks the configuration.
 *
 * @throws ConfigError that lists every problem, one per line, each with the place of the wrong value
 */
export const loadConfig = (sources: ConfigSources): Config => explainConfig(sources).config

/**
 * Reads and checks the configuration, and keeps the origin of each value.
 *
 * @throws ConfigError as {@link loadConfig}
 */
export const explainConfig = (sources: ConfigSources): ExplainedConfig => check(read(sources))

export interface TranslatedConfig extends ExplainedConfig {
  readonly notes: readonly string[]
}

/**
 * Like {@link explainConfig}, with settings translated from the configuration of an imitated system. A translated
 * address that other machines could reach without credentials is replaced by loopback.
 *
 * @param only the API to serve; other APIs are off unless another source enables them
 * @throws ConfigError as {@link loadConfig}
 */
export function translateConfig(
  sources: ConfigSources,
  { settings, notes, needsCertificate }: Translation,
  only: string
): TranslatedConfig {
  const listed = sources.apis ?? apis
  const others = listed.filter(({ name }) => name !== only)
  const off = others.map(({ name }) => ({
    path: ['apis', name, 'enabled'],
    value: false,
    origin: `castellan ${only}`
  }))
  const translated = [...off, ...settings]
  const first = read({ ...sources, translated })
  const exposed = first.config ? forbiddenHosts(first.config, listed).map(({ setting }) => setting) : []
  const closing = first.accepted.filter(
    assignment => translated.includes(assignment) && exposed.includes(assignment.path.join('.'))
  )
  const closed = closing.map(({ path, origin }) => ({ path, value: LOOPBACK, origin }))
  const explained = check(read({ ...sources, translated: [...translated, ...closed] }))
  if (needsCertificate !== undefined && explained.config.http.tls.certFile === undefined) {
    throw new ConfigError(
      printable(`${needsCertificate} needs a certificate: set http.tls.certFile and http.tls.keyFile`)
    )
  }
  return { ...explained, notes: [...notes, ...closing.map(describeClosed)] }
}

const LOOPBACK = '127.0.0.1'

const describeClosed = ({ path, value }: Assignment): string =>
  `${path.join('.')}: listening on ${LOOPBACK} instead of ${String(value)}, because clients would need no credentials; ` +
  'configure authentication (auth), or allow it with --allow-anonymous'

interface Read {
  readonly sources: ConfigSources
  readonly apis: readonly HttpApi[]
  readonly accepted: readonly Assignment[]
  readonly problems: readonly string[]
  /** Each setting is valid on its own. Whether the settings contradict each other is not checked yet. */
  readonly config: Config | undefined
}

function read(sources: ConfigSources): Read {
  const { schema, leaves, apis: listed } = settableWith(sources.apis)
  const { assignments, problems } = readSources({ ...sources, translated: named(sources.translated, leaves) }, leaves)
  const legal = assignments.filter(assignment => !usesInheritedName(assignment))
  const accepted = legal.filter(assignment => misplaced(assignment, leaves) === undefined)
  const parsed = schema.safeParse(assemble(placed(accepted, leaves)), ONCE)
  return {
    sources,
    apis: listed,
    accepted,
    problems: [
      ...problems,
      ...assignments.filter(usesInheritedName).map(describeInheritedName),
      ...legal.flatMap(assignment => misplaced(assignment, leaves) ?? []),
      ...(parsed.success ? [] : toProblems(named(parsed.error.issues, leaves), accepted, leaves))
    ],
    // The type of each API's section is known only to the schema of the API.
    config: parsed.data && withEmbedded(parsed.data as Config, accepted, listed)
  }
}

/** Switches APIs on that are on with the embedded broker, unless a source says otherwise. */
function withEmbedded(config: Config, accepted: readonly Assignment[], listed: readonly HttpApi[]): Config {
  if (!usesEmbeddedBroker(config)) return config
  const isSet = (name: string): boolean => accepted.some(({ path }) => path.join('.') === `apis.${name}.enabled`)
  const names = listed.flatMap(({ name, isOnWithEmbedded }) => (isOnWithEmbedded && !isSet(name) ? [name] : []))
  const on = settingsOfApis(config).filter(([name]) => names.includes(name))
  const apis = Object.fromEntries(on.map(([name, settings]) => [name, { ...settings, enabled: true }]))
  return { ...config, apis: { ...config.apis, ...apis } }
}

/** Combines assignments into one object. The object has no prototype, so that `__proto__` is an ordinary key. */
function assemble(assignments: readonly Assignment[]): unknown {
  const root = emptyMap()
  for (const { path, value } of assignments) {
    let place = root
    for (const part of path.slice(0, -1)) {
      const next = place[part]
      place = typeof next === 'object' && next !== null ? (next as Record<string, unknown>) : (place[part] = emptyMap())
    }
    place[path.at(-1)!] = value
  }
  return root
}

const emptyMap = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>

/**
 * True for a name that every JavaScript object has, such as `constructor`. No setting and no cluster may have such a
 * name.
 */
const isInherited = (name: string): boolean => name in Object.prototype

const usesInheritedName = ({ path }: Assignment): boolean => path.some(isInherited)

const describeInheritedName = ({ path, origin, originAt }: Assignment): string =>
  `${path.join('.')}: no such setting, and ${path.find(isInherited)} cannot be a name (${originAt?.(path) ?? origin})`

function check({ sources, apis: listed, accepted, problems, config }: Read): ExplainedConfig {
  const { role = 'serve', environment = {} } = sources
  const ofWebhooks = config && role === 'serve' ? webhookFilesOf(config, environment) : undefined
  const contradictions = config ? crossCheck(config, role, environment, listed) : []
  const found = [...problems, ...contradictions, ...(ofWebhooks?.problems ?? [])]
  if (found.length > 0 || !config) throw new ConfigError(found.map(printable).join('\n'))
  return { config: freeze({ ...config, webhookFiles: ofWebhooks?.files }), originOf: path => originOf(path, accepted) }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

function originOf(path: readonly string[], assignments: readonly Assignment[]): string {
  const isSame = (other: readonly string[]): boolean =>
    other.length === path.length && other.every((part, index) => part === path[index])
  const last = assignments.findLast(assignment => isSame(assignment.path))
  return last === undefined ? 'default' : (last.originAt?.(path) ?? last.origin)
}
