/** What happens between two pieces: so many ticks pass, or both servers have nothing left to say. */
export type Pause = number | 'quiet'

/** The stream is cut before the byte at this index. */
export interface Cut {
  readonly at: number
  readonly pause: Pause
}

/**
 * How a connection ends when all its bytes are sent and the servers are quiet.
 *
 *   probe   one more request is sent: it is answered, swallowed as the rest of an earlier one, or too late
 *   half    the client says that nothing more will come
 *   leave   the client closes the connection
 *   reset   the client resets it
 */
export const ENDINGS = ['probe', 'half', 'leave', 'reset'] as const
export type Ending = (typeof ENDINGS)[number]

/** What one connection sends. */
export interface Script {
  readonly bytes: Buffer
  /** In ascending order, each within the bytes. */
  readonly cuts: readonly Cut[]
  readonly ending: Ending
}

/** The pieces of a script, each with the pause after it. */
export function piecesOf({ bytes, cuts }: Script): { readonly bytes: Buffer; readonly pause: Pause }[] {
  const pieces: { bytes: Buffer; pause: Pause }[] = []
  let from = 0
  for (const { at, pause } of cuts) {
    pieces.push({ bytes: bytes.subarray(from, at), pause })
    from = at
  }
  pieces.push({ bytes: bytes.subarray(from), pause: 'quiet' })
  return pieces
}

/** Cuts in order, without those that cut nothing off. */
export function tidyCuts(cuts: readonly Cut[], lengthBytes: number): Cut[] {
  const sorted = cuts.filter(({ at }) => at > 0 && at < lengthBytes).sort((one, other) => one.at - other.at)
  return sorted.filter(({ at }, i) => at !== sorted[i + 1]?.at)
}

/**
 * A script as JSON, one character per byte:
 *
 *   {"send":["GET / HTTP/1.1\r\n",1,"\r\n"],"ending":"half"}
 */
export function toLiteral(script: Script): string {
  const send = piecesOf(script).flatMap(({ bytes, pause }) => [bytes.toString('latin1'), pause])
  return JSON.stringify({ send: send.slice(0, -1), ending: script.ending }).replace(
    /[\x7f-\xff]/g,
    char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

/** @throws Error when it is not what {@link toLiteral} makes */
export function fromLiteral(literal: string): Script {
  const { send, ending = 'probe' } = JSON.parse(literal) as { send?: readonly (string | Pause)[]; ending?: Ending }
  if (!Array.isArray(send) || !ENDINGS.includes(ending)) throw new Error('a script is {"send":[…],"ending":"…"}')
  const pieces: Buffer[] = []
  const cuts: Cut[] = []
  let lengthBytes = 0
  for (const part of send as readonly (string | Pause)[]) {
    if (part === 'quiet' || typeof part === 'number') cuts.push({ at: lengthBytes, pause: part })
    else {
      pieces.push(Buffer.from(part, 'latin1'))
      lengthBytes += part.length
    }
  }
  return { bytes: Buffer.concat(pieces), cuts: tidyCuts(cuts, lengthBytes), ending }
}
