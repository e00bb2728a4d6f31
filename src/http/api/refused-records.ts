import type { ErrorCode } from '../../core/errors.js'
import { type Cell, counterFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { RefusalCounts, RefusalReason } from '../../core/refusals.js'
import type { OutcomeSoFar } from '../exchange/modern-answers.js'

/** Reasons whose counters exist from the start: a counter that appears with its first event hides this event from alerts. */
const COMMON: readonly ErrorCode[] = [
  'forbidden',
  'invalidRequest',
  'logUnavailable',
  'overloaded',
  'quotaExceeded',
  'recordRejected',
  'recordTooLarge',
  'registryUnreachable',
  'shuttingDown',
  'timedOut',
  'unknownTopic'
]

/**
 * Counts records that are not written, and whose client was told so. All refusals, of the API and of the gateway, are counted where the
 * answer is made.
 */
export class RefusedRecords {
  readonly #family = counterFamily(
    'castellan_refused_records_total',
    'Records that are not in Kafka, and whose client was told so. A request that was refused before its records were read counts as one'
  )
  readonly #refusals: Pick<RefusalCounts, 'note'> | undefined

  /** @param refusals what the status page shows */
  constructor({ registry }: PrometheusMetrics, refusals?: Pick<RefusalCounts, 'note'>) {
    this.#refusals = refusals
    registerFamily(registry, this.#family)
  }

  of(api: string): RefusedByApi {
    const cellOf = (reason: ErrorCode): Cell => this.#family.series({ api, reason })
    for (const reason of COMMON) cellOf(reason)
    return new RefusedByApi(cellOf, this.#refusals)
  }
}

export class RefusedByApi {
  readonly #cellOf: (reason: ErrorCode) => Cell
  readonly #refusals: Pick<RefusalCounts, 'note'> | undefined

  constructor(cellOf: (reason: ErrorCode) => Cell, refusals: Pick<RefusalCounts, 'note'> | undefined) {
    this.#cellOf = cellOf
    this.#refusals = refusals
  }

  /** @param isNoted the status page shows the request already */
  add(reason: RefusalReason, records = 1, isNoted = false): void {
    this.#cellOf(reason.code).value += records
    if (!isNoted) this.#refusals?.note(reason, records, 'records')
  }

  /** Adds the records of an answer that were refused. Neighbours mostly have the same reason. */
  addFailed(known: readonly OutcomeSoFar[]): void {
    let [last, records]: [RefusalReason | undefined, number] = [undefined, 0]
    for (const one of known) {
      if (one === 'pending' || one.type === 'delivered' || one.persisted !== 'no') continue
      if (last !== undefined && last.code !== one.code) {
        this.add(last, records)
        records = 0
      }
      last = one
      records++
    }
    if (last !== undefined) this.add(last, records)
  }
}
