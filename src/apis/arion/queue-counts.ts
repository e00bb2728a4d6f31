import type { DurableLogStats } from '../../gateway/gateway.js'

/** The queue as Arion describes it, under its names. */
export interface QueueStats {
  /** Files that hold messages. */
  readonly 'num-slabs': number
  /** Of them, how many are written to or read from. */
  readonly 'num-active-slabs': number
  /** Messages that came, and at start those that were there already. */
  readonly enqueued: number
  /** Messages that were put back. Arion never did that, and neither does Castellan. */
  readonly retried: number
  /** Messages that need not be kept any more. */
  readonly completed: number
  /** All others. */
  readonly 'in-progress': number
  /** Messages that Kafka has refused for good. Arion did not have them. */
  readonly 'dead-letters'?: number
}

/** The queue on disk. Its numbers are those of all APIs that keep records there. */
export const diskStats = (log: DurableLogStats): QueueStats => ({
  'num-slabs': log.segmentCount,
  'num-active-slabs': Math.min(log.segmentCount, 1),
  enqueued: log.enqueued,
  retried: 0,
  completed: log.completed,
  'in-progress': log.openEntries,
  'dead-letters': log.deadLetters
})

/** The queue before its first message. */
export const NO_MESSAGES: QueueStats = {
  'num-slabs': 0,
  'num-active-slabs': 0,
  enqueued: 0,
  retried: 0,
  completed: 0,
  'in-progress': 0
}

/** The queues of several processes together; `undefined`: none of them had a message. */
export function sumOf(all: readonly (QueueStats | undefined)[]): QueueStats | undefined {
  const used = all.filter(stats => stats !== undefined)
  if (used.length === 0) return undefined
  const sum = (name: keyof QueueStats): number => used.reduce((total, stats) => total + (stats[name] ?? 0), 0)
  return {
    ...NO_MESSAGES,
    enqueued: sum('enqueued'),
    completed: sum('completed'),
    'in-progress': sum('in-progress')
  }
}

/** Counts the messages of this API that are kept in memory. */
export class QueueCounts {
  #enqueued = 0
  #completed = 0

  enqueued(messages: number): void {
    this.#enqueued += messages
  }

  completed(messages: number): void {
    this.#completed += messages
  }

  /** `undefined` before the first message. */
  get stats(): QueueStats | undefined {
    if (this.#enqueued === 0) return undefined
    return {
      ...NO_MESSAGES,
      enqueued: this.#enqueued,
      completed: this.#completed,
      'in-progress': this.#enqueued - this.#completed
    }
  }
}
