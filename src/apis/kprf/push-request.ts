import type { ProduceRecord } from '../../core/model.js'

/**
 * A record of a push. Its key and value may be views of the body, whose buffer is reused after the call that receives
 * it.
 */
export interface PushRecord extends ProduceRecord {
  readonly key: Buffer | null
  readonly value: Buffer
}

/** The request of `POST /push`. */
export interface PushRequest {
  readonly records: readonly PushRecord[]
  readonly waitForSend: boolean
}

/** The partition of a record for the gateway: librdkafka takes -1 for none, like null. */
export const toPartition = (asked: number | null | undefined): number | undefined =>
  asked === null || asked === -1 ? undefined : asked
