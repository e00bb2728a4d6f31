import { normalised, type Seen } from './comparison.js'

/** The answer of the route that reads no body: it tells the head of its request. */
const UNREAD_ANSWER = /^HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*\r\n(\["[A-Z]+","\/echo\/unread\/.*\])$/

/** The bytes that the body of the request has at least: as many as its length says, or all that the client sends behind its head. */
function bodyBytesOf([, url, , , headers]: EchoedHead, sent: string): number {
  const length = headers['content-length']
  if (length !== undefined) return Number(length)
  if (headers['transfer-encoding'] === undefined) return 0
  const headEndsAt = sent.indexOf('\r\n\r\n', sent.indexOf(` ${url} HTTP/`))
  return sent.length - headEndsAt - 4
}

type EchoedHead = readonly [
  method: string,
  url: string,
  version: string,
  rawHeaders: readonly string[],
  headers: Readonly<Record<string, string | undefined>>
]

/**
 * Whether one server has ended the connection behind an answer whose request has a longer body than a server discards, and
 * the other, which had more of that body before the answer, has not. How much a server has by then depends on ticks.
 *
 * @param maxBodyBytes that a server discards behind an answer
 */
export function isEndedInABody(sides: readonly [Seen, Seen], sent: string, maxBodyBytes: number): boolean {
  const [one, other] = sides
  const [ended, open] = one.fate === 'open' || one.answers.length > other.answers.length ? [other, one] : [one, other]
  if (ended.fate === 'open' || !normalised(open.answers).startsWith(normalised(ended.answers))) return false
  if (!ended.handled.every(({ head }, i) => head === open.handled[i]?.head)) return false
  const last = ended.answers.slice(ended.answers.lastIndexOf('HTTP/1.1 200 OK\r\n'))
  const [, head] = UNREAD_ANSWER.exec(last) ?? []
  return head !== undefined && bodyBytesOf(JSON.parse(head) as EchoedHead, sent) > maxBodyBytes
}
