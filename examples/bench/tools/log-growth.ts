import type { Broker } from './broker.js'

const SAMPLE_MS = 50

const epochMs = (): number => performance.timeOrigin + performance.now()

/** Notes all the time how many records a topic has, so that one can tell afterwards what came within a window. */
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

  /** Records that came in a second of a window, epoch milliseconds; samples are interpolated. */
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
