import { apis } from '../../apis/apis.js'
import type { Translation } from '../../apis/command.js'
import { ConfigError } from '../../core/errors.js'
import { printable } from '../../core/printable.js'
import type { Assignment } from '../../core/settings/assignment.js'
import type { Leaf } from '../../core/settings/leaves.js'
import { toProblems } from '../../core/settings/problems.js'
import type { HttpApi } from '../../http/api/api.js'
import { assemble, describeInheritedName, freeze, usesInheritedName } from './assemble.js'
import { crossCheck, forbiddenHosts, type Role } from './checks.js'
import { readSources, type ValueSources } from './read-sources.js'
import { type Config, configSchema, describeSettings, schemaOf, settingsOfApis } from './schema.js'

export type { FlagSetting } from './read-sources.js'
export type { Config } from './schema.js'

/** Where settings come from: defaults < translated < file < environment < flags. */
export interface ConfigSources extends ValueSources {
  /** What the settings are for; decides which of them must fit together. Default `serve`. */
  readonly role?: Role | undefined
  /** The APIs whose settings there are. Default: those of this version. */
  readonly apis?: readonly HttpApi[] | undefined
}

/** The configuration, and where each of its values comes from. */
export interface ExplainedConfig {
  readonly config: Config
  /** `default`, `castellan.yaml, line 3`, `CASTELLAN_HTTP_PORT` or `--port`. */
  originOf(path: readonly string[]): string
}

interface Settable {
  readonly apis: readonly HttpApi[]
  readonly schema: typeof configSchema
  readonly leaves: readonly Leaf[]
}

const known: Settable = { apis, schema: configSchema, leaves: describeSettings().leaves }

/** What can be set where these APIs are served. */
function settableWith(listed: readonly HttpApi[] | undefined): Settable {
  if (listed === undefined) return known
  const schema = schemaOf(listed)
  return { apis: listed, schema, leaves: describeSettings(schema).leaves }
}

/**
 * Reads and checks the configuration.
 *
 * @throws ConfigError naming every problem found, one per line, each with where it was said
 */
export const loadConfig = (sources: ConfigSources): Config => explainConfig(sources).config

/**
 * Reads and checks the configuration, and remembers where its values come from.
 *
 * @throws ConfigError as {@link loadConfig}
 */
export const explainConfig = (sources: ConfigSources): ExplainedConfig => check(readWithImplied(sources))

/** A translated configuration, and what the operator has to know of it. */
export interface TranslatedConfig extends ExplainedConfig {
  readonly notes: readonly string[]
}

/**
 * The same with settings that were made of the configuration of an imitated system. Addresses among them that others
 * could reach without credentials become loopback.
 *
 * @param only the API to serve; others are off unless another source enables them
 * @throws ConfigError as {@link loadConfig}
 */
export function translateConfig(
  sources: ConfigSources,
  { settings, notes }: Translation,
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
  const first = readWithImplied({ ...sources, translated })
  const exposed = first.config ? forbiddenHosts(first.config, listed).map(({ setting }) => setting) : []
  const closing = first.accepted.filter(
    assignment => translated.includes(assignment) && exposed.includes(assignment.path.join('.'))
  )
  const closed = closing.map(({ path, origin }) => ({ path, value: LOOPBACK, origin }))
  const explained = check(readWithImplied({ ...sources, translated: [...translated, ...closed] }))
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
  /** Each setting by itself is right; whether they fit together is not known yet. */
  readonly config: Config | undefined
}

/** Reads again where settings of APIs stand for others. */
function readWithImplied(sources: ConfigSources): Read {
  const first = read(sources)
  const implied = impliedBy(first)
  if (implied.length === 0) return first
  return read({ ...sources, translated: [...(sources.translated ?? []), ...implied] })
}

function impliedBy({ config, apis: listed, accepted }: Read): Assignment[] {
  if (config === undefined) return []
  const settings = new Map(settingsOfApis(config))
  return listed.flatMap(({ name, implied }) => {
    const at = (path: readonly string[]): string => originOf(['apis', name, ...path], accepted)
    return implied?.(settings.get(name)!, at) ?? []
  })
}

function read(sources: ConfigSources): Read {
  const { schema, leaves, apis: listed } = settableWith(sources.apis)
  const { assignments, problems } = readSources(sources, leaves)
  const accepted = assignments.filter(assignment => !usesInheritedName(assignment))
  const parsed = schema.safeParse(assemble(accepted))
  return {
    sources,
    apis: listed,
    accepted,
    problems: [
      ...problems,
      ...assignments.filter(usesInheritedName).map(describeInheritedName),
      ...(parsed.success ? [] : toProblems(parsed.error, accepted, leaves))
    ],
    // The section of each API is what its own schema makes of it.
    config: parsed.data as Config | undefined
  }
}

function check({ sources, apis: listed, accepted, problems, config }: Read): ExplainedConfig {
  const { role = 'serve', environment = {} } = sources
  const found = config ? [...problems, ...crossCheck(config, role, environment, listed)] : problems
  if (found.length > 0 || !config) throw new ConfigError(found.map(printable).join('\n'))
  return { config: freeze(config), originOf: path => originOf(path, accepted) }
}

function originOf(path: readonly string[], assignments: readonly Assignment[]): string {
  const isSame = (other: readonly string[]): boolean =>
    other.length === path.length && other.every((part, index) => part === path[index])
  const last = assignments.findLast(assignment => isSame(assignment.path))
  return last === undefined ? 'default' : (last.originAt?.(path) ?? last.origin)
}
