import type { Status } from '../status/status.js'
import { ask, Refused } from './ask.js'

const EVERY_MS = 2_000
/** Three minutes of looks. */
const MAX_SAMPLES = 90

/** One look at the gateway. */
export interface Sample {
  /** Milliseconds since the page was opened. */
  readonly at: number
  readonly status: Status
}

/** What the page knows. */
export interface Looked {
  /** The oldest first; empty: no answer has come yet. */
  readonly samples: readonly Sample[]
  readonly problem: Refused | undefined
  readonly isPaused: boolean
}

/** Asks for the status every two seconds, while the page can be seen and is not paused. */
export class Poll {
  readonly #show: (looked: Looked) => void
  #looked: Looked = { samples: [], problem: undefined, isPaused: false }
  #timer: ReturnType<typeof setTimeout> | undefined
  #isAsking = false

  constructor(show: (looked: Looked) => void) {
    this.#show = show
    document.addEventListener('visibilitychange', () => this.now())
  }

  /** Asks at once, and goes on from there. */
  now(): void {
    clearTimeout(this.#timer)
    if (this.#isAsking || this.#looked.isPaused || document.visibilityState === 'hidden') return
    this.#isAsking = true
    void this.#look().finally(() => {
      this.#isAsking = false
      // Without credentials the next answer is the same.
      if (this.#looked.problem?.status === 401 || this.#looked.isPaused) return
      if (document.visibilityState !== 'hidden') this.#timer = setTimeout(() => this.now(), EVERY_MS)
    })
  }

  pause(isPaused: boolean): void {
    this.#set({ isPaused })
    this.now()
  }

  async #look(): Promise<void> {
    try {
      const status = (await ask('status.json')) as Status
      const samples = [...this.#looked.samples, { at: performance.now(), status }].slice(-MAX_SAMPLES)
      this.#set({ samples, problem: undefined })
    } catch (error) {
      this.#set({ problem: error instanceof Refused ? error : new Refused(0, String(error)) })
    }
  }

  #set(news: Partial<Looked>): void {
    this.#looked = { ...this.#looked, ...news }
    this.#show(this.#looked)
  }
}
