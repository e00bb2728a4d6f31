import type { IncomingHttpHeaders } from 'node:http'
import { admit, type Caller } from '../access/access.js'
import { KnownBody } from '../engine/lazy-streams.js'
import { addressOf } from '../exchange/client.js'
import type { Exchange } from '../exchange/exchange.js'
import { KeptExchange, type WrittenAnswer } from '../exchange/kept-response.js'
import type { Receive } from './endpoint.js'
import { requestOf } from './key-owners.js'
import { originOf } from './request-origin.js'

/** A request that came inside of another one. */
export interface InnerRequest {
  /** The request that it came in. */
  readonly exchange: Exchange
  /** A path that no listener serves. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/**
 * Lets a route carry out a request that came inside of another one. Its client was asked for its rights already, and charged
 * with the bytes; its quotas are charged with the records.
 *
 * @returns the answer, which is made whether the client stays or not
 */
export const askWithin = (
  receive: Receive,
  { exchange, url, headers, body }: InnerRequest,
  caller: Caller
): Promise<WrittenAnswer> =>
  new Promise(resolve => {
    const { request: outer, requestId } = exchange
    const request = requestOf({
      method: 'POST',
      url,
      sentUrl: url,
      headers: { ...headers, 'content-length': String(body.length) },
      rawHeaders: ['content-type', String(headers['content-type'])],
      recordHeaders: originOf(outer).recordHeaders,
      address: outer.socket.remoteAddress ?? ''
    })
    admit(request, allowed(caller))
    const key = addressOf(outer)
    if (key !== undefined) Object.assign(request, { holder: { address: { key } } })
    receive(new KeptExchange({ request, requestId }, new KnownBody(body), { take: resolve }), {})
  })

const allowed = (caller: Caller): Caller => ({
  principal: caller.principal,
  isRuled: caller.isRuled,
  allows: () => true,
  refusalOf: () => undefined,
  refusalOfTopics: () => undefined,
  refusalOfUnruled: () => undefined,
  watch: () => undefined,
  noteCreated: () => undefined,
  charge: records => {
    caller.spend(records, 0)
    return undefined
  },
  spend: records => caller.spend(records, 0)
})
