import type { IncomingMessage } from 'node:http'
import type { RecordHeader } from '../../core/model.js'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'
import type { ClaimedKey } from '../../producer/keys/claimed-key.js'
import type { ProduceOrigin, RecordPlaces } from '../../verbs/produce-origin.js'
import { principalOf } from '../access/access.js'
import { AsyncAnswer } from '../exchange/async-answer.js'
import { clientOf } from '../exchange/client.js'
import { traceOf } from '../exchange/exchange.js'
import { recordHeadersOf } from '../exchange/record-headers.js'

type Originating = IncomingMessage & { origin?: RequestOrigin }

/**
 * Reads of a request what its records need, at the first use. The receipt goes on to who waits for it: an early answer, and the key
 * of the request.
 */
class RequestOrigin implements ProduceOrigin {
  readonly #request: IncomingMessage
  #recordHeaders: readonly RecordHeader[] | undefined
  #receipt: string | undefined
  acceptedRecords: number | undefined
  places: RecordPlaces | undefined
  inTurns: ProduceOrigin['inTurns']
  /** The key that the request has claimed: its records are produced once. */
  key: ClaimedKey | undefined
  readonly isAsked = true

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  get receipt(): string | undefined {
    return this.#receipt
  }

  set receipt(receipt: string | undefined) {
    this.#receipt = receipt
    const records = this.acceptedRecords
    if (receipt === undefined || records === undefined || this.key?.isWhole === false) return
    const early = AsyncAnswer.of(this.#request)
    if (early === undefined && this.key === undefined) return
    const accepted = { id: receipt, records }
    early?.accepted(accepted)
    this.key?.given(accepted)
  }

  get principal(): string {
    return principalOf(this.#request)
  }

  get client(): string | undefined {
    return clientOf(this.#request, this)
  }

  get recordHeaders(): readonly RecordHeader[] {
    return (this.#recordHeaders ??= recordHeadersOf(this.#request))
  }

  set recordHeaders(headers: readonly RecordHeader[]) {
    this.#recordHeaders = headers
  }

  get trace(): TraceOfRequest | undefined {
    return traceOf(this.#request)
  }
}

/** The request as the origin of its records: the same object at each call. */
export const originOf = (request: Originating): RequestOrigin => (request.origin ??= new RequestOrigin(request))
