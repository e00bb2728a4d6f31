import { counterFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { RefusalNotes, RefusalReason } from '../../core/refusals.js'
import { statusByCode } from '../exchange/modern-answers.js'

/**
 * Counts records that are not written, and whose client was told so: by {@link ApiProducer}, where the answer is made.
 */
export class RefusedRecordCounts {
  readonly #family = counterFamily(
    'castellan_refused_records_total',
    'Records that are not in Kafka, and whose client was told so. A request that was refused before its records were read counts as one'
  )
  readonly #refusals: RefusalNotes | undefined

  /** @param refusals what the status page shows */
  constructor({ registry }: PrometheusMetrics, refusals?: RefusalNotes) {
    this.#refusals = refusals
    registerFamily(registry, this.#family)
  }

  /** Lets the counters of an API exist: one that appears with its first event hides this event from alerts. */
  begin(api: string): void {
    for (const reason of Object.keys(statusByCode)) this.#family.series({ api, reason })
  }

  /** @param isNoted the status page shows the request already */
  add(api: string, reason: RefusalReason, records: number, isNoted: boolean): void {
    this.#family.series({ api, reason: reason.code }).value += records
    if (!isNoted) this.#refusals?.note(reason, records, 'records')
  }
}
