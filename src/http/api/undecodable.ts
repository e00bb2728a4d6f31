import { counterFamily } from '../../core/metrics/family.js'
import { type PrometheusMetrics, registerFamily } from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import type { InstanceRecord } from '../../verbs/verbs.js'

/** Says what a read does at a record that its format cannot express. */
export const UNDECODABLE_HEADER = 'x-castellan-undecodable'

/** The read fails at the record, leaves it out, or has an error in its place. */
const HANDLINGS = ['fail', 'skip', 'include'] as const
export type Handling = (typeof HANDLINGS)[number]

/** @returns `undefined`: the header has another value */
export const handlingIn = (header: string | readonly string[] = 'fail'): Handling | undefined =>
  HANDLINGS.find(handling => handling === header)

/** Counts records that could not be decoded for a client, and logs them. */
export class UndecodableRecords {
  readonly #family = counterFamily(
    'castellan_undecodable_records_total',
    'Records whose key or value cannot be decoded as a client asks for it: reads that failed at one, and records that were left out (skip) or came as an error (include)'
  )
  readonly #log: Logger

  constructor({ registry }: PrometheusMetrics, log: Logger) {
    registerFamily(registry, this.#family)
    this.#log = log
  }

  /** Lets the counts of an API exist from the start: a counter that appears with its first event hides this event from alerts. */
  prepare(api: string): void {
    for (const handling of HANDLINGS) this.#family.series({ api, handling })
  }

  note(
    api: string,
    group: string,
    { topic, partition, offset }: InstanceRecord,
    handling: Handling,
    why: string
  ): void {
    this.#family.series({ api, handling }).value++
    this.#log.warn({ api, topic, partition, offset, group, handling, why }, 'a record that is read cannot be decoded')
  }
}
