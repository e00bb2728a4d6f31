import { answerCount, normalised, type Seen } from './comparison.js'

/** Heads that the client has sent, and texts in bodies that look like one. */
const HEAD = /[A-Z]+ \S+ HTTP\/1\.[01]\r\n((?:[^\r\n]+\r\n)*)\r\n/g
const LENGTH = /^content-length:[ \t]*(\d+)/im
const CODING = /^transfer-encoding:/im

/** The bytes that the body of a request has at least: as many as its length says, or all that the client sends behind its head. */
function bodyBytesOf({ index, 0: head, 1: lines = '' }: RegExpExecArray, sent: string): number {
  const length = LENGTH.exec(lines)?.[1]
  if (length !== undefined) return Number(length)
  return CODING.test(lines) ? sent.length - index - head.length : 0
}

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
  const answered = answerCount(ended.answers)
  // No request stands before as many heads as were answered before it.
  const heads = [...sent.matchAll(HEAD)].slice(answered - 1)
  return answered > 0 && heads.some(head => bodyBytesOf(head, sent) > maxBodyBytes)
}
