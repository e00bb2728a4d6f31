import { ConfigError, StacklessError } from '../core/errors.js'
import { messageOf } from '../core/node-errors.js'
import { type Assignment, suggestion } from '../core/settings/problems.js'
import type { Environment } from '../core/settings/setting-names.js'

/**
 * `castellan NAME`: the gateway with the configuration of an imitated system. It serves that API only, unless settings
 * enable others; Castellan's own file, environment and flags override translated settings.
 */
export interface ApiCommand {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Flags of the imitated system. A flag that Castellan has too keeps its meaning from the imitated system. */
  readonly flags: readonly ApiFlag[]
  /** The flags may begin with one dash or two, as in Go's package `flag`. Default: only with two. */
  readonly takesGoFlags?: boolean
  /** Further lines of the command's help, such as the variables it reads. */
  readonly notes?: string
  /** At least one example. */
  readonly examples: readonly string[]
  /**
   * Turns the foreign configuration into settings.
   *
   * @throws ConfigError naming every value that cannot be used, one per line
   */
  translate(given: ForeignConfiguration): Translation | Promise<Translation>
}

export interface ApiFlag {
  /** The flag as help shows it: `-c, --config <FILE>`. A flag without a placeholder takes no value. */
  readonly flags: string
  readonly description: string
}

/** The configuration that the imitated system would read. */
export interface ForeignConfiguration {
  /** The given flags by long name without dashes; `true` for a flag that takes no value. */
  readonly flags: ReadonlyMap<string, string | true>
  readonly environment: Environment
  /** @throws ConfigError naming the file */
  readFile(name: string): string
}

/**
 * Settings, with the variable, flag or line they were made of as their origin. Where clients need no credentials and
 * `http.allowAnonymous` is off, an address that others can reach is replaced by loopback, with a note for the operator.
 */
export interface Translation {
  readonly settings: readonly Assignment[]
  /** One line, logged at the start, for each key that has no effect or another one than in the original. */
  readonly notes: readonly string[]
  /** Place where the original was told to serve its port with TLS. The gateway then does not start without a certificate. */
  readonly needsCertificate?: string | undefined
}

/** A key of a foreign configuration: the setting that it becomes, or why it has no effect. */
export interface Key {
  readonly setting?: string
  /**
   * The value of the setting; `undefined`: it sets nothing. Default: the value as it is.
   *
   * @param note tells that the value is used in another way than in the original, or not at all
   * @throws Unusable
   */
  readonly read?: (value: never, note: (text: string) => void) => unknown
  readonly note?: string
}

/** A value that cannot be used. */
export class Unusable extends StacklessError {}

/** Keys of sections in sections are joined by dots. */
export type Keys = Readonly<Record<string, Key>>

/** A part of a file that has keys of its own. */
export type FileSection = Readonly<Record<string, unknown>>

export const isSection = (value: unknown): value is FileSection =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The values of a section by keys, and what is wrong with keys that there are not: ` is …; did you mean port?` */
export interface Entries {
  readonly values: ReadonlyMap<string, unknown>
  readonly unknown: ReadonlyMap<string, string>
}

/** @param fold the same for all spellings of a key; default: there is one */
export function entriesOf(section: FileSection, keys: Iterable<string>, fold = (key: string): string => key): Entries {
  const all = [...keys]
  const values = new Map<string, unknown>()
  const unknown = new Map<string, string>()
  const enter = (inside: FileSection, prefix: string): void => {
    const below = all.filter(key => key.startsWith(prefix)).map(key => key.slice(prefix.length).split('.')[0]!)
    for (const [written, value] of Object.entries(inside)) {
      const path = prefix + fold(written)
      if (!below.includes(fold(written))) unknown.set(prefix + written, suggestion(fold(written), [...new Set(below)]))
      else if (all.includes(path)) values.set(path, value)
      else if (isSection(value)) enter(value, `${path}.`)
    }
  }
  enter(section, '')
  return { values, unknown }
}

export const whole = (text: unknown): unknown => (/^\s*-?\d+\s*$/.test(String(text)) ? Number(text) : text)
export const truth = (text: unknown): unknown =>
  /^\s*(?:true|false)\s*$/i.test(String(text)) ? String(text).trim().toLowerCase() === 'true' : text

/** Whether variables of Castellan name the brokers. */
export const areBrokersNamed = (environment: ForeignConfiguration['environment']): boolean =>
  ['CASTELLAN_BROKERS', 'CASTELLAN_CLUSTERS_DEFAULT_BROKERS'].some(variable => environment[variable])

/**
 * Reads a file of YAML.
 *
 * @throws ConfigError in one line that quotes nothing of the file, which may hold a password
 */
export async function readYaml(name: string, text: string): Promise<unknown> {
  const { parse } = await import('yaml')
  try {
    return parse(text)
  } catch (error) {
    // The parser quotes the file after the first line.
    const [line] = messageOf(error).split('\n')
    throw new ConfigError(`${name}: ${line!.slice(0, 200).replace(/[:\s]+$/, '')}`)
  }
}

/** Settings, notes and problems as they are found in a foreign configuration. */
export class Findings {
  readonly settings: Assignment[] = []
  readonly notes: string[] = []
  readonly problems: string[] = []
  /** See {@link Translation.needsCertificate}. */
  needsCertificate: string | undefined

  set(setting: string, value: unknown, origin: string): void {
    this.settings.push({ path: setting.split('.'), value, origin })
  }

  /**
   * Settings of a process that serves one API on the API's own port. The shared port is not needed, so it must not take the
   * address of another process. The flags `--embedded` and `--port` are read too.
   */
  serveAlone(command: string, { flags }: ForeignConfiguration, portSetting?: string): void {
    this.set('http.port', 0, command)
    if (flags.has('embedded')) this.set('embedded.enabled', true, '--embedded')
    const port = flags.get('port')
    if (portSetting !== undefined && typeof port === 'string') this.set(portSetting, whole(port), '--port')
  }

  /**
   * Sets what a key stands for, or notes why it has no effect.
   *
   * @param name the key as notes about it begin
   */
  take({ setting, read, note }: Key, value: unknown, origin: string, name = origin): void {
    if (setting !== undefined) {
      const notes: string[] = []
      try {
        const taken = read === undefined ? value : read(value as never, text => notes.push(`${origin}: ${text}`))
        this.notes.push(...notes)
        if (taken !== undefined) this.set(setting, taken, origin)
        if (taken !== undefined || notes.length > 0) return
      } catch (error) {
        if (!(error instanceof Unusable)) throw error
        this.problems.push(`${origin}: ${error.message}`)
        return
      }
    }
    const why = note === undefined ? 'has no effect here' : `has no effect: ${note}`
    if (!this.notes.includes(`${name} ${why}`)) this.notes.push(`${name} ${why}`)
  }

  /** @throws ConfigError naming every problem, one per line */
  translation(): Translation {
    if (this.problems.length > 0) throw new ConfigError(this.problems.join('\n'))
    const { settings, notes, needsCertificate } = this
    return { settings, notes, ...(needsCertificate !== undefined && { needsCertificate }) }
  }
}
