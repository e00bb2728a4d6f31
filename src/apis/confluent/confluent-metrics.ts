import { type Cell, counterFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { RecordOutcome } from '../../core/model.js'
import { FAILURE_CODES, recordCodeOf } from './failures.js'
import type { Version } from './media-types.js'

const VERSIONS: readonly Version[] = ['v2', 'v3']

/** Counts failed records by the code of their answer. Clients cannot choose the value of a label. */
export class FailedRecords {
  readonly #family = counterFamily(
    'castellan_confluent_failed_records_total',
    "Records of Confluent's API that were refused or given up"
  )
  readonly #cells = new Map<string, Cell>()

  constructor({ registry }: PrometheusMetrics) {
    registerFamily(registry, this.#family)
    // A counter that appears with its first event hides this event from alerts.
    for (const version of VERSIONS) for (const code of FAILURE_CODES) this.refused(version, code, 0)
  }

  /** @param records a request that is refused as a whole counts as one, because its records may not have been read */
  refused(version: Version, code: number, records = 1): void {
    const key = `${version} ${code}`
    let cell = this.#cells.get(key)
    if (cell === undefined) this.#cells.set(key, (cell = this.#family.series({ version, code: String(code) })))
    cell.value += records
  }

  /** Records that stay in the durable log are not failed: they are delivered later. */
  settled(version: Version, outcomes: readonly RecordOutcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.type === 'failed' && outcome.persisted !== 'pending') {
        this.refused(version, recordCodeOf(outcome, version))
      }
    }
  }
}
