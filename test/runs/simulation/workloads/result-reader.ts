import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'
import type { LogEnd } from './reader.js'

export interface ResultReaderOptions {
  readonly name: string
  readonly inputs: string
  readonly partitions: number
  readonly results: string
}

interface Place {
  readonly partition: number
  readonly offset: number
}

const EACH_WITHOUT_RESULT = 7

/** The result of an input, without the number of the attempt; `undefined`: it has none. */
export const resultOf = ({ partition, offset }: Place): string | undefined =>
  offset % EACH_WITHOUT_RESULT === 3 ? undefined : `${partition}@${offset}`

/** Reads what has committed: the result of each input once, and none of a transaction that was aborted. */
export class ResultReader extends Client<ResultReaderOptions, ServiceDeps> implements Workload {
  readonly counts = { results: 0 }
  readonly #log: LogEnd
  /** By result: the attempts whose records were read. */
  readonly #read = new Map<string, number[]>()
  readonly #ends = new Map<number, 'committed' | 'aborted' | 'unknown'>()
  #end = new AbortController()
  #attempts = 0
  #isReading = false

  constructor(options: ResultReaderOptions, deps: ServiceDeps, log: LogEnd) {
    super(options, deps)
    this.#log = log
  }

  /** @returns the number of an attempt, which is a part of its results */
  began(): number {
    return ++this.#attempts
  }

  ended(attempt: number, how: 'committed' | 'aborted' | 'unknown'): void {
    this.#ends.set(attempt, how)
  }

  /** True when the result of each input was read. */
  get isComplete(): boolean {
    return this.#missing().next().done === true
  }

  start(): void {
    this.#isReading = true
    this.#end = new AbortController()
    this.#read.clear()
    this.#readAll().then(
      () => (this.#isReading = false),
      (error: Error) => this.violated('crash', `${error.stack}`)
    )
  }

  /** Reads all once more when there are other inputs. */
  get isFinished(): boolean {
    const { isComplete } = this
    if (this.#isReading && isComplete) this.deps.onHost(() => this.#end.abort())
    else if (!(this.#isReading || isComplete)) this.deps.onHost(() => this.start())
    return !this.#isReading && isComplete
  }

  override check(): readonly Violation[] {
    const missing = [...this.#missing()]
    if (missing.length > 0) this.violated('lost', missing.join())
    for (const [result, attempts] of this.#read) {
      if (attempts.length > 1) this.violated('twice', `${result} of attempts ${attempts}`)
      for (const attempt of attempts)
        if (this.#ends.get(attempt) === 'aborted') this.violated('aborted', `${result} of attempt ${attempt} is read`)
    }
    return this.violations
  }

  *#missing(): Generator<string> {
    const { inputs, partitions } = this.options
    for (let partition = 0; partition < partitions; partition++) {
      for (let offset = 0; offset < this.#log.endOf(inputs, partition); offset++) {
        const result = resultOf({ partition, offset })
        if (result !== undefined && !this.#read.has(result)) yield result
      }
    }
  }

  async #readAll(): Promise<void> {
    const options = { from: 'earliest', follow: true, signal: this.#end.signal } as const
    for await (const { value } of this.deps.service.castellan.read(this.options.results, options)) {
      const [result, attempt] = String(value).split(' ') as [string, string]
      const attempts = this.#read.get(result)
      if (attempts === undefined) this.#read.set(result, [Number(attempt)])
      else attempts.push(Number(attempt))
      this.counts.results++
    }
  }
}
