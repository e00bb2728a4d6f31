import type { Release } from '../../core/places.js'

/** One attempt to hand a record to an endpoint. */
export interface Attempt {
  /** The `webhook-id`: the same in all attempts of a record. */
  readonly id: string
  readonly body: Buffer
  /** `content-type`, `x-castellan-*`, `ce-*`, `traceparent` and headers of the record. Those of the signature come from the sender. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Time limit of what is the endpoint's, up to the head of the answer. */
  readonly timeoutMs: number
}

/**
 * The endpoint's answer, or the reason why there is none. When a reused connection ends before a byte of the answer,
 * the request is sent once more on a new one, whose result counts.
 */
export type AttemptResult =
  | {
      readonly kind: 'status'
      /** 200 to 599: answers with 1xx are skipped. */
      readonly status: number
      /** Value of the header `Retry-After` (seconds, or a date). `undefined`: absent, or not understood. */
      readonly retryAfterMs: number | undefined
    }
  | {
      /**
       * - `refused`: no connection
       * - `cut`: the connection ended before the head of the answer, or the head was not understood or too large
       * - `late`: no head in time
       * - `tls`: the certificate or the handshake
       * - `name`: the name has no address
       * - `address`: all its addresses are forbidden
       */
      readonly kind: 'refused' | 'cut' | 'late' | 'tls' | 'name' | 'address'
      /** Text for the log and the status, without path, query and body. */
      readonly message: string
    }

/** Sends the records of one webhook to its endpoint, and signs each attempt. */
export interface AttemptSender {
  /**
   * A place for one attempt: it is passed to {@link send}, or given back.
   *
   * @param wake called once, in a later tick, when there may be one
   * @returns `undefined`: there is none now
   */
  place(wake: () => void): Release | undefined
  /**
   * Never rejects.
   *
   * @param signal cuts the attempt: it ends as `cut` then
   * @param place absent: the attempt waits for one
   */
  send(attempt: Attempt, signal?: AbortSignal, place?: Release): Promise<AttemptResult>
  /** Ends all connections. Attempts under way end as `cut`. */
  close(): void
}
