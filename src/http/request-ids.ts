import type { IncomingMessage } from 'node:http'

/** Where a client may name its request, and where every answer repeats the name. */
export const REQUEST_ID_HEADER = 'x-request-id'

// Printable ASCII without space, quote and backslash: safe in a header, in JSON and in a shell.
const ACCEPTABLE = /^[!#-[\]-~]{1,128}$/

/**
 * Names requests: the client's own id when it is short and printable, else `PREFIX-N`.
 *
 * @param prefix differs from process to process, so that ids of several instances do not meet in one log
 */
export function requestIds(prefix: string): (request: IncomingMessage) => string {
  let count = 0
  return ({ headers }) => {
    const given = headers[REQUEST_ID_HEADER]
    return typeof given === 'string' && ACCEPTABLE.test(given) ? given : `${prefix}-${(++count).toString(36)}`
  }
}
