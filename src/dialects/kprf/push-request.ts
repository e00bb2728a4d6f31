import type { ProduceRecord } from '../../model.js'

/** A record of a push. Its key and value may be views of the body, which is reused after the call that was given them. */
export interface PushRecord extends ProduceRecord {
  readonly key: Buffer | null
  readonly value: Buffer
}

/** What a client asks with `POST /push`. */
export interface PushRequest {
  readonly records: readonly PushRecord[]
  readonly waitForSend: boolean
}

/** The partition of a record as the gateway wants it: librdkafka takes -1 for none, as it does null. */
export const toPartition = (asked: number | null | undefined): number | undefined =>
  asked === null || asked === -1 ? undefined : asked
