import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TraceOfRequest } from '../../core/tracing/tracing.js'
import type { BodySource } from '../engine/body-source.js'
import type { EngineRequest } from '../engine/request.js'

/** A request that is read and answered through Node's own objects, without Fastify. */
export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The body, as the hooks before left it. */
  readonly payload: BodySource
  /** The value of `x-request-id` in the answer. */
  readonly requestId: string
}

export type Reply = Pick<Exchange, 'response' | 'requestId'>

export const hasBody = ({ request: { headers } }: Pick<Exchange, 'request'>): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** A request that came to no listener, such as one that another process has passed on, has no turn. */
interface InTurn {
  readonly request: IncomingMessage & Partial<Pick<EngineRequest, 'keepTurn' | 'keepTurnUntilAnswered' | 'endTurn'>>
}

/** See {@link EngineRequest.keepTurn}. */
export const keepTurn = ({ request }: InTurn): void => request.keepTurn?.()

/** See {@link EngineRequest.keepTurnUntilAnswered}. */
export const keepTurnUntilAnswered = ({ request }: InTurn): void => request.keepTurnUntilAnswered?.()

/** See {@link EngineRequest.endTurn}. */
export const endTurn = ({ request }: InTurn): void => request.endTurn?.()

type Received = IncomingMessage & { readonly origin?: { readonly receipt: string | undefined } }

/** The receipt for the records of a request; `undefined`: none was given. */
export const receiptOf = (request: Received): string | undefined => request.origin?.receipt

type SentTo = IncomingMessage & { sentUrl?: string; readonly originalUrl?: string }

/**
 * The URL of a request as it was sent, below the prefix of its API, even on the API's own port. It differs from `url` when the
 * path cannot be decoded and had to be escaped for the router.
 */
export const sentUrlOf = (request: SentTo): string => request.sentUrl ?? request.url ?? '/'

/** Whether the path of a request is not percent-encoded UTF-8, so that parameters of the path are as they were sent. */
export const isEscaped = (request: SentTo): boolean => sentUrlOf(request) !== request.url

/** The URL of a request as its client has written it: without the prefix on the API's own port. */
export const writtenUrlOf = (request: SentTo): string => request.originalUrl ?? sentUrlOf(request)

/** The path as it was sent, below the prefix of its API, and the query after it. */
export function sentPartsOf(
  request: IncomingMessage,
  prefix: string
): { readonly path: string; readonly query: string } {
  const url = sentUrlOf(request)
  const [mark, hash] = [url.indexOf('?', prefix.length), url.indexOf('#', prefix.length)]
  const end = hash < 0 ? url.length : hash
  if (mark < 0 || mark > end) return { path: url.slice(prefix.length, end), query: '' }
  return { path: url.slice(prefix.length, mark), query: url.slice(mark + 1, end) }
}

/** Whether a request came by its API's own port, where the server has put the prefix in front. */
export const isOnOwnPort = ({ request }: { readonly request: SentTo }): boolean => request.originalUrl !== undefined

/** Sets the result of {@link sentUrlOf}. Called by listeners. */
export const keepSentUrl = (request: SentTo, url: string): void => {
  request.sentUrl = url
}

type WaitingMessage = IncomingMessage & { askedWaitMs?: number; heldMs?: number }

/** How long the client has said that the answer may take, in milliseconds. `Infinity`: it follows a stream; 0: it has not said so. */
export const askedWaitOf = ({ askedWaitMs = 0 }: WaitingMessage): number => askedWaitMs

/** Sets the result of {@link askedWaitOf}. Called by endpoints of verbs whose facts say `waits: 'asked'`. */
export const noteWait = (request: WaitingMessage, waitMs: number): void => {
  request.askedWaitMs = waitMs
}

/** How long the request was held until the owner of its key could be tried, in milliseconds. */
export const heldOf = ({ heldMs = 0 }: WaitingMessage): number => heldMs

/** Adds to the answer of {@link heldOf}. */
export const noteHeld = (request: WaitingMessage, heldMs: number): void => {
  request.heldMs = heldOf(request) + heldMs
}

type Traced = IncomingMessage & { trace?: TraceOfRequest }

/** The trace of a request. `undefined`: nothing records spans, or the request has none. */
export const traceOf = (request: Traced): TraceOfRequest | undefined => request.trace

/** Sets the result of {@link traceOf}. Called by listeners. */
export const keepTrace = (request: Traced, trace: TraceOfRequest): void => {
  request.trace = trace
}
