import type { History } from '../../support/history-checker.js'
import type { SeededRandom } from '../../support/random.js'
import type { ReceiptCheck } from './receipt-check.js'

/** Longer than any answer may take: who waits longer was forgotten. */
export const ANSWER_TIMEOUT_MS = 60_000
/** After a lost connection or a refusal. */
export const PAUSE_MS = 50

/** Connections, counted over all clients. */
let connections = 0
const numbers = new WeakMap<object, number>()

/** The number of a connection, the same each time. */
export function numberOf(connection: object): number {
  const number = numbers.get(connection) ?? ++connections
  numbers.set(connection, number)
  return number
}

export interface LoadOptions {
  /** The beginning of all its ids. */
  readonly name: string
  /** Of the gateway: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly topic: string
  /** Its own, shared with no other client: it sends one message after another, so their order is known. */
  readonly keys: readonly string[]
  readonly maxValueBytes: number
  readonly random: SeededRandom
  readonly history: History
  /** Gets the receipts of acknowledged records. Absent: they are not asked for. */
  readonly receipts?: ReceiptCheck | undefined
  readonly isStopped: () => boolean
}

/** Makes messages whose value begins with their id, and notes them. */
export class Messages {
  readonly #options: LoadOptions
  #count = 0

  constructor(options: LoadOptions) {
    this.#options = options
  }

  next(key: string): { readonly id: string; readonly value: string } {
    const { name, random, maxValueBytes, topic, history } = this.#options
    const id = `${name}-${this.#count++}`
    const value = `${id} ${'x'.repeat(random.between(0, maxValueBytes))}`
    history.invoke({ id, topic, key, value })
    return { id, value }
  }
}

/** The id at the beginning of a value. */
export const idOf = ({ value }: { readonly value: string }): string | undefined => /^[\w-]+-\d+(?= )/.exec(value)?.[0]
