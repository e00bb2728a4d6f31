import type { ServerResponse } from 'node:http'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { ProduceMode } from './routes.js'

/** A request to a produce route on its way to an answer. */
export interface ProduceRequest {
  readonly exchange: Exchange
  readonly topic: string
  readonly mode: ProduceMode
  /** Monotonic milliseconds. */
  readonly startedAt: number
}

/** Where an answer goes that is not about a produce request. */
export interface Refused {
  readonly response: ServerResponse
  readonly requestId: string
}
