import type { IncomingMessage } from 'node:http'
import type { RecordHeader } from '../../core/model.js'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'
import type { ProduceOrigin, RecordPlaces } from '../../gateway/produce-origin.js'
import type { ClaimedKey } from '../../producer/keys/keys.js'
import { principalOf } from '../access/access.js'
import { AsyncAnswer } from '../exchange/async-answer.js'
import { recordHeadersOf } from '../exchange/record-headers.js'
import { traceOf } from '../exchange/trace.js'

type Originating = IncomingMessage & { origin?: RequestOrigin }

/** A request that came over HTTP, as the origin of records. */
class RequestOrigin implements ProduceOrigin {
  readonly #request: IncomingMessage
  #recordHeaders: readonly RecordHeader[] | undefined
  #receipt: string | undefined
  places: RecordPlaces | undefined
  key: ClaimedKey | undefined

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  get receipt(): string | undefined {
    return this.#receipt
  }

  set receipt(receipt: string | undefined) {
    this.#receipt = receipt
    const early = AsyncAnswer.of(this.#request)
    if (early !== undefined && receipt !== undefined) early.accepted(receipt)
  }

  get isAsked(): boolean {
    return true
  }

  get principal(): string {
    return principalOf(this.#request)
  }

  get recordHeaders(): readonly RecordHeader[] {
    return (this.#recordHeaders ??= recordHeadersOf(this.#request))
  }

  get trace(): TraceOfRequest | undefined {
    return traceOf(this.#request)
  }
}

/** The request as the origin of its records: the same object at each call. */
export const originOf = (request: IncomingMessage): ProduceOrigin => requestOriginOf(request)

const requestOriginOf = (request: Originating): RequestOrigin => (request.origin ??= new RequestOrigin(request))

/** The request has claimed its key: its records are produced once. */
export const claimedBy = (request: IncomingMessage, key: ClaimedKey): void => {
  requestOriginOf(request).key = key
}
