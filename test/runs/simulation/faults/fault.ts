import type { SeededRandom } from '../../../support/random.js'
import type { Brokers } from '../brokers.js'
import type { SimulatedProcess } from '../process.js'
import type { World } from '../world/world.js'

/** What a fault may do harm to. */
export interface FaultTargets {
  readonly world: World
  readonly brokers: Brokers
  /** Those in which Castellan runs. */
  readonly processes: readonly SimulatedProcess[]
  /** Topics and nodes that may be harmed; the others are a bystander's. */
  readonly topics: readonly string[]
  /** Topics that may lose what they hold. */
  readonly mortalTopics: readonly string[]
  /** Topics that may get more partitions. */
  readonly growingTopics: readonly string[]
  /** Brokers of another cluster. */
  readonly standby: Brokers | undefined
  readonly nodeIds: readonly number[]
}

/** A fault that has begun. */
export interface Started {
  /** For people: what it does to whom. */
  readonly what: string
  /** Mends it. Absent: it is over at once. */
  stop?(): void
  /** Whether anybody has met it so far. Absent: it is met by all, or was the moment it began. */
  isMet?(): boolean
  /** Resolves when it is met: it lasts as long from then on. Absent: it lasts from its beginning. */
  readonly firstMet?: Promise<void>
}

/** One kind of fault: begins it, with whom and how much as chance has it. */
export type FaultKind = (targets: FaultTargets, random: SeededRandom, durationMs: number) => Started

/** A fault that found nothing to harm. */
export const nothing = (what: string): Started => ({ what, isMet: () => false })
