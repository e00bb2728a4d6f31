import type { ProduceOptions } from '../delivery/delivery.js'
import type { ProduceTicket } from '../delivery/ticket.js'
import type { ProduceRecord } from '../model.js'

export type { ProduceOptions } from '../delivery/delivery.js'
export type { PartitionerName } from '../delivery/partitioners.js'
export type { ProduceTicket } from '../delivery/ticket.js'
export type { RecordBatch } from '../model.js'

/** What the process can do, in the words of no particular API. */
export interface Gateway {
  /**
   * Takes records in order. Keys and values are copied before it returns, so their buffers are free at once.
   * Records of one partition keep the order of the calls, awaited or not.
   */
  produce(records: readonly ProduceRecord[], options: ProduceOptions): ProduceTicket
  /** True once any broker has answered and until all are gone. */
  readonly isReady: boolean
}
