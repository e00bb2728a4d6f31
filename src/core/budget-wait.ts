import { performanceClock } from './clocks.js'
import { onAbort } from './ending.js'
import type { OverloadedError } from './errors.js'
import { type HeldRecords, NAMELESS, type RecordBudget } from './record-budget.js'

/** How long messages wait for bytes of the budget. Slow answers end after 5 s, and free theirs. */
const WAIT_MS = 10_000

interface BudgetOfClient {
  readonly records: RecordBudget
  /** The client to whose share the bytes count. */
  readonly client: string | undefined
  /** How long it waits, from its first wait on; absent: 10 s. */
  readonly maxMs?: number | undefined
}

interface BudgetWaitOptions extends BudgetOfClient {
  /** Called when bytes may be free, in a later tick. The caller asks again for messages that it has given back. */
  readonly goOn: () => void
  /** Called when the bytes were not free in time, so that the request is refused. Absent: the waits have no limit. */
  readonly refuse?: (error: OverloadedError) => void
}

interface WantedBytes extends BudgetOfClient {
  readonly bytes: number
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined
}

/** The waits of one request for bytes of a {@link RecordBudget}, one at a time. */
export class BudgetWait {
  readonly #options: BudgetWaitOptions
  #until: number | undefined
  #endWait: (() => void) | undefined

  constructor(options: BudgetWaitOptions) {
    this.#options = options
  }

  get isWaiting(): boolean {
    return this.#endWait !== undefined
  }

  /** Takes bytes from the budget. `undefined`: not enough are free, and the client waits for them. */
  take(bytes: number): HeldRecords | undefined {
    const { records, client = NAMELESS } = this.#options
    const held = records.take(client, bytes)
    if (held === undefined) this.#wait(client, bytes)
    return held
  }

  /** Whether the bytes can be taken now. If not, the client waits for them from now on. */
  has(bytes: number): boolean {
    const { records, client = NAMELESS } = this.#options
    if (records.problemOf(client, bytes) !== undefined) this.#wait(client, bytes)
    return !this.isWaiting
  }

  #wait(client: string, bytes: number): void {
    if (this.isWaiting) return
    const { records, goOn, refuse, maxMs = WAIT_MS } = this.#options
    let timer: NodeJS.Timeout | undefined
    const leave = records.whenFree(client, bytes, () => {
      clearTimeout(timer)
      this.#endWait = undefined
      goOn()
    })
    this.#endWait = () => {
      clearTimeout(timer)
      leave()
    }
    if (refuse === undefined) return
    this.#until ??= performanceClock() + maxMs
    timer = setTimeout(() => {
      this.end()
      refuse(records.refusal(records.problemOf(client, bytes) ?? 'full'))
    }, this.#until - performanceClock())
  }

  /** Ends the wait, and calls nothing for it. */
  end(): void {
    this.#endWait?.()
    this.#endWait = undefined
  }
}

/** Takes bytes as soon as they are free. @throws OverloadedError when they are not in time, or the signal is aborted */
export function takeBytes({ bytes, signal, ...options }: WantedBytes): Promise<HeldRecords> {
  return new Promise((resolve, reject) => {
    const take = (): void => {
      const held = wait.take(bytes)
      if (held === undefined) return
      unlisten()
      resolve(held)
    }
    const refuse = (error: OverloadedError): void => {
      unlisten()
      reject(error)
    }
    const wait = new BudgetWait({ ...options, goOn: take, refuse })
    const unlisten = onAbort(signal, () => {
      wait.end()
      reject(options.records.refusal('full'))
    })
    if (signal?.aborted !== true) take()
  })
}
