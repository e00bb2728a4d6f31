import { answerCount, differenceOf, normalised, type Seen } from './comparison.js'
import { isEndedInABody } from './discarded-bodies.js'
import { type Difference, type Played, READ_BYTES, type Side } from './play.js'
import { type Cut, type Script, tidyCuts } from './script.js'

/** Two servers that must answer alike: Node, and an engine that is compared with it. */
export interface Pair {
  readonly sides: readonly [Side, Side]
  /** Node again, whose parser is given the bytes of a stream instead of reading the socket. Absent: nothing is excused. */
  readonly byStream?: Side
  /** `http.maxBodyBytes` of the sides. */
  readonly maxBodyBytes?: number
}

/** Plays a script of its own to each of two sides. */
export type PlayEach = (scripts: readonly [Script, Script], sides: readonly [Side, Side]) => Promise<Played>

/** A difference that docs/compatibility/http-engine.md names. */
interface NamedDifference {
  readonly name: string
  /** Whether the bytes can have it. */
  mayBe(text: string): boolean
  /** Before which bytes Node may have waited, so that it did what the engine does. */
  waitsBefore(text: string, leftAt: number | undefined): readonly (number | undefined)[]
}

const CONNECT = 'CONNECT '
/** The only one that chance decides with Node, too: it cannot be shown by letting Node wait. */
const BEHIND_AN_ANSWER = 'a body that comes behind the answer to its request'

const ANSWERS_BEFORE_CONNECT: NamedDifference = {
  name: 'answers before a CONNECT',
  mayBe: text => text.includes(CONNECT),
  waitsBefore: (text, leftAt) => [leftAt, text.indexOf(CONNECT)]
}

/** An engine waits, before it leaves a connection to Node, until all requests before are answered. */
const namedDifferences: readonly NamedDifference[] = [
  ANSWERS_BEFORE_CONNECT,
  {
    // An API may ask for the body, or refuse it, in the ticks before Node's parser comes to the byte that breaks it.
    name: 'what comes before the refusal of a broken body',
    mayBe: text => /transfer-encoding/i.test(text),
    waitsBefore: (_, leftAt) => [leftAt]
  }
]

const IGNORED_OFFER = 'an offer of another protocol'
const OFFER = /(\nUpgrad)e(?=:)/gi

/** As docs/compatibility/http-engine.md has them. */
export const differenceNames: readonly string[] = [
  ...namedDifferences.map(({ name }) => name),
  IGNORED_OFFER,
  BEHIND_AN_ANSWER
]

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

/** The same script, in which the offers that an engine has read itself are headers without a meaning. */
function withoutOffers({ bytes, ...script }: Script, leftAt = bytes.length): Script {
  const own = bytes.toString('latin1', 0, leftAt).replace(OFFER, '$1x')
  return { ...script, bytes: Buffer.concat([Buffer.from(own, 'latin1'), bytes.subarray(leftAt)]) }
}

/** The same script, whose bytes from one on are sent when all before them are answered. */
const quietBefore = (at: number, script: Script, cuts: readonly Cut[]): Script => ({
  ...script,
  cuts: tidyCuts([...cuts.filter(cut => cut.at !== at), { at, pause: 'quiet' }], script.bytes.length)
})

/** The same script, of which everything from one byte on is sent in one piece, when all before is answered. */
const inOnePieceFrom = (at: number, script: Script): Script =>
  quietBefore(
    at,
    script,
    script.cuts.filter(cut => cut.at < at)
  )

/** An engine that waits does not read meanwhile: the pieces that come then may become one. */
const whereNodeWaits = (at: number, script: Script): readonly Script[] => [
  quietBefore(at, script, script.cuts),
  inOnePieceFrom(at, script)
]

const REQUEST_LINE = /[A-Z]+ [^ \r\n]+ HTTP\/1\.[01]\r?\n/g

/** Most places that are tried: mutated requests make the number of a request differ from that of its answer by a few. */
const MAX_PLACES = 8

/**
 * Node answers a CONNECT at once, and leaves out what the requests before it have not answered by then. If the CONNECT came
 * in a later piece than the request with which the engine has left the connection, how many are answered depends on the
 * ticks between the two, of which the engine has used some.
 *
 * @returns where requests begin between the two, those first that fit the number of answers
 */
function whereConnectOvertakes(script: Script, text: string, { answers, leftAt }: Seen): readonly number[] {
  const connectAt = text.indexOf(CONNECT)
  const connectEndsAt = text.indexOf('\r\n\r\n', connectAt) + 4
  if (leftAt === undefined || connectAt <= leftAt) return []
  const cutsBefore = script.cuts.filter(({ at }) => at > leftAt && at < connectEndsAt)
  // What came before the client waited for all answers has been answered.
  const answeredAt = cutsBefore.findLast(({ pause }) => pause === 'quiet')?.at ?? leftAt
  if (!cutsBefore.some(({ at }) => at > answeredAt)) return []
  const answered = answerCount(answers) - 1
  const starts = [...text.matchAll(REQUEST_LINE)].map(({ index }, i) => ({ index, distance: Math.abs(i - answered) }))
  return starts
    .filter(({ index }) => index > answeredAt && index < connectAt)
    .sort((one, other) => one.distance - other.distance)
    .slice(0, MAX_PLACES)
    .map(({ index }) => index)
}

const REFUSED_CONNECT = /HTTP\/1\.1 405 Method Not Allowed\r\n(?:[^\r\n]+\r\n)*\r\n$/

/**
 * The same of a piece that a server reads in several ticks. No client can wait within a read, so it is asked instead whether
 * the engine sent the first answers of Node, and then that to the CONNECT.
 */
async function isOvertakenInALongPiece(script: Script, text: string, seen: Seen, play: PlayToNode): Promise<boolean> {
  const { leftAt, answers, handled } = seen
  const connectAt = text.indexOf(CONNECT)
  const pieceAt = script.cuts.findLast(({ at }) => at <= connectAt)?.at ?? 0
  if (leftAt === undefined || connectAt <= leftAt || connectAt - pieceAt < READ_BYTES) return false
  if (!REFUSED_CONNECT.test(answers)) return false
  const waited = await play(quietBefore(connectAt, script, script.cuts))
  const isFirst = normalised(waited.answers).startsWith(normalised(answers.replace(REFUSED_CONNECT, '')))
  return isFirst && handled.every(({ head }, i) => waited.handled[i] === undefined || waited.handled[i].head === head)
}

/** Whether the engine answers as it does without the offers that it has read, and Node answers the same then. */
async function isOfferIgnored(
  script: Script,
  leftAt: number | undefined,
  pair: Pair,
  play: PlayEach
): Promise<boolean> {
  const without = withoutOffers(script, leftAt)
  if (without.bytes.equals(script.bytes)) return false
  const [, engine] = pair.sides
  const { difference: own } = await play([without, script], [engine, engine])
  if (own !== undefined) {
    const [one, other] = own.sides.map(seenWithoutNames)
    if (differenceOf(one!, other!, script.cuts.length > 0) !== undefined) return false
  }
  const { difference } = await play([without, without], pair.sides)
  return difference === undefined || (await nameOf(without, difference, pair, play)) !== undefined
}

/** What Node does with a script. */
type PlayToNode = (script: Script) => Promise<Seen>

/**
 * Unless chance decides it, a difference has a name only if both connections have ended, and the engine does exactly what Node does when the client
 * waits at one byte, and when Node's parser is given the bytes of a stream, as it is when an engine has left a connection.
 *
 * @returns its name in docs/compatibility/http-engine.md; `undefined`: it has none
 */
export async function nameOf(
  script: Script,
  { sides }: Difference,
  pair: Pair,
  play: PlayEach
): Promise<string | undefined> {
  const {
    sides: [, engine],
    byStream,
    maxBodyBytes
  } = pair
  const text = script.bytes.toString('latin1')
  if (maxBodyBytes !== undefined && isEndedInABody(sides, text, maxBodyBytes)) return BEHIND_AN_ANSWER
  if (await isOfferIgnored(script, sides[1].leftAt, pair, play)) return IGNORED_OFFER
  if (byStream === undefined || sides.some(({ fate }) => fate === 'open')) return undefined
  for (const { name, mayBe, waitsBefore } of namedDifferences) {
    if (!mayBe(text)) continue
    for (const at of new Set(waitsBefore(text, sides[1].leftAt))) {
      if (at === undefined) continue
      for (const waiting of whereNodeWaits(at, script)) {
        const { difference, seen } = await play([waiting, script], [byStream, engine])
        // The engine must have done so the first time as well.
        const isSo = difference === undefined && differenceOf(seen, sides[1], script.cuts.length > 0) === undefined
        if (isSo) return name
      }
    }
  }
  if (!text.includes(CONNECT)) return undefined
  const { name } = ANSWERS_BEFORE_CONNECT
  for (const at of whereConnectOvertakes(script, text, sides[1])) {
    const { seen } = await play([inOnePieceFrom(at, script), script], [byStream, engine])
    if (differenceOf(seen, sides[1], true) === undefined) return name
  }
  const playToNode: PlayToNode = async waiting => (await play([waiting, script], [byStream, engine])).seen
  return (await isOvertakenInALongPiece(script, text, sides[1], playToNode)) ? name : undefined
}
