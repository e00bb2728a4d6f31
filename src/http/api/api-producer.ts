import type { ProduceRecord } from '../../core/model.js'
import type { RefusalReason } from '../../core/refusals.js'
import type { ProduceOrigin } from '../../verbs/produce-origin.js'
import type { PendingProduce, ProduceOptions, Verbs } from '../../verbs/verbs.js'
import type { OutcomeSoFar } from '../exchange/modern-answers.js'
import type { RefusedRecordCounts } from './refused-records.js'

/** An API that produces records. */
export interface ProducingApi {
  readonly name: string
  /** How records are produced whose requests wait for Kafka, and others. */
  readonly options: { readonly sync: ProduceOptions; readonly async: ProduceOptions }
}

/** A request to produce. */
export interface ProduceRequest {
  /** Whether the answer waits for Kafka. */
  isSync: boolean
  /** How long the request has waited before, in milliseconds: for its body, its schemas, a hook or its topic. Absent: not at all. */
  waitedMs?: number
  /** Absent: the verbs of the cluster `default`. */
  readonly verbs?: Verbs | undefined
}

/**
 * Produces the records of one API, and counts those whose client is told that they are not written. Requests over HTTP use it
 * through their {@link ProduceRoute}; calls of gRPC, websockets, streams and hooks use it directly.
 */
export class ApiProducer {
  readonly #api: ProducingApi
  readonly #verbs: Verbs
  readonly #refused: RefusedRecordCounts

  constructor(api: ProducingApi, { verbs, refused }: { readonly verbs: Verbs; readonly refused: RefusedRecordCounts }) {
    this.#api = api
    this.#verbs = verbs
    this.#refused = refused
    refused.begin(api.name)
  }

  /**
   * Produces records, whose bytes are valid during the call.
   *
   * @param origin the request of the client; absent: the records have all that it would add
   * @param own options in place of those of the API
   */
  produce(
    records: readonly ProduceRecord[],
    { isSync, waitedMs = 0, verbs = this.#verbs }: ProduceRequest,
    origin?: ProduceOrigin,
    own?: Partial<ProduceOptions>
  ): PendingProduce {
    const { sync, async } = this.#api.options
    let options = isSync ? sync : async
    // The time limit of a request that waits for Kafka includes all that it has waited for.
    if (isSync && waitedMs > 0) options = { ...sync, deadlineMs: Math.max(1, sync.deadlineMs - waitedMs) }
    return verbs.produce(records, own === undefined ? options : { ...options, ...own }, origin)
  }

  /** The refused records of a request that does not wait for Kafka; a promise: some wait to be accepted. */
  refusedOf(pending: PendingProduce): PendingProduce['refused'] | Promise<PendingProduce['refused']> {
    const waits = this.#api.options.async.durability === 'disk' || pending.isWaiting === true
    return waits ? pending.accepted() : pending.refused
  }

  /**
   * Counts records of a request that is refused.
   *
   * @param isNoted the status page shows the request already
   */
  countRefused(reason: RefusalReason, records = 1, isNoted = false): void {
    this.#refused.add(this.#api.name, reason, records, isNoted)
  }

  /** Counts those among the records of an answer that were refused. Neighbours mostly have the same reason. */
  countFailed(outcomes: readonly OutcomeSoFar[]): void {
    let last: RefusalReason | undefined
    let records = 0
    for (const one of outcomes) {
      if (one === 'pending' || one.type === 'delivered' || one.persisted !== 'no') continue
      if (last !== undefined && last.code !== one.code) {
        this.countRefused(last, records)
        records = 0
      }
      last = one
      records++
    }
    if (last !== undefined) this.countRefused(last, records)
  }
}
