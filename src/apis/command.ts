import type { Assignment } from '../core/settings/assignment.js'

/**
 * `castellan NAME`: the gateway with the configuration of an imitated system. It serves that API only, unless settings
 * enable others; Castellan's own file, environment and flags win over what is translated.
 */
export interface ApiCommand {
  /** The name of the API. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Flags of the imitated system. One that Castellan has too means what it means there. */
  readonly flags: readonly ApiFlag[]
  /** Its flags are those of Go's package `flag`: with one dash or two. Default: two. */
  readonly takesGoFlags?: boolean
  /** Further lines of its help: which variables it reads, for instance. */
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

/** What the imitated system would be given. */
export interface ForeignConfiguration {
  /** Those of its flags that were given, by long name without dashes; `true` for one that takes no value. */
  readonly flags: ReadonlyMap<string, string | true>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** @throws ConfigError naming the file */
  readFile(name: string): string
}

/**
 * Settings, with the variable, flag or line they were made of as their origin. An address that others can reach is taken
 * back to loopback where clients need no credentials and `http.allowAnonymous` is off, and the operator is told.
 */
export interface Translation {
  readonly settings: readonly Assignment[]
  /** What was understood and has no effect, or another one than in the original: one line each, said at the start. */
  readonly notes: readonly string[]
}
