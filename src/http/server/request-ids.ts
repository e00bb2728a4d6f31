import type { IncomingMessage } from 'node:http'

/** The header by which a client may name its request; every answer repeats it. */
export const REQUEST_ID_HEADER = 'x-request-id'

// Printable ASCII without space, quote and backslash: safe in a header, in JSON and in a shell.
const ACCEPTABLE = /^[!#-[\]-~]{1,128}$/

/**
 * Names requests: the client's own id when it is short and printable, otherwise `PREFIX-N`.
 *
 * @param prefix differs between processes, so that ids of several instances are distinct in a common log
 */
export function requestIds(prefix: string): (request: IncomingMessage) => string {
  let count = 0
  return ({ headers }) => {
    const given = headers[REQUEST_ID_HEADER]
    return typeof given === 'string' && ACCEPTABLE.test(given) ? given : `${prefix}-${(++count).toString(36)}`
  }
}
