import type { History, Logged, Rule } from '../support/history-checker.js'
import type { Violation } from './violation.js'
import { idOf } from './workloads/producer.js'

/** What is known to have been written where, and what may happen there. */
export interface HistoryCheck {
  readonly history: History
  /** The logs its records may be in: one, or several where a topic had several lives. */
  lives(): readonly (readonly Logged[])[]
  /** What Kafka itself does there. */
  readonly tolerates: readonly Rule[]
}

/** An acknowledged record may be in another life of its topic. */
const PER_LIFE: readonly Rule[] = ['lost', 'misplaced']
/** A record whose outcome is unknown may be in two lives, and lives do not follow each other offset by offset. */
const OVER_LIVES: readonly Rule[] = ['duplicated', 'reordered', 'split', 'misplaced']

/** Each life by itself is as strict as a log that lives for ever, and together they hold everything. */
export function checkHistory({ history, lives, tolerates }: HistoryCheck): Violation[] {
  const logs = lives()
  const isOne = logs.length === 1
  const together = violationsIn(history, logs.flat(), [...tolerates, ...(isOne ? [] : OVER_LIVES)])
  if (isOne) return together
  const apart = logs.flatMap(log => violationsIn(history, log, [...tolerates, ...PER_LIFE]))
  return [...together, ...apart]
}

const violationsIn = (history: History, log: readonly Logged[], tolerates: readonly Rule[]): Violation[] =>
  history.check(log, idOf).violations.filter(({ rule }) => !tolerates.includes(rule))
