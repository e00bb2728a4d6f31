import type { Broker } from './broker.js'

const SAMPLE_MS = 50

const epochMs = (): number => performance.timeOrigin + performance.now()

/** Samples the number of records in a topic, to compute later how many were added within a window. */
export class LogGrowth {
  readonly #broker: Broker
  readonly #topic: string
  readonly #samples: { readonly atMs: number; readonly records: number }[] = []
  readonly #done: Promise<void>
  #isOver = false

  constructor(broker: Broker, topic: string) {
    this.#broker = broker
    this.#topic = topic
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#done
  }

  /** Records per second within a window, interpolated between samples. Both times are epoch milliseconds. */
  perSecond(startedAtMs: number, endedAtMs: number): number {
    return ((this.#recordsAt(endedAtMs) - this.#recordsAt(startedAtMs)) * 1_000) / (endedAtMs - startedAtMs)
  }

  #recordsAt(atMs: number): number {
    const next = this.#samples.findIndex(sample => sample.atMs >= atMs)
    const after = this.#samples[next]
    const before = this.#samples[next - 1]
    if (after === undefined || before === undefined) throw new Error('the log was not watched in all of the window')
    const share = (atMs - before.atMs) / (after.atMs - before.atMs)
    return before.records + share * (after.records - before.records)
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const askedAtMs = epochMs()
      const records = await this.#broker.recordsIn(this.#topic)
      this.#samples.push({ atMs: (askedAtMs + epochMs()) / 2, records })
      await new Promise(resolve => setTimeout(resolve, SAMPLE_MS))
    }
  }
}
