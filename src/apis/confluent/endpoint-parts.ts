import { z } from 'zod'
import type { Shares } from '../../core/shares.js'
import type { EndpointBase, Params } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { Exchange } from '../../http/exchange/exchange.js'
import type { Operation, Parameters } from '../../http/openapi/operation.js'
import type { ConfluentAnswers } from './answers.js'
import type { Problem } from './failures.js'
import type { LongLists } from './long-lists.js'
import type { Charset } from './media-types.js'

/** What OpenAPI says about a route. */
export type Described = Omit<Operation, 'id'>

/** A route with what answers it. @param On the parts that answer routes of its kind */
export interface AnsweredRoute<On> extends Described {
  receive(on: On, exchange: Exchange, params: Params): void
}

/** Every error of Confluent's API. */
export const error = z.object({ error_code: z.int(), message: z.string() })

/** A path and its parameters. @param params by name, at least those of the path */
export function describedPath(path: string, params: Parameters): Pick<Described, 'path' | 'params'> {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)
  return { path, ...(names.length > 0 && { params: Object.fromEntries(names.map(name => [name, params[name]!])) }) }
}

/** The parts that every endpoint is created with. */
export interface EndpointParts extends EndpointBase {
  readonly answers: ConfluentAnswers
  readonly pool: BufferPool
  /** Look-ups and changes that are open, by client. */
  readonly lookUps: Shares
  readonly longLists: LongLists
}

const UNSUPPORTED: Problem = { status: 415, code: 415, message: 'the content type must be application/json' }
const BAD_CHARSET: Problem = { status: 400, code: 400, message: 'the charset must be UTF-8 or ISO-8859-1' }

/** Why a body of version 3 cannot be read. */
export const charsetProblemOf = (charset: Charset | undefined): Problem | undefined =>
  charset === undefined ? UNSUPPORTED : charset === 'badCharset' ? BAD_CHARSET : undefined
