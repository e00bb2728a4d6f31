import { readFileSync } from 'node:fs'
import type { z } from 'zod'
import { ConfigError } from '../errors.js'
import { printable } from '../printable.js'
import { crossCheck, type Role } from './checks.js'
import { describeSettings, type Leaf } from './leaves.js'
import { didYouMean, toProblems } from './problems.js'
import { configSchema } from './schema.js'
import { type Assignment, fromEnvironment, fromText, fromYaml } from './sources.js'

/** The whole configuration, checked and frozen. Each room is handed its section rather than the whole. */
export type Config = z.output<typeof configSchema>

/** Where settings come from; later ones win: file < environment < flags. */
export interface ConfigSources {
  /** What the settings are for; decides which of them must fit together. Default `serve`. */
  readonly role?: Role | undefined
  /** Path of a YAML file. */
  readonly file?: string | undefined
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Settings by flag, in the order given. */
  readonly flags?: readonly FlagSetting[] | undefined
}

/** A flag that sets a setting: `--port 80` is `{flag: '--port', path: ['http', 'port'], value: '80'}`. */
export interface FlagSetting {
  readonly flag: string
  readonly path: readonly string[]
  /** Text is turned into the kind of value the setting holds. */
  readonly value: string | boolean
}

const { leaves } = describeSettings()

/**
 * Reads and checks the configuration.
 *
 * @throws ConfigError naming every problem found, one per line, each with where it was said
 */
export function loadConfig(sources: ConfigSources): Config {
  const problems: string[] = []
  const assignments: Assignment[] = []
  const take = (result: { assignments: readonly Assignment[]; problems: readonly string[] }): void => {
    assignments.push(...result.assignments)
    problems.push(...result.problems)
  }
  if (sources.file !== undefined) take(fromYaml(readConfigFile(sources.file), sources.file))
  const clusterNames = assignments.filter(({ path }) => path[0] === 'clusters').map(({ path }) => path[1] ?? '')
  take(fromEnvironment(sources.environment ?? {}, leaves, ['default', ...clusterNames]))
  take(fromFlags(sources.flags ?? []))

  const accepted = assignments.filter(assignment => !usesInheritedName(assignment))
  problems.push(...assignments.filter(usesInheritedName).map(describeInheritedName))
  const parsed = configSchema.safeParse(assemble(accepted))
  if (!parsed.success) problems.push(...toProblems(parsed.error, accepted, leaves))
  else problems.push(...crossCheck(parsed.data, sources.role ?? 'serve', sources.environment ?? {}))
  if (problems.length > 0 || !parsed.success) throw new ConfigError(problems.map(printable).join('\n'))
  return freeze(parsed.data)
}

function readConfigFile(fileName: string): string {
  try {
    return readFileSync(fileName, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new ConfigError(`cannot read ${fileName} (${code}); --config must name a YAML file`)
  }
}

function fromFlags(flags: readonly FlagSetting[]): { assignments: Assignment[]; problems: string[] } {
  const assignments: Assignment[] = []
  const problems: string[] = []
  for (const { flag, path, value } of flags) {
    const leaf = leafAt(path)
    if (!leaf) problems.push(`${flag}: there is no setting ${path.join('.')}${didYouMean(path, leaves)}`)
    else assignments.push({ path, value: typeof value === 'string' ? fromText(value, leaf) : value, origin: flag })
  }
  return { assignments, problems }
}

const leafAt = (path: readonly string[]): Leaf | undefined =>
  leaves.find(
    leaf => leaf.path.length === path.length && leaf.path.every((part, i) => part === '*' || part === path[i])
  )

/** Names that every object has, such as `constructor`, are settings of nobody, and no cluster can be called so. */
const isInherited = (name: string): boolean => name in Object.prototype

const usesInheritedName = ({ path }: Assignment): boolean => path.some(isInherited)

const describeInheritedName = ({ path, origin, originAt }: Assignment): string =>
  `${path.join('.')}: no such setting, and ${path.find(isInherited)} cannot be a name (${originAt?.(path) ?? origin})`

/** Puts assignments together to one object without prototype, so that `__proto__` is a key like any other. */
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

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}
