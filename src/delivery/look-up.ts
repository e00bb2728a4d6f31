import { A_FIFTH_AROUND, backoffMs } from '../backoff.js'

const AGAIN_MS = 100
const AGAIN_MAX_MS = 1_000
const FORGOTTEN_AFTER_MS = 5_000

/** When a topic is to be looked up, and since when the brokers deny it. Times are monotonic milliseconds. */
export class LookUp {
  readonly #random: () => number
  readonly #maxAgeMs: number
  #dueAt = Number.POSITIVE_INFINITY
  #answeredAt = Number.NEGATIVE_INFINITY
  #foundAt = Number.NEGATIVE_INFINITY
  #fruitless = 0
  #deniedSince: number | undefined

  constructor(maxAgeMs: number, random: () => number) {
    this.#maxAgeMs = maxAgeMs
    this.#random = random
  }

  /** When somebody last answered, whatever it was. */
  get answeredAt(): number {
    return this.#answeredAt
  }

  /** When it was last found. */
  get foundAt(): number {
    return this.#foundAt
  }

  /** Somebody waits for it: as soon as the distance to the last one allows. */
  want(nowMs: number): void {
    const distanceMs = backoffMs(Math.max(0, this.#fruitless - 1), AGAIN_MS, AGAIN_MAX_MS, this.#random, A_FIFTH_AROUND)
    this.#dueAt = Math.min(this.#dueAt, Math.max(nowMs, this.#answeredAt + distanceMs))
  }

  /** As soon as possible. */
  wantNow(nowMs: number): void {
    this.#dueAt = nowMs
  }

  isDue(nowMs: number): boolean {
    return nowMs >= this.#dueAt
  }

  /** It is on its way. */
  asked(): void {
    this.#dueAt = Number.POSITIVE_INFINITY
  }

  found(nowMs: number): void {
    this.#answeredAt = this.#foundAt = nowMs
    this.#fruitless = 0
    this.#deniedSince = undefined
    this.#dueAt = nowMs + this.#maxAgeMs
  }

  /** `denied`: brokers say that there is no such topic, rather than nothing. */
  fruitless(nowMs: number, denied: boolean): void {
    // A denial is no news about the time in which nobody asked.
    if (nowMs - this.#answeredAt > FORGOTTEN_AFTER_MS) this.reset()
    this.#answeredAt = nowMs
    this.#fruitless++
    if (denied) this.#deniedSince ??= nowMs
  }

  /** Brokers have denied it, and nobody has found it, for so long. */
  deniedForMs(nowMs: number): number {
    return this.isDenied(nowMs) ? nowMs - this.#deniedSince! : 0
  }

  isDenied(nowMs: number): boolean {
    return this.#deniedSince !== undefined && nowMs - this.#answeredAt <= FORGOTTEN_AFTER_MS
  }

  /** What was denied is history: the next look-up starts from nothing. */
  reset(): void {
    this.#fruitless = 0
    this.#deniedSince = undefined
    this.#answeredAt = Number.NEGATIVE_INFINITY
    this.#dueAt = Number.POSITIVE_INFINITY
  }
}
