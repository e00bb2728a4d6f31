/** Concurrent verifications. The thread pool has four threads, which are needed for other work as well. */
const MAX_RUNNING = 2
const MAX_WAITING_PER_ADDRESS = 4
const MAX_WAITING = 256

type Task = () => Promise<void>

/**
 * Runs few password verifications at a time, and serves the waiting addresses in rotation: a flood of wrong passwords
 * from one address delays another address by one verification only.
 *
 *   10.0.0.1 -> [a, b, c]   10.0.0.2 -> [d]      runs a, d, b, c
 */
export class VerificationQueue {
  /** Waiting addresses in the order of their turns. */
  readonly #waiting = new Map<string, Task[]>()
  #waitingCount = 0
  #running = 0

  /** @returns `undefined` at once when too many verifications are waiting, for this address or in all */
  run<Result>(address: string, verify: () => Promise<Result>): Promise<Result> | undefined {
    const queue = this.#waiting.get(address) ?? []
    if (queue.length >= MAX_WAITING_PER_ADDRESS || this.#waitingCount >= MAX_WAITING) return undefined
    return new Promise<Result>((resolve, reject) => {
      queue.push(() => verify().then(resolve, reject))
      this.#waiting.set(address, queue)
      this.#waitingCount++
      this.#next()
    })
  }

  get waitingCount(): number {
    return this.#waitingCount
  }

  #next(): void {
    if (this.#running >= MAX_RUNNING) return
    const [turn] = this.#waiting
    if (!turn) return
    const [address, queue] = turn
    const task = queue.shift()!
    this.#waitingCount--
    this.#waiting.delete(address)
    if (queue.length > 0) this.#waiting.set(address, queue)
    this.#running++
    void task().finally(() => {
      this.#running--
      this.#next()
    })
  }
}
