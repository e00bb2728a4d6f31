import type { IncomingMessage } from 'node:http'

const HOST = 'host'
const AUTHORIZATION = 'authorization'

/**
 * Checks the head of a request beyond what the parser checks; returns the status of the answer, or `undefined` when it
 * is valid. It examines the raw headers: Node keeps only one of several `Host` or `Authorization` headers, and a proxy
 * in front may have used another one.
 */
export function headProblem(request: IncomingMessage, maxHeaders: number): 400 | 431 | 505 | undefined {
  const { rawHeaders, httpVersion } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 505
  if (rawHeaders.length > maxHeaders * 2) return 431
  let hosts = 0
  let credentials = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === HOST.length && name.toLowerCase() === HOST) hosts++
    else if (name.length === AUTHORIZATION.length && name.toLowerCase() === AUTHORIZATION) credentials++
  }
  return hosts > 1 || credentials > 1 || (hosts === 0 && httpVersion === '1.1') ? 400 : undefined
}
