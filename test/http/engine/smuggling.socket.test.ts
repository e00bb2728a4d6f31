import { setImmediate as nextTick } from 'node:timers/promises'
import { expect } from 'chai'
import { RawSocket } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'
import { type ParsingCase, parsingCases } from './parsing-cases.js'
import { WatchedApp } from './watched-app.js'

/** Longest a server may take; one that waits for more bytes is told to fail. */
const PATIENCE_MS = 10_000
const FIRST = 'GET /loud/first HTTP/1.1\r\nHost: localhost\r\n\r\n'
/** Ends the connection if it is answered. */
const NEXT = 'GET /loud/next HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
/** Streams of more bytes are sent in pieces of this size, not byte by byte. */
const LONG_BYTES = 1_000
const LONG_PIECE_BYTES = 997

/** The ways in which each case is sent; what follows it comes with its last piece. */
const ways: Readonly<Record<string, (bytes: string) => readonly string[]>> = {
  'in one piece': bytes => [bytes],
  'byte by byte': bytes => {
    const size = bytes.length > LONG_BYTES ? LONG_PIECE_BYTES : 1
    return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size))
  }
}

interface Outcome {
  readonly answers: readonly number[]
  readonly handled: readonly string[]
}

const told = ({ answers, handled, stays }: ParsingCase): string => {
  const what = handled.length === 0 && answers.every(status => status >= 400) ? 'is refused with' : 'is answered'
  return `${what} ${answers.join(', ') || 'nothing'}, and the connection ${stays ? 'stays' : 'ends'}`
}

describe('what parsers read in different ways', () => {
  let app: WatchedApp
  before(async () => {
    app = await WatchedApp.start()
  })
  after(() => app?.close())

  async function send(pieces: readonly string[]): Promise<Outcome> {
    app.handled.length = 0
    const socket = await RawSocket.open(app.url)
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS)
    const startedAt = performance.now()
    for (const piece of pieces) {
      if (socket.isClosed) break
      await socket.send(Buffer.from(piece, 'latin1'))
      if (pieces.length > 1) await nextTick()
    }
    const received = await socket.untilClosed()
    clearTimeout(timer)
    socket.destroy()
    if (performance.now() - startedAt >= PATIENCE_MS)
      throw new Error(`the connection stays open after ${JSON.stringify(received)}`)
    const answers = [...received.matchAll(/HTTP\/1\.1 ([2-5]\d\d) /g)].map(([, status]) => Number(status))
    return { answers, handled: [...app.handled] }
  }

  for (const [group, cases] of Object.entries(parsingCases)) {
    it(`are read in one way: ${group}`, () => checkRows(cases, check, each => `${each.name}: ${told(each)}`))
  }

  async function check({ send: bytes, answers, handled, stays }: ParsingCase): Promise<void> {
    for (const [way, cut] of Object.entries(ways)) {
      const next = stays ? { answers: [200], handled: ['GET /next ""'] } : { answers: [], handled: [] }
      for (const first of ['', FIRST]) {
        const pieces = cut(first + bytes)
        const outcome = await send([...pieces.slice(0, -1), pieces.at(-1) + NEXT])
        const title = first === '' ? way : `${way}, behind another request`
        const before = first === '' ? [] : ['GET /first ""']
        expect(outcome.answers, title).to.deep.equal([...before.map(() => 200), ...answers, ...next.answers])
        expect(outcome.handled, title).to.deep.equal([...before, ...handled, ...next.handled])
      }
    }
  }
})
