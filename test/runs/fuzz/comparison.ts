import type { Fate } from './client.js'

/** A request that a handler of a server was given. */
export interface Handled {
  /** Method, URL, version and headers. */
  readonly head: string
  /** `undefined`: it has not been read to its end, or nobody reads it. */
  readonly body: string | undefined
}

/** What one server has done on one connection until now. */
export interface Seen {
  /** All bytes that came from it, one character each. */
  readonly answers: string
  readonly fate: Fate
  /** What its handlers were given, in the order of the requests. */
  readonly handled: readonly Handled[]
}

/** In what two servers differ: in what a client sees of them first. */
export type DifferenceKind = 'answers' | 'connection' | 'handler'

/** Prefix of the ids that the servers make for requests, which differ. */
export const ID_PREFIX = 'fuzz'

/** Patterns that begin with a text are found ten times as fast as one that looks behind. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  [/\r\ndate: [^\r\n]+GMT/g, '\r\ndate: *'],
  [/\r\nDate: [^\r\n]+GMT/g, '\r\nDate: *'],
  [new RegExp(`\\r\\nx-request-id: ${ID_PREFIX}-[0-9a-z]+`, 'g'), '\r\nx-request-id: *'],
  // The id of Arion's answers.
  [/"id":"[0-9a-f]{8}-[0-9a-f-]{27}"/g, '"id":"*"']
]

/** Answers without the times and ids of the server, which differ between any two of them. */
const withoutIds = (answers: string): string =>
  VARYING.reduce((text, [pattern, instead]) => text.replace(pattern, instead), answers)

const HEAD = /HTTP\/1\.1 [1-5]\d\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)*(?=\r\n)/g

/** Heads repeat; sorting each anew would cost a fifth of a run. */
const MAX_REMEMBERED = 10_000
const sortedHeads = new Map<string, string>()

function sortedHead(head: string): string {
  const known = sortedHeads.get(head)
  if (known !== undefined) return known
  const [status = '', ...headers] = head.slice(0, -2).split('\r\n')
  const lines = headers.map(line => line.replace(/^[^:]*/, name => name.toLowerCase()))
  const sorted = `${[status, ...lines.sort()].join('\r\n')}\r\n`
  if (sortedHeads.size < MAX_REMEMBERED) sortedHeads.set(head, sorted)
  return sorted
}

/** The case and the order of headers do not count: a prebuilt answer has other ones than one that waits for its turn. */
const withoutOrder = (answers: string): string => answers.replace(HEAD, sortedHead)

/** Answers without what may differ between two servers: times, ids, and the case and order of headers. */
export const normalised = (answers: string): string => withoutOrder(withoutIds(answers))

/** The answer of a route that begins before it has read the body, and that a broken body has cut. */
const CUT_ANSWER = /HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*\r\n(?:6\r\nbegun \r\n|begun )$/

/** A connection that is cut takes along as much of the last answer as has not left yet. */
export const withoutCutAnswer = ({ answers, fate }: Seen): string =>
  normalised(fate === 'open' ? answers : answers.replace(CUT_ANSWER, ''))

const LAST_HEAD = /HTTP\/1\.1 200 OK\r\n(?:[^\r\n]+\r\n)*\r\n/g
const LENGTH = /\r\ncontent-length: (\d+)\r\n/i

/** More than one write to a socket takes at once. */
const LONG_CHARS = 64 * 1024

/** Whether a long answer was still being sent when the server ended the connection. */
function isCutWhileSending({ answers, fate }: Seen): boolean {
  if (fate === 'open' || answers.length < LONG_CHARS) return false
  const head = [...answers.matchAll(LAST_HEAD)].at(-1)
  const sentChars = head === undefined ? 0 : answers.length - head.index - head[0].length
  return sentChars >= LONG_CHARS && sentChars < Number(LENGTH.exec(head![0])?.[1])
}

/**
 * @param isRacing whether bytes were sent when a server may have ended the connection already: they are answered by a
 * reset, which may take answers along that the client has not read yet
 * @returns `undefined`: there is none
 */
export function differenceOf(one: Seen, other: Seen, isRacing = false): DifferenceKind | undefined {
  const mayBeReset = isRacing && one.fate !== 'open' && other.fate !== 'open'
  if (one.answers !== other.answers && withoutIds(one.answers) !== withoutIds(other.answers)) {
    const [ours, theirs] = [withoutCutAnswer(one), withoutCutAnswer(other)]
    const isCut =
      mayBeReset &&
      ((one.fate === 'reset' && theirs.startsWith(ours)) || (other.fate === 'reset' && ours.startsWith(theirs)))
    // How much of a long answer has left by then differs by chance; both servers must have cut the same one.
    const areCut =
      isRacing &&
      (ours.startsWith(theirs) || theirs.startsWith(ours)) &&
      isCutWhileSending(one) &&
      isCutWhileSending(other)
    if (ours !== theirs && !isCut && !areCut) return 'answers'
  }
  if (one.fate !== other.fate && !mayBeReset) return 'connection'
  return isHandledAlike(one, other) ? undefined : 'handler'
}

/**
 * On a connection that is over, one server may have begun with more requests than the other behind the last answer, and
 * have read more of their bodies.
 */
function isHandledAlike({ handled, fate }: Seen, { handled: others }: Seen): boolean {
  if (fate === 'open' && handled.length !== others.length) return false
  return handled.every(({ head, body }, i) => {
    const other = others[i]
    if (other === undefined) return true
    const isOpenAtEnd = fate !== 'open' && (body === undefined || other.body === undefined)
    return head === other.head && (isOpenAtEnd || body === other.body)
  })
}

const FINAL_ANSWER = /HTTP\/1\.1 [2-5]\d\d /g

/** Final answers; one more may stand in the body of an answer that echoes. */
export const answerCount = (answers: string): number => answers.match(FINAL_ANSWER)?.length ?? 0
