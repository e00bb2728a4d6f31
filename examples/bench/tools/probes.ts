const PROBE_EVERY_MS = 50

/** Requests `/ready` and `/metrics` again and again, and keeps the time of the slowest answer. */
export class Probes {
  readonly #url: string
  readonly #done: Promise<void>
  #isOver = false
  #slowestMs = 0

  constructor(managementPort: number) {
    this.#url = `http://127.0.0.1:${managementPort}`
    this.#done = this.#run()
  }

  async stop(): Promise<number> {
    this.#isOver = true
    await this.#done
    return this.#slowestMs
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      for (const path of ['/ready', '/metrics']) {
        const startedAtMs = performance.now()
        await (await fetch(this.#url + path)).text()
        this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedAtMs)
      }
      await new Promise(resolve => setTimeout(resolve, PROBE_EVERY_MS))
    }
  }
}
