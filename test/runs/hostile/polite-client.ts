import { setTimeout as sleep } from 'node:timers/promises'
import { HttpClient } from '../http-client.js'

/** kprf's deadline of a synchronous push, and what a busy machine may add. */
const PATIENCE_MS = 2_000 + 3_000
const PAUSE_MS = 20

export interface PoliteReport {
  /** Since it was asked last. */
  readonly p99Ms: number
  readonly answered: number
  readonly refused: number
  readonly problems: readonly string[]
}

/** Writes one record after another and waits for each, over a connection of its own. */
export class PoliteClient {
  readonly #client: HttpClient
  readonly problems: string[] = []
  refused = 0
  answered = 0
  #latenciesMs: number[] = []

  constructor(url: string) {
    this.#client = new HttpClient(url, { timeoutMs: 2 * PATIENCE_MS })
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now()
      const status = await this.#push()
      const tookMs = performance.now() - startedAt
      this.#latenciesMs.push(tookMs)
      if (status === 429 || status === 503) this.refused++
      else if (status === 200 && tookMs < PATIENCE_MS) this.answered++
      else this.problems.push(`${status} after ${Math.round(tookMs)} ms`)
      await sleep(PAUSE_MS)
    }
  }

  /** The 99th percentile since it was asked last. */
  takeP99(): number {
    const sorted = this.#latenciesMs.sort((a, b) => a - b)
    this.#latenciesMs = []
    return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
  }

  close(): void {
    this.#client.close()
  }

  /** @returns the status */
  async #push(): Promise<number | string> {
    const body = JSON.stringify({ records: [{ topic: 'polite', key: 'k', data: 'hello' }], wait_for_send: true })
    const answer = await this.#client.ask('POST', '/kprf/push', {
      body,
      headers: { 'content-type': 'application/json' }
    })
    return answer?.status ?? 'no answer'
  }
}
