/** A part of Kafka-Pixy's file that has keys of its own. */
export type Section = Readonly<Record<string, unknown>>

export const isSection = (value: unknown): value is Section =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What is no section has no keys. */
export const sectionOf = (value: unknown): Section => (isSection(value) ? value : {})
