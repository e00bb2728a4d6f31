import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { AskedKind, RoutedOperations } from '../../router/messages/operations.js'

/** A request to the Router without its requester. */
export type GroupRequest<Kind extends AskedKind> = Omit<RoutedOperations[Kind]['request'], 'requester' | 'type'>

export interface Timer {
  cancel(): void
}

/**
 * How the parts of a group reach the world. What they ask for is answered in a turn of the group's actor, so nothing happens
 * to a group beside its actor, and a bug has an owner.
 */
export interface GroupRuntime {
  readonly groupId: string
  ask<Kind extends AskedKind>(
    kind: Kind,
    request: GroupRequest<Kind>,
    onResult: (result: RoutedOperations[Kind]['result']) => void
  ): void
  after(delayMs: number, run: () => void): Timer
  /** Calls back once, when one of the topics has got more partitions than these. */
  watchTopics(counts: ReadonlyMap<string, number>, onChanged: () => void): Timer
  readonly clock: MonotonicClock
  /** Names the group in each line. */
  readonly log: Logger
  readonly metrics: MetricsLogger
}
