/** What the program is asked for; its only argument, as JSON. */
export interface EtlOptions {
  readonly brokers: string
  readonly orders: string
  readonly bills: string
  readonly group: string
  /** The transactional id. */
  readonly id: string
  /** Absent: it is a dynamic member. */
  readonly instanceId?: string
  /** Default 20 s. */
  readonly timeoutMs?: number
  /** The first transaction is held open until SIGUSR2 comes. */
  readonly holdsFirst?: boolean
  /** What it does to itself when it sends the end of a transaction; the first one that it ends is 1. */
  readonly atEnd?: {
    readonly nth: number
    readonly signal: 'SIGKILL' | 'SIGSTOP'
    /** After the bytes were written; `before`: when they are about to be. */
    readonly when: 'before' | number
  }
}

/** Each fourth order has no bill: it is acknowledged by itself. */
export const hasBill = (order: string): boolean => Number(order) % 4 !== 3
