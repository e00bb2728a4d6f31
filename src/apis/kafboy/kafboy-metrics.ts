import type { ServerResponse } from 'node:http'
import { counterFamily, durationFamily, type Family } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily, registerScrapedGauge } from '../../core/metrics/prometheus.js'
import type { MonotonicClock, RecordOutcome } from '../../core/model.js'
import type { EkafMode } from './ekaf.js'
import type { HookProblem } from './hooks/hook-calls.js'
import type { ProduceMode } from './routes.js'

/** The series of a family by the values of its labels: a text is cheaper to compare than labels. */
function seriesOf<Series>(registry: PrometheusMetrics['registry'], family: Family<Series>, ...names: string[]) {
  registerFamily(registry, family)
  const known = new Map<string, Series>()
  return (...values: (string | number)[]): Series => {
    const key = values.join(' ')
    let series = known.get(key)
    if (series === undefined) {
      series = family.series(Object.fromEntries(names.map((name, at) => [name, String(values[at])])))
      known.set(key, series)
    }
    return series
  }
}

/**
 * Metrics of kafboy. Clients cannot choose the value of any label.
 *
 * @param openRequests requests that wait for a hook
 */
export function kafboyMetrics({ registry }: PrometheusMetrics, openRequests: () => number) {
  const counter = (name: string, help: string, ...labels: string[]) =>
    seriesOf(registry, counterFamily(name, help), ...labels)
  const requests = counter('kafboy_requests_total', 'Requests to produce routes that were answered', 'mode', 'code')
  const delivered = counter('kafboy_delivered_records_total', 'Records that are in Kafka', 'mode')
  const logged = counter('kafboy_logged_records_total', 'Records that the durable log has taken', 'mode')
  const failed = counter('kafboy_failed_records_total', 'Records that were refused or given up', 'mode', 'error')
  const problems = counter('kafboy_hook_problems_total', 'What went wrong with hooks', 'problem')
  const durations = durationFamily('kafboy_request_seconds', 'From the head of a request to its answer')
  const seconds = seriesOf(registry, durations, 'mode')
  const read = () => [{ labels: {}, value: openRequests() }]
  registerScrapedGauge(registry, 'kafboy_hook_calls_pending', 'Requests that wait for a hook', 'sum', read)
  return {
    /** Counts a request when it is answered. */
    begun(mode: ProduceMode, response: ServerResponse, clock: MonotonicClock): void {
      const startedAt = clock()
      response.once('finish', () => {
        requests(mode, response.statusCode).value++
        seconds(mode).observe((clock() - startedAt) / 1_000)
      })
    },
    /** @param outcomes `undefined`: all records were delivered */
    settled(mode: EkafMode, records: number, outcomes: readonly RecordOutcome[] | undefined): void {
      if (outcomes === undefined) delivered(mode).value += records
      else {
        for (const outcome of outcomes) {
          if (outcome.type === 'delivered') delivered(mode).value++
          else if (outcome.persisted === 'pending') logged(mode).value++
          else failed(mode, outcome.code).value++
        }
      }
    },
    hookProblem(problem: HookProblem): void {
      problems(problem).value++
    }
  }
}
