import type { ServerResponse } from 'node:http'
import { OverloadedError } from '../../core/errors.js'

/** Up to this size, discarding a body costs less than a new connection. */
const DISCARDED_BYTES = 128 * 1024

const CLOSE = { connection: 'close' }
const STAYS_OPEN = {}

/**
 * Further headers of an answer that refuses a request before its body was read. The connection ends with the answer, but
 * stays open after an overload where the rest of the body is announced and small: it is discarded as it comes, and the
 * client need not connect again when it tries once more.
 */
export function unreadBodyHeaders({ req }: ServerResponse, error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof OverloadedError) || error.code !== 'overloaded') return CLOSE
  return Number(req.headers['content-length']) <= DISCARDED_BYTES ? STAYS_OPEN : CLOSE
}
