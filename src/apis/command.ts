import { ConfigError } from '../core/errors.js'
import type { Assignment } from '../core/settings/problems.js'

/**
 * `castellan NAME`: the gateway with the configuration of an imitated system. It serves that API only, unless settings
 * enable others; Castellan's own file, environment and flags override translated settings.
 */
export interface ApiCommand {
  /** The name of the API. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Flags of the imitated system. A flag that Castellan has too keeps its meaning from the imitated system. */
  readonly flags: readonly ApiFlag[]
  /** Its flags are those of Go's package `flag`: with one dash or two. Default: two. */
  readonly takesGoFlags?: boolean
  /** Further lines of the command's help, such as the variables it reads. */
  readonly notes?: string
  /** At least one. */
  readonly examples: readonly string[]
  /**
   * Turns the foreign configuration into settings.
   *
   * @throws ConfigError naming every value that cannot be used, one per line
   */
  translate(given: ForeignConfiguration): Translation | Promise<Translation>
}

export interface ApiFlag {
  /** As help shows it: `-c, --config <FILE>`; without a placeholder it takes no value. */
  readonly flags: string
  readonly description: string
}

/** The configuration that the imitated system would read. */
export interface ForeignConfiguration {
  /** The given flags by long name without dashes; `true` for a flag that takes no value. */
  readonly flags: ReadonlyMap<string, string | true>
  readonly environment: Readonly<Record<string, string | undefined>>
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
  /** Where the original was told to serve its port with TLS: the gateway does not start without a certificate then. */
  readonly needsCertificate?: string | undefined
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

  /** @throws ConfigError naming every problem, one per line */
  translation(): Translation {
    if (this.problems.length > 0) throw new ConfigError(this.problems.join('\n'))
    const { settings, notes, needsCertificate } = this
    return { settings, notes, ...(needsCertificate !== undefined && { needsCertificate }) }
  }
}
