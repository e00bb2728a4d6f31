import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { AppSide, NODE, OWN } from './app-side.js'
import { type PlayedAlone, playAlone } from './fuzzer.js'
import { differenceNames } from './open-differences.js'
import type { Side } from './play.js'
import { fromLiteral } from './script.js'
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
    name: 'an offer of another protocol',
    send: `${post('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5', 'abcde')}${post('Content-Length: 2', 'ab')}`,
    neighbours: {
      'answers it in another way': changing(/HTTP\/1\.1 200 OK/, 'HTTP/1.1 101 Switching Protocols'),
      'hides it from the handler': taking(/Upgrade: h2c\r\n/, ''),
      'leaves out the body of a request with it': taking(/abcde/, 'GET /')
    }
  },
  {
    name: 'an odd length or coding',
    send: `${post('Content-Length: 5', 'abcde')}${post('Transfer-Encoding: xchunked').replace('parsed', 'unread')}`,
    neighbours: {
      'refuses it in another way': changing(/HTTP\/1\.1 400 [^\r]*/, 'HTTP/1.1 413 Payload Too Large'),
      'gives the request before it another answer': changing(/HTTP\/1\.1 200 OK/, 'HTTP/1.1 202 OK')
    }
  },
  {
    name: 'a body that is too large, and then broken',
    send: `POST /kafboy/async/a HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfde8\r\n${'x'.repeat(66_000)}`,
    neighbours: {
      'refuses it in another way': changing(/HTTP\/1\.1 400 [^\r]*/, 'HTTP/1.1 413 Payload Too Large')
    }
  }
]

describe('fuzzer of engines: differences that the documents name', () => {
  let node: AppSide
  let engine: AppSide
  let ticks: Ticks
  let shim: Shim | undefined
  before(async () => {
    node = await AppSide.start(NODE, {}, true)
    engine = await AppSide.start(OWN, {})
    ticks = new Ticks()
  })
  afterEach(async () => {
    await shim?.close()
    shim = undefined
  })
  after(async () => {
    ticks?.stop()
    for (const side of [node, engine]) await side?.close()
  })

  const played = (send: string, other: Side): Promise<PlayedAlone> =>
    playAlone(fromLiteral(JSON.stringify({ send: [send] })), { sides: [node, other] }, ticks)

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
