import type { ErrorCode } from '../../core/errors.js'
import { type Cell, counterFamily, type Durations, durationFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, registerScrapedGauge } from '../../core/metrics/prometheus.js'
import type { RecordOutcome } from '../../core/model.js'
import type { EkafMode } from './ekaf/ekaf.js'
import type { HookProblem } from './hooks/hook-desk.js'
import type { ProduceMode } from './routes.js'

/** Creates series at first use, and finds them by a key that is cheaper to compare than labels. */
class Series<Key, One> {
  readonly #byKey = new Map<Key, One>()
  readonly #create: (key: Key) => One

  constructor(create: (key: Key) => One) {
    this.#create = create
  }

  of(key: Key): One {
    let one = this.#byKey.get(key)
    if (one === undefined) this.#byKey.set(key, (one = this.#create(key)))
    return one
  }
}

/** Metrics of kafboy. Clients cannot choose the value of any label. */
export class KafboyMetrics {
  readonly #requests = counterFamily('kafboy_requests_total', 'Requests to produce routes that were answered')
  readonly #seconds = durationFamily('kafboy_request_seconds', 'From the body of a request to its answer')
  readonly #delivered = counterFamily('kafboy_delivered_records_total', 'Records that are in Kafka')
  readonly #logged = counterFamily('kafboy_logged_records_total', 'Records that the durable log has taken')
  readonly #failed = counterFamily('kafboy_failed_records_total', 'Records that were refused or given up')
  readonly #hookProblems = counterFamily('kafboy_hook_problems_total', 'What went wrong with hooks')
  readonly #requestsOf = new Series<ProduceMode, Series<number, Cell>>(
    mode => new Series(code => this.#requests.series({ mode, code: String(code) }))
  )
  readonly #secondsOf = new Series<ProduceMode, Durations>(mode => this.#seconds.series({ mode }))
  readonly #deliveredOf = new Series<EkafMode, Cell>(mode => this.#delivered.series({ mode }))
  readonly #loggedOf = new Series<EkafMode, Cell>(mode => this.#logged.series({ mode }))
  readonly #failedOf = new Series<EkafMode, Series<ErrorCode, Cell>>(
    mode => new Series(error => this.#failed.series({ mode, error }))
  )

  /**
   * @param bufferedBytes records that wait for a batch
   * @param pendingHookCalls calls of hooks that wait for an answer
   */
  constructor({ registry }: PrometheusMetrics, bufferedBytes: () => number, pendingHookCalls: () => number) {
    for (const family of [this.#requests, this.#delivered, this.#logged, this.#failed, this.#hookProblems]) {
      registerFamily(registry, family)
    }
    registerFamily(registry, this.#seconds)
    const gauge = (name: string, help: string, read: () => number): void =>
      registerScrapedGauge(registry, name, help, 'sum', () => [{ labels: {}, value: read() }])
    gauge('kafboy_buffered_bytes', 'Bytes of records of batch routes that wait', bufferedBytes)
    gauge('kafboy_hook_calls_pending', 'Calls of hooks that wait for an answer', pendingHookCalls)
  }

  answered(mode: ProduceMode, code: number, durationMs: number): void {
    this.#requestsOf.of(mode).of(code).value++
    this.#secondsOf.of(mode).observe(durationMs / 1_000)
  }

  settled(mode: EkafMode, outcomes: readonly RecordOutcome[]): void {
    let delivered = 0
    let logged = 0
    for (const outcome of outcomes) {
      if (outcome.type === 'delivered') delivered++
      else if (outcome.persisted === 'pending') logged++
      else this.failed(mode, outcome.code)
    }
    if (delivered > 0) this.delivered(mode, delivered)
    if (logged > 0) this.#loggedOf.of(mode).value += logged
  }

  delivered(mode: EkafMode, records: number): void {
    this.#deliveredOf.of(mode).value += records
  }

  failed(mode: EkafMode, error: ErrorCode, records = 1): void {
    this.#failedOf.of(mode).of(error).value += records
  }

  hookProblem(problem: HookProblem): void {
    this.#hookProblems.series({ problem }).value++
  }
}
