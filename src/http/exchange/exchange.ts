import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BodySource } from './body-collector.js'

/** A request that is read and answered on Node's own objects, and not by Fastify. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The body, as the hooks before left it. */
  readonly payload: BodySource
  /** What the answer carries as `x-request-id`. */
  readonly requestId: string
}
