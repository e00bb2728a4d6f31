import type { IncomingMessage } from 'node:http'
import { NO_RECORD_HEADERS, type ProduceOrigin, type RecordPlaces } from '../../gateway/produce-origin.js'
import { principalOf } from '../access/access.js'

type Originating = IncomingMessage & { origin?: RequestOrigin }

/** A request that came over HTTP, as the origin of records. */
class RequestOrigin implements ProduceOrigin {
  readonly #request: IncomingMessage
  readonly recordHeaders = NO_RECORD_HEADERS
  receipt: string | undefined
  places: RecordPlaces | undefined

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  get principal(): string {
    return principalOf(this.#request)
  }
}

/** The request as the origin of its records: the same object at each call. */
export const originOf = (request: IncomingMessage): ProduceOrigin =>
  ((request as Originating).origin ??= new RequestOrigin(request))
