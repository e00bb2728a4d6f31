import type { IncomingMessage } from 'node:http'
import type { Gateway } from '../../gateway/gateway.js'
import type { Access } from '../../http/access/access.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import { sentUrlOf } from '../../http/exchange/sent-url.js'
import type { ParsedQuery } from './parameters.js'
import type { PixyAnswers } from './pixy-answers.js'

/** A request whose path is known, on its way to an answer. */
export interface PixyRequest {
  readonly exchange: Exchange
  /** Of the cluster that the path names. */
  readonly gateway: Gateway
  /** The empty string where the path names none. */
  readonly topic: string
  readonly query: ParsedQuery
}

/** What the routes of every family are created with. */
export interface RouteParts {
  readonly access: Access
  readonly answers: PixyAnswers
  /** Called when a request has failed by a bug. */
  readonly broken: (request: PixyRequest, error: unknown, persisted?: string) => void
}

/** The path as it was sent, below the prefix, and the query behind it. */
export function sentParts(request: IncomingMessage, prefix: string): { readonly path: string; readonly query: string } {
  const url = sentUrlOf(request)
  const local = (url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?#]*/i, '')).slice(prefix.length)
  const [withoutFragment] = local.split('#', 1)
  const mark = withoutFragment!.indexOf('?')
  if (mark < 0) return { path: withoutFragment!, query: '' }
  return { path: withoutFragment!.slice(0, mark), query: withoutFragment!.slice(mark + 1) }
}
