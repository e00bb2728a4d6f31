import type { IncomingMessage } from 'node:http'

/**
 * What is wrong with the head of a request although the parser has accepted it: the status of the answer, `undefined`
 * when all is well. It looks at the headers as they came, since Node keeps one `Host` of several.
 */
export function headProblem(request: IncomingMessage, maxHeaders: number): 400 | 431 | 505 | undefined {
  const { rawHeaders, httpVersion } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 505
  if (rawHeaders.length > maxHeaders * 2) return 431
  const hosts = countHosts(rawHeaders)
  return hosts > 1 || (hosts === 0 && httpVersion === '1.1') ? 400 : undefined
}

function countHosts(rawHeaders: readonly string[]): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}
