import type { IncomingMessage } from 'node:http'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'

type Traced = IncomingMessage & { trace?: TraceOfRequest }

/** The trace of a request. `undefined`: nothing records spans, or the request has none. */
export const traceOf = (request: IncomingMessage): TraceOfRequest | undefined => (request as Traced).trace

/** For the listeners: sets the answer of {@link traceOf}. */
export const keepTrace = (request: IncomingMessage, trace: TraceOfRequest): void => {
  ;(request as Traced).trace = trace
}
