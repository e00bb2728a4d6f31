import { z } from 'zod'
import type { Shares } from '../../core/shares.js'
import type { EndpointBase } from '../../http/api/endpoint.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import type { ConfluentAnswers } from './answers.js'
import type { Problem } from './failures.js'
import type { LongLists } from './long-lists.js'
import type { Charset } from './media-types.js'

/** Every error of Confluent's API. */
export const error = z.object({ error_code: z.int(), message: z.string() })

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
