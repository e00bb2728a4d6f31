/** A value for a setting, and where it comes from, for messages. */
export interface Assignment {
  readonly path: readonly string[]
  readonly value: unknown
  readonly origin: string
  /** Where exactly the value of a path at or below it stands, when that is known better than `origin` says. */
  readonly originAt?: (path: readonly string[]) => string
}
