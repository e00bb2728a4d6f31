import { expect } from 'chai'
import { AppSide, NODE, OWN, takeBugs } from './app-side.js'
import { Fuzzer, type FuzzOptions, playAlone } from './fuzzer.js'
import type { Pair } from './open-differences.js'
import type { Patience } from './play.js'
import { fromLiteral, type Script, toLiteral } from './script.js'
import { type Fault, Shim } from './shim.js'
import { shrink } from './shrink.js'
import { Ticks } from './ticks.js'

const SEED = 24
/** Longest that a server of this process needs to show a difference: making a case smaller asks hundreds of times. */
const SOON: Patience = { ticks: 8, differentTicks: 40, differentMs: 5 }
const options = (overrides: Partial<FuzzOptions>): FuzzOptions => ({
  seed: SEED,
  first: 0,
  connections: 200,
  requests: Number.POSITIVE_INFINITY,
  seconds: 300,
  atOnce: 32,
  maxDifferences: 1,
  shrinkTries: 800,
  ...overrides
})

const scriptOf = (...pieces: readonly string[]): Script =>
  fromLiteral(JSON.stringify({ send: pieces.flatMap((piece, i) => (i === 0 ? [piece] : [1, piece])) }))

/** Requests that show no fault, and that are not needed. */
const BEFORE = Array.from(
  { length: 10 },
  (_, i) => `POST /echo/collected/${i} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab`
).join('')
const post = (header: string, body: string): string =>
  `POST /echo/parsed/a HTTP/1.1\r\nHost: localhost\r\n${header}\r\n\r\n${body}`

describe('fuzzer of engines', () => {
  let side: AppSide
  let ticks: Ticks
  let shim: Shim | undefined
  before(async () => {
    side = await AppSide.start(NODE, {}, true)
    ticks = new Ticks()
  })
  afterEach(async () => {
    await shim?.close()
    shim = undefined
  })
  after(async () => {
    ticks?.stop()
    await side?.close()
  })

  const fuzz = async (pair: Pair, overrides: Partial<FuzzOptions> = {}): Promise<Fuzzer> => {
    const fuzzer = new Fuzzer([pair], ticks, options(overrides))
    await fuzzer.run()
    return fuzzer
  }
  const shimmed = async (faultOf: () => Fault): Promise<Pair> => {
    shim = await Shim.start(side, faultOf)
    return { sides: [side, shim] }
  }

  it('finds no difference between a server and itself, and nothing is held afterwards', async () => {
    const other = await AppSide.start(NODE, {}, true)
    try {
      const { found, counts } = await fuzz({ sides: [side, other] })
      expect(found.map(({ script, kind }) => `${kind} ${toLiteral(script)}`)).to.deep.equal([])
      expect(counts.requests).to.be.at.least(500)
      expect([...(await side.stillHeld(10_000)), ...(await other.stillHeld(10_000))]).to.deep.equal([])
      expect(takeBugs()).to.deep.equal([])
    } finally {
      await other.close()
    }
  })

  it('finds no difference between a server and a shim before it that passes all on', async () => {
    const { found } = await fuzz(await shimmed(() => ({})), { connections: 100 })
    expect(found.map(({ script, kind }) => `${kind} ${toLiteral(script)}`)).to.deep.equal([])
  })

  it('compares what handlers were given where no answer tells it', async () => {
    const pair = await shimmed(() => ({ toServer: bytes => rewritten(bytes, /x-secret: a/g, 'x-secret: b') }))
    const script = scriptOf('HEAD /echo/empty/a HTTP/1.1\r\nhost: localhost\r\nx-request-id: a\r\nx-secret: a\r\n\r\n')
    expect((await playAlone(script, pair, ticks)).difference?.kind).to.equal('handler')
  })

  const rewritten = (bytes: Buffer, pattern: RegExp, by: string): Buffer =>
    Buffer.from(bytes.toString('latin1').replace(pattern, by), 'latin1')

  /** Whatever a server may get wrong, with the number of bytes that are enough to show it. */
  const faults: [string, (string | number)[], () => Fault, number][] = [
    [
      'takes a length with a plus sign',
      [post('Content-Length: +5', 'abcde')],
      () => ({ toServer: bytes => rewritten(bytes, /(content-length:\s*)\+/gi, '$1') }),
      100
    ],
    [
      'takes a line that ends with LF only',
      [post('X: y\nContent-Length: 5', 'abcde')],
      () => ({ toServer: bytes => rewritten(bytes, /(?<!\r)\n/g, '\r\n') }),
      100
    ],
    [
      'takes a blank before a colon',
      [post('Content-Length : 5', 'abcde')],
      () => ({ toServer: bytes => rewritten(bytes, /^([\w-]+)[ \t]+:/gm, '$1:') }),
      100
    ],
    [
      'obeys the first of two lengths',
      [post('Content-Length: 5\r\nContent-Length: 6', 'abcde')],
      () => ({ toServer: bytes => rewritten(bytes, /(content-length: 5\r\n)content-length: 6\r\n/gi, '$1') }),
      130
    ],
    [
      'forgets where it was when a piece ends between CR and LF',
      ['POST /echo/parsed/a HTTP/1.1\r', 'quiet', '\nHost: localhost\r\n\r\n'],
      losesLineFeeds,
      100
    ],
    ['keeps a connection open that must end', ['GET / HTTP/9.9\r\n\r\n'], () => ({ hidesEnd: true }), 30],
    ['holds an answer back until more comes', [post('Content-Length: 5', 'abcde')], holdsBack, 60]
  ]

  function losesLineFeeds(): Fault {
    let endedInReturn = false
    return {
      toServer: bytes => {
        const rest = endedInReturn && bytes[0] === 10 ? bytes.subarray(1) : bytes
        endedInReturn = bytes.at(-1) === 13
        return rest
      }
    }
  }

  function holdsBack(): Fault {
    const held: (() => void)[] = []
    const release = (): void => {
      for (const send of held.splice(0)) send()
    }
    return {
      toServer: bytes => {
        release()
        return bytes
      },
      toClient: (bytes, send) => void held.push(() => send(bytes))
    }
  }

  for (const [name, send, faultOf, enoughBytes] of faults) {
    it(`finds a server that ${name}, and makes the case small`, async () => {
      const pair = await shimmed(faultOf)
      const script = fromLiteral(JSON.stringify({ send: [BEFORE, ...send], ending: 'half' }))
      const kind = (await playAlone(script, pair, ticks)).difference?.kind
      expect(kind, 'what differs').to.not.equal(undefined)
      const smallest = await shrink(
        script,
        async each => (await playAlone(each, pair, ticks, SOON)).difference?.kind === kind,
        300
      )
      expect(smallest.bytes.length, toLiteral(smallest)).to.be.at.most(enoughBytes)
    })
  }

  it('finds a server whose connections share a buffer that is used too early, though none alone shows it', async () => {
    let latest: { readonly owner: object; readonly bytes: Buffer } | undefined
    const faultOf = (): Fault => {
      const owner = {}
      return {
        toClient: (bytes, send) => {
          const isOverwritten = latest !== undefined && latest.owner !== owner
          send(isOverwritten ? Buffer.alloc(bytes.length, latest!.bytes) : bytes)
          if (latest === undefined) setImmediate(() => (latest = undefined))
          latest = { owner, bytes }
        }
      }
    }
    const { found } = await fuzz(await shimmed(faultOf), { shrinkTries: 0 })
    expect(found.map(({ kind, isShrunk }) => `${kind} ${isShrunk}`)).to.include('answers false')
  })

  it(`finds no difference between ${NODE} and ${OWN} but those with a name`, async () => {
    const other = await AppSide.start(OWN, {})
    try {
      const { found } = await fuzz({ sides: [side, other] })
      expect(found.map(({ script, kind }) => `${kind} ${toLiteral(script)}`)).to.deep.equal([])
      expect(await other.stillHeld(10_000)).to.deep.equal([])
      expect([side.shareByHand, other.shareByHand], 'nothing is proved by comparing Node with itself').to.deep.equal([
        0, 1
      ])
    } finally {
      await other.close()
    }
  })
})
