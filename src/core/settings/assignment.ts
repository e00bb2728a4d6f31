/** A value for a setting, and its origin, which messages name. */
export interface Assignment {
  readonly path: readonly string[]
  readonly value: unknown
  readonly origin: string
  /** Returns the exact place of a value at or below `path`. Absent: `origin` is the best known place. */
  readonly originAt?: (path: readonly string[]) => string
}
