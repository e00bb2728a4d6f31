import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { engineSettings, NODE, OWN } from '../support/engines.js'
import { readAsStreams } from './accepted.js'
import { AppSide } from './app-side.js'
import type { Seen } from './comparison.js'
import { type PlayedAlone, playAlone } from './fuzzer.js'
import { differenceNames, nameOf, type PlayEach } from './open-differences.js'
import type { Side } from './play.js'
import { fromLiteral, type Pause } from './script.js'
import { type Fault, Shim } from './shim.js'
import { Ticks } from './ticks.js'

const HOST = 'Host: localhost\r\n'
const post = (headers: string, body = ''): string => `POST /echo/parsed/a HTTP/1.1\r\n${HOST}${headers}\r\n\r\n${body}`

/** What an engine sends, changed in a way that no document names. */
const changing = (pattern: RegExp, instead: string) => (): Fault => ({
  toClient: (bytes, send) => send(Buffer.from(bytes.toString('latin1').replace(pattern, instead), 'latin1'))
})

/** What an engine is given, changed. */
const taking = (pattern: RegExp, instead: string) => (): Fault => ({
  toServer: bytes => Buffer.from(bytes.toString('latin1').replace(pattern, instead), 'latin1')
})

interface NamedCase {
  readonly name: string
  readonly send: string
  /** Differences that are much like it, and have no name. */
  readonly neighbours: Readonly<Record<string, () => Fault>>
}

const cases: readonly NamedCase[] = [
  {
    name: 'answers before a CONNECT',
    send: `GET /echo/late/a HTTP/1.1\r\n${HOST}\r\nCONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n`,
    neighbours: {
      'grants a CONNECT behind another request': changing(/HTTP\/1\.1 405 [^\r]*/, 'HTTP/1.1 200 OK'),
      'gives the request before it another answer': changing(/HTTP\/1\.1 200 OK/, 'HTTP/1.1 202 OK')
    }
  },
  {
    name: 'what comes before the refusal of a broken body',
    send: `${post('Content-Length: 5', 'abcde')}POST /echo/closing/ HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n4\r\nabcde`,
    neighbours: {
      'refuses it in another way': changing(/HTTP\/1\.1 400 [^\r]*/, 'HTTP/1.1 413 Payload Too Large'),
      'gives the request before it another answer': changing(/HTTP\/1\.1 200 OK/, 'HTTP/1.1 202 OK')
    }
  },
  {
    name: 'an offer of another protocol',
    send: `${post('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5', 'abcde')}${post('Content-Length: 2', 'ab')}`,
    neighbours: {
      'answers it in another way': changing(/HTTP\/1\.1 200 OK/, 'HTTP/1.1 101 Switching Protocols'),
      'hides it from the handler': taking(/Upgrade: h2c\r\n/, ''),
      'leaves out the body of a request with it': taking(/abcde/, 'GET /')
    }
  }
]

describe('fuzzer of engines: differences that the documents name', () => {
  let node: AppSide
  let engine: AppSide
  let byStream: AppSide
  let ticks: Ticks
  let shim: Shim | undefined
  before(async () => {
    node = await AppSide.start(NODE, engineSettings(NODE))
    engine = await AppSide.start(OWN, engineSettings(OWN))
    byStream = await AppSide.start(`${NODE} by stream`, engineSettings(NODE))
    readAsStreams(byStream.address)
    ticks = new Ticks()
  })
  afterEach(async () => {
    await shim?.close()
    shim = undefined
  })
  after(async () => {
    ticks?.stop()
    for (const side of [node, engine, byStream]) await side?.close()
  })

  const played = (send: string, other: Side): Promise<PlayedAlone> =>
    playAlone(fromLiteral(JSON.stringify({ send: [send] })), { sides: [node, other], byStream }, ticks)

  it('are all tested here, and described', () => {
    const page = readFileSync('docs/compatibility/http-engine.md', 'utf8')
    const byChance = 'a body that comes behind the answer to its request'
    expect([...cases.map(({ name }) => name), byChance]).to.have.members(differenceNames)
    for (const name of differenceNames) expect(page).to.contain(`**${name}**`)
  })

  for (const { name, send, neighbours } of cases) {
    it(`${name}: is one of them`, async () => {
      expect((await played(send, engine)).name).to.equal(name)
    })

    for (const [what, fault] of Object.entries(neighbours)) {
      it(`${name}: an engine that ${what} is found`, async () => {
        shim = await Shim.start(engine, fault)
        const { difference, name: found } = await played(send, shim)
        expect([difference === undefined, found]).to.deep.equal([false, undefined])
      })
    }
  }

  it('a server that answers what Node refuses is found, whatever the request has', async () => {
    shim = await Shim.start(engine, taking(/(content-length: )\+/i, '$1'))
    for (const send of [
      post('Content-Length: +5', 'abcde'),
      post('Content-Length: +5\r\nExpect: 100-continue', 'abcde'),
      post('Content-Length: +5\r\nConnection: close', 'abcde'),
      post('Content-Length: +5\r\nConnection: close', 'abcdeCONNECT a:1 HTTP/1.1')
    ]) {
      const { difference, name } = await played(send, shim)
      expect([difference === undefined, name], send).to.deep.equal([false, undefined])
    }
  })
})

describe('fuzzer of engines: a CONNECT in a later piece than the request with which an engine left', () => {
  const request = (index: number): string => `GET /echo/late/${index} HTTP/1.1\r\n${HOST}\r\n`
  const six = [0, 1, 2, 3, 4, 5].map(request)
  const connect = `CONNECT localhost:80 HTTP/1.1\r\n${HOST}\r\n`
  const answersTo = (count: number, last = '405 Method Not Allowed'): string =>
    `${'HTTP/1.1 200 OK\r\n\r\n'.repeat(count)}HTTP/1.1 ${last}\r\n\r\n`
  const seenOf = (answers: string, leftAt?: number): Seen => ({ answers, fate: 'ended', handled: [], leftAt })
  const side: Side = { name: 'a server', address: { host: '', port: 0 }, handled: () => [], forget: () => undefined }
  /** Node, which answers before a CONNECT whatever came before the client waited. */
  const asNodeDoes: PlayEach = async ([{ bytes, cuts }]) => {
    const waitsAt = cuts.findLast(({ pause }) => pause === 'quiet')?.at ?? 0
    const answered = bytes.subarray(0, waitsAt).toString('latin1').split('GET ').length - 1
    const seen = seenOf(answersTo(answered))
    return { difference: { kind: 'answers', sides: [seen, seen] }, seen }
  }
  /** The engine has left before the second request. */
  const nameFor = (pieces: readonly (string | Pause)[], answers: string): Promise<string | undefined> => {
    const sides = [seenOf(answersTo(6)), seenOf(answers, request(0).length)] as const
    const script = fromLiteral(JSON.stringify({ send: pieces }))
    return nameOf(script, { kind: 'answers', sides }, { sides: [side, side], byStream: side }, asNodeDoes)
  }
  const later = [...six, 1, connect]

  it('may overtake any of the requests between them', async () => {
    for (const answered of [2, 3, 4, 5]) {
      expect(await nameFor(later, answersTo(answered)), `${answered}`).to.equal('answers before a CONNECT')
    }
  })

  it('may not overtake what was answered before the engine left', async () => {
    expect(await nameFor(later, answersTo(0))).to.equal(undefined)
  })

  it('may not overtake what was sent before the client waited for all answers', async () => {
    const waited = [...six.slice(0, 4), 'quiet', ...six.slice(4), 1, connect]
    expect(await nameFor(waited, answersTo(3))).to.equal(undefined)
    expect(await nameFor(waited, answersTo(5))).to.equal('answers before a CONNECT')
    expect(await nameFor([...six, 'quiet', connect], answersTo(5))).to.equal(undefined)
  })

  it('overtakes none of them by chance when it comes in the same piece', async () => {
    expect(await nameFor([...six, connect], answersTo(3))).to.equal(undefined)
  })

  it('may overtake any of the requests before it in a piece that is read in several ticks', async () => {
    const padding = `POST /echo/late/6 HTTP/1.1\r\n${HOST}Content-Length: 70000\r\n\r\n${'x'.repeat(70_000)}`
    const long = [...six, padding, connect]
    for (const answered of [0, 3]) {
      expect(await nameFor([long.join('')], answersTo(answered))).to.equal('answers before a CONNECT')
    }
    expect(await nameFor([long.join('')], answersTo(3).replace('200', '202'))).to.equal(undefined)
    expect(await nameFor([long.join('')], answersTo(3, '200 OK'))).to.equal(undefined)
  })

  it('is refused, and changes no answer before it', async () => {
    expect(await nameFor(later, answersTo(3, '200 OK'))).to.equal(undefined)
    expect(await nameFor(later, answersTo(3).replace('200', '202'))).to.equal(undefined)
  })
})
