/** Something that must never happen, and did. */
export interface Violation {
  /** The rule that is broken, in one word or two: `lost`, `late`. */
  readonly rule: string
  readonly what: string
}
