import type { Choices } from './choices.js'
import { Grammar } from './grammar.js'
import { mutated } from './mutations.js'
import { type Cut, ENDINGS, type Pause, type Script, tidyCuts } from './script.js'

/** Streams of more bytes are not cut at every byte. */
const FINE_CUTS_MAX_BYTES = 400

/** The connection of these choices: some requests one behind the other, cut somewhere, and an ending. */
export function makeScript(choices: Choices): Script {
  const bytes = Buffer.from(makeRequests(choices), 'latin1')
  const ending = choices.percent(55) ? 'probe' : choices.pick(ENDINGS)
  return { bytes, cuts: makeCuts(bytes, choices), ending }
}

/** A broken request mostly is the last one: nothing behind it is read. A connection costs as much as six more requests. */
function makeRequests(choices: Choices): string {
  const isLasting = choices.percent(65)
  // One request that is not plain sends its connection to Node for good.
  const grammar = new Grammar(choices, choices.percent(60), isLasting)
  const count = isLasting ? choices.between(15, 45) : choices.percent(20) ? 1 : choices.between(2, 15)
  const oddShare = isLasting ? choices.pick([0, 0, 0, 0, 3]) : choices.pick([0, 5, 30])
  const requests = Array.from({ length: count }, () =>
    choices.percent(oddShare) ? grammar.unusual().text : grammar.valid().text
  )
  if (choices.percent(35)) {
    const last = choices.percent(40)
      ? grammar.broken().text
      : mutated((choices.oneIn(3) ? grammar.unusual() : grammar.valid()).text, choices)
    requests.splice(choices.percent(80) ? count - 1 : choices.between(0, count - 1), 1, last)
  }
  const text = requests.join('')
  return choices.percent(12) ? text.slice(0, choices.between(1, text.length)) : text
}

function makeCuts(bytes: Buffer, choices: Choices): Cut[] {
  const length = bytes.length
  const cutAt = (at: number): Cut => ({ at, pause: makePause(choices) })
  const somewhere = (): Cut => cutAt(choices.between(1, Math.max(1, length - 1)))
  const share = choices.between(0, 99)
  if (share < 40) return []
  if (share < 60) return tidyCuts([somewhere()], length)
  if (share < 75) return tidyCuts(Array.from({ length: choices.between(2, 6) }, somewhere), length)
  if (share < 97 || length > FINE_CUTS_MAX_BYTES) return tidyCuts(nearLineEnds(bytes, choices).map(cutAt), length)
  const step = choices.pick([1, 1, 2, 3])
  return tidyCuts(
    Array.from({ length: Math.floor(length / step) }, (_, i) => ({ at: i * step, pause: 1 })),
    length
  )
}

/** Around the ends of some lines: behind the CR, behind the LF, one byte further. */
function nearLineEnds(bytes: Buffer, choices: Choices): number[] {
  const places: number[] = []
  for (let left = choices.between(1, 3); left > 0; left--) {
    const at = bytes.indexOf('\r\n', choices.between(0, bytes.length - 1))
    if (at >= 0) places.push(at + choices.between(0, 5))
  }
  return places
}

const makePause = (choices: Choices): Pause => (choices.percent(15) ? 'quiet' : choices.pick([0, 1, 1, 1, 2, 3]))
