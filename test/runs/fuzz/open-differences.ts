import { differenceOf, type Seen } from './comparison.js'
import { isEndedInABody } from './discarded-bodies.js'
import type { Difference, Played, Side } from './play.js'
import { type Script, tidyCuts } from './script.js'

/** Two servers that must answer alike: Node, and the gateway's own that is compared with it. */
export interface Pair {
  readonly sides: readonly [Side, Side]
  /** `http.maxBodyBytes` of the sides. */
  readonly maxBodyBytes?: number
}

/** Plays a script of its own to each of two sides. */
export type PlayEach = (scripts: readonly [Script, Script], sides: readonly [Side, Side]) => Promise<Played>

const CONNECT = 'CONNECT '
const ANSWERS_BEFORE_CONNECT = 'answers before a CONNECT'
/** The only one that chance decides with Node, too: it cannot be shown by another script. */
const BEHIND_AN_ANSWER = 'a body that comes behind the answer to its request'
const IGNORED_OFFER = 'an offer of another protocol'
const FRAMING = 'an odd length or coding'
const BROKEN_CHUNK = 'a body that is too large, and then broken'

/** As docs/compatibility/http-engine.md has them. */
export const differenceNames: readonly string[] = [
  ANSWERS_BEFORE_CONNECT,
  IGNORED_OFFER,
  BEHIND_AN_ANSWER,
  FRAMING,
  BROKEN_CHUNK
]

/** A coding that does not end with `chunked`, perhaps in the probe behind the script, and a length with a tab behind it. */
const REFUSED_FRAMING =
  /\n(transfer-encoding:(?!(?:[^\r]*,)?[ \t]*chunked *\r\n)[^\r]*(?:\r\n|$)|content-length:[ \t]*\d+[ \t]*\t[ \t]*\r\n)/gi
/** The size of the first chunk of a body. */
const CHUNK_SIZE = /\r\n\r\n[\da-f]+(?=[;\r])/gi
const OFFER = /(\nUpgrad)e(?=:)/gi

/** The header of an offer by the name that it has in {@link withoutOffers}. */
const withoutNames = (text: string): string => text.replace(/(Upgrad)e/gi, '$1x')
const seenWithoutNames = ({ handled, ...seen }: Seen): Seen => ({
  ...seen,
  answers: withoutNames(seen.answers),
  handled: handled.map(({ head, body }) => ({
    head: withoutNames(head),
    body: body === undefined ? undefined : withoutNames(body)
  }))
})

const changed = (
  { bytes, ...script }: Script,
  pattern: RegExp,
  instead: (whole: string, start: string) => string
): Script => ({
  ...script,
  bytes: Buffer.from(bytes.toString('latin1').replace(pattern, instead), 'latin1')
})

/** The same script, whose bytes from one on are sent when all before them are answered. */
const quietBefore = (at: number, script: Script): Script => ({
  ...script,
  cuts: tidyCuts([...script.cuts.filter(cut => cut.at !== at), { at, pause: 'quiet' }], script.bytes.length)
})

/** Whether the gateway answers as it does without the first offers, and Node answers the same then. */
async function isOfferIgnored(script: Script, pair: Pair, play: PlayEach, count: number): Promise<boolean> {
  let left = count
  const without = changed(script, OFFER, (whole, start) => (left-- > 0 ? `${start}x` : whole))
  const [, own] = pair.sides
  const { difference } = await play([without, script], [own, own])
  if (difference !== undefined) {
    const [one, other] = difference.sides.map(seenWithoutNames)
    if (differenceOf(one!, other!, script.cuts.length > 0) !== undefined) return false
  }
  const { difference: rest } = await play([without, without], pair.sides)
  return rest === undefined || (await nameOf(without, rest, pair, play)) !== undefined
}

/** Whether the gateway does with the script what Node does with another one. */
async function isAsNodeDoes(other: Script, script: Script, seen: Seen, pair: Pair, play: PlayEach): Promise<boolean> {
  const { difference, seen: nodes } = await play([other, script], pair.sides)
  // The gateway must have done so the first time as well.
  return difference === undefined && differenceOf(nodes, seen, script.cuts.length > 0) === undefined
}

/**
 * Unless chance decides it, a difference has a name only if the gateway does exactly what Node does with another script: one
 * whose client waits before a CONNECT, one without offers, or one whose length, coding or chunk Node refuses at once.
 *
 * @returns its name in docs/compatibility/http-engine.md; `undefined`: it has none
 */
export async function nameOf(
  script: Script,
  { sides }: Difference,
  pair: Pair,
  play: PlayEach
): Promise<string | undefined> {
  const text = script.bytes.toString('latin1')
  if (pair.maxBodyBytes !== undefined && isEndedInABody(sides, text, pair.maxBodyBytes)) return BEHIND_AN_ANSWER
  // One of a websocket ends its connection when it is answered instead.
  for (let offers = text.match(OFFER)?.length ?? 0; offers > 0; offers--)
    if (await isOfferIgnored(script, pair, play, offers)) return IGNORED_OFFER
  const refused = changed(script, REFUSED_FRAMING, whole => `\n\0${whole.slice(1)}`)
  if (!refused.bytes.equals(script.bytes) && (await isAsNodeDoes(refused, script, sides[1], pair, play))) return FRAMING
  const unsized = changed(script, CHUNK_SIZE, () => '\r\n\r\n\0')
  if (!unsized.bytes.equals(script.bytes) && (await isAsNodeDoes(unsized, script, sides[1], pair, play)))
    return BROKEN_CHUNK
  const connectAt = text.indexOf(CONNECT)
  const isAnswered = connectAt >= 0 && sides.every(({ fate }) => fate !== 'open')
  const waiting = quietBefore(connectAt, script)
  return isAnswered && (await isAsNodeDoes(waiting, script, sides[1], pair, play)) ? ANSWERS_BEFORE_CONNECT : undefined
}
