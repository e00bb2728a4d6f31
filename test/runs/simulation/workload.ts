import type { Violation } from './violation.js'
import type { Host } from './world/host.js'

/** Something that clients do, again and again, and what they find out. */
export interface Workload {
  readonly name: string
  readonly host: Host
  /** Called on its host. */
  start(): void
  /** Begins nothing new. What is open is still answered. */
  stop(): void
  /** Whether it has done what it is there for; asked after {@link stop}, when every fault is over. */
  readonly isFinished: boolean
  /**
   * Does once more what it is there for, when every fault is over and everything is settled, until it succeeds. Absent: it
   * does so by itself until {@link isFinished}. Called on its host, after {@link stop}.
   */
  tryOnceMore?(succeeded: () => void): void
  /** What it has seen that must not be; asked once, when everything is over. */
  check(): readonly Violation[]
  /** How often what came out, to show that it did something. */
  readonly counts: Readonly<Record<string, number>>
}
