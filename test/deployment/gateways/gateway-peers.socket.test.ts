import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { expect } from 'chai'
import { OverloadedError } from '../../../src/core/errors.js'
import { defaultLogger, type MetricsLogger } from '../../../src/core/metrics/metrics-logger.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import { ask, serve } from '../../../src/deployment/calls/call.js'
import {
  askAll,
  isNotSent,
  isUnanswered,
  type PeerCall,
  type PeerError,
  SILENT_MS
} from '../../../src/deployment/calls/peers.js'
import { CALLS } from '../../../src/deployment/calls/table.js'
import { encodeBody } from '../../../src/deployment/gateways/body.js'
import { GatewayPeers, type GatewayPeersDeps } from '../../../src/deployment/gateways/gateway-peers.js'
import { PeerConnection } from '../../../src/deployment/gateways/peer-connection.js'
import { hostAndPort, type PeerTls } from '../../../src/deployment/gateways/peer-listener.js'
import { ANSWERED_BY, PeerToken } from '../../../src/deployment/gateways/peer-token.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { TestAuthority } from '../../support/certificates.js'

const TOKEN = 'a token of more than thirty-two bytes'
const PATIENT = { timeoutMs: 60_000 }
/** Calls of one gateway that another one carries out at a time. */
const MAX_CALLS_OF_CALLER = 1_024

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Wanted {
  readonly addresses?: string[]
  readonly networks?: string[]
  readonly token?: string
  readonly tls?: PeerTls | undefined
  readonly listen?: string
  readonly log?: Logger
  readonly resolve?: GatewayPeersDeps['resolve']
  readonly clock?: () => number
  readonly now?: () => number
  readonly maxCalls?: number
  readonly metrics?: MetricsLogger
}

/** The answers of all others that are known, without those that fail. */
async function answersOf(peers: GatewayPeers, name: string): Promise<readonly unknown[]> {
  const told = await askAll(peers.others, id => peers.call(id, name, undefined, PATIENT))
  return told.flatMap(({ answer, error }) => (error === undefined ? [answer] : []))
}

/** A gateway that knows the others at `addresses`, a list to which the test may add. */
async function gateway({
  addresses = [],
  networks = ['127.0.0.0/8'],
  token = TOKEN,
  listen = '127.0.0.1:0',
  log = silentLogger,
  ...more
}: Wanted = {}) {
  const settings = { addresses, networks, token, listen }
  const peers = new GatewayPeers({ settings, log, clock: () => performance.now(), ...more })
  await peers.open()
  closing.push(() => peers.close())
  return peers
}

/** Waits until a gateway knows others. On a busy machine the first look-up may take too long. */
async function knows(one: GatewayPeers, ...ids: string[]): Promise<void> {
  while (!ids.every(id => one.others.includes(id))) {
    await one.refresh()
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

/** Two gateways that know each other. */
async function two() {
  const addresses: string[] = []
  const [a, b] = [await gateway({ addresses }), await gateway({ addresses })]
  addresses.push(a.address, b.address)
  await knows(a, b.id)
  await knows(b, a.id)
  return { a, b, addresses }
}

function connectionTo(host: string, port: number, tls?: PeerTls): PeerConnection {
  const deps = { id: 'a', token: new PeerToken(TOKEN), tls, serverName: host, log: silentLogger }
  const clocks = { clock: () => 0, now: Date.now, metrics: defaultLogger, onGone: () => undefined }
  const connection = new PeerConnection(host, port, { ...deps, ...clocks })
  closing.push(() => connection.close())
  return connection
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => server.close())
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An HTTP server that is no gateway. */
async function liar(answer: RequestListener): Promise<string> {
  const server = createHttpServer(answer)
  closing.push(() => server.closeAllConnections())
  return listening(server)
}

const reasonOf = (promise: Promise<unknown>): Promise<PeerError> =>
  promise.then(
    () => expect.fail('the call did not fail'),
    error => error as PeerError
  )

/** Sends bytes as they are, and returns everything that comes until the connection ends. */
async function sendRaw(address: string, bytes: string | Buffer): Promise<string> {
  const [host, port] = address.split(':')
  const socket = connect(Number(port), host)
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.write(bytes)
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

describe('gateways that know each other', () => {
  it('end an answer whose caller does not read it in time', async () => {
    const [called, bytes] = [await gateway(), 48 * 1_048_576]
    called.serve('long', () => Buffer.alloc(bytes))
    const { host, port } = hostAndPort(called.address)
    const socket = connect(port, host).pause()
    closing.push(() => socket.destroy())
    socket.on('error', () => undefined)
    const head = `POST /call/long HTTP/1.1\r\nhost: ${host}\r\nauthorization: ${new PeerToken(TOKEN).authorization}\r\n`
    const body = encodeBody({})
    socket.write(
      `${head}castellan-from: b\r\ncastellan-to: ${called.id}\r\ncastellan-timeout-ms: 100\r\ncontent-length: ${body.length}\r\n\r\n`
    )
    socket.write(body)
    // The time of the call, and what a caller waits longer.
    await new Promise(resolve => setTimeout(resolve, 1_900))
    let read = 0
    const ended = new Promise<void>(resolve => {
      socket.on('data', (data: Buffer) => {
        read += data.length
        if (read > bytes) resolve()
      })
      socket.once('close', () => resolve())
      socket.resume()
    })
    await ended
    expect(read).to.be.below(bytes)
  })

  it('leaves nothing with a connection that is used again', async () => {
    const { a, b } = await two()
    b.serve('echo', body => body)
    const warnings: string[] = []
    const noted = ({ name }: Error): void => void warnings.push(name)
    process.on('warning', noted)
    for (let nth = 0; nth < 30; nth++) await a.call(b.id, 'echo', nth, PATIENT)
    process.off('warning', noted)
    expect(warnings).to.not.include('MaxListenersExceededWarning')
  })

  it('compare their clocks: one that differs from the others is told by its gateway', async () => {
    const addresses: string[] = []
    const offMs = [0, 0, -3_600_000]
    const all = await Promise.all(offMs.map(off => gateway({ addresses, now: () => Date.now() + off })))
    const [a, b, behind] = all as [GatewayPeers, GatewayPeers, GatewayPeers]
    expect(behind.clockAheadMs, 'alone').to.equal(undefined)
    addresses.push(a.address, behind.address)
    await knows(a, behind.id)
    await knows(behind, a.id)
    // All of them send the same Date, so each sees its own difference.
    expect([a.clockAheadMs, Math.round(behind.clockAheadMs! / 10_000)]).to.deep.equal([0, -360])
    addresses.push(b.address)
    await knows(behind, a.id, b.id)
    expect(Math.round(behind.clockAheadMs! / 10_000)).to.equal(-360)
  })

  it('count as one clock each, this one included, where most clocks are looked for', async () => {
    const date = (ms: number) => new Date(Date.now() + ms).toUTCString()
    const others = await Promise.all(
      [60_000, 0].map((ms, at) =>
        liar((_, response) => {
          response.writeHead(200, { [ANSWERED_BY]: `other-${at}`, date: date(ms) })
          response.end()
        })
      )
    )
    const one = await gateway({ addresses: others.slice(0, 1) })
    await knows(one, 'other-0')
    expect(Math.round(one.clockAheadMs! / 10_000)).to.equal(-6)
    const three = await gateway({ addresses: others })
    await knows(three, 'other-0', 'other-1')
    expect(three.clockAheadMs).to.equal(0)
  })

  it('call each other, with bytes and deadline', async () => {
    const { a, b } = await two()
    expect([a.others, b.others]).to.deep.equal([[b.id], [a.id]])
    const calls: [unknown, PeerCall<string>][] = []
    b.serve('echo it', (body, call) => {
      calls.push([body, call])
      return { echo: body }
    })
    const body = { value: Buffer.from([0, 1, 255]), at: 5n }
    expect(await a.call(b.id, 'echo it', body, { timeoutMs: 9_000 })).to.deep.equal({ echo: body })
    const [[received, { from, timeoutMs }]] = calls as [[unknown, PeerCall<string>]]
    expect([received, from]).to.deep.equal([body, a.id])
    expect(timeoutMs).to.be.within(1, 9_000)
  })

  it('tell that a call was not sent where nobody listens, and while they pause after that', async () => {
    const server = createServer()
    const [host, port] = (await listening(server)).split(':')
    await new Promise(resolve => server.close(resolve))
    const connection = connectionTo(host!, Number(port))
    for (const when of ['at first', 'after that'])
      expect(isNotSent(await reasonOf(connection.call('b', 'a call', {}, PATIENT))), when).to.equal(true)
  })

  it('tell that nothing was asked of a process whose successor has its address', async () => {
    const { host, port } = hostAndPort((await gateway()).address)
    const error = await reasonOf(connectionTo(host, port).call('former', 'a call', {}, PATIENT))
    expect([isUnanswered(error), isNotSent(error), error.message]).to.deep.equal([
      true,
      true,
      `the gateway at ${host}:${port} was started again`
    ])
  })

  it('pass on the errors of handlers', async () => {
    const { a, b } = await two()
    b.serve('fail', () => {
      throw new OverloadedError('too much')
    })
    const error = await reasonOf(a.call(b.id, 'fail', undefined, PATIENT))
    expect([error.message, error.cause?.code, isUnanswered(error)]).to.deep.equal(['too much', 'overloaded', false])
    expect((await reasonOf(a.call(b.id, 'unknown', undefined, PATIENT))).message).to.equal('unknown is not served')
  })

  it('answer that the time of a call is over, and are not taken for gone', async () => {
    const { a, b } = await two()
    let end = (): void => undefined
    b.serve('late', () => new Promise<void>(resolve => (end = resolve)))
    b.serve('now', () => 1)
    const error = await reasonOf(a.call(b.id, 'late', undefined, { timeoutMs: 20 }))
    expect(error.message).to.contain('no answer to late within')
    expect(isUnanswered(error)).to.equal(false)
    expect(await a.call(b.id, 'now', undefined, PATIENT)).to.equal(1)
    end()
  })

  it('carry out more calls one after another than may be under way at a time, by their bytes', async () => {
    const { a, b } = await two()
    b.serve('length', value => (value as Buffer).length)
    const value = Buffer.alloc(32 * 1_048_576)
    for (let sent = 0; sent < 9; sent++)
      expect(await a.call(b.id, 'length', value, PATIENT), `call ${sent}`).to.equal(value.length)
  })

  it('are called all together, without those that fail', async () => {
    const { a, b, addresses } = await two()
    const c = await gateway()
    addresses.push(c.address)
    await knows(a, c.id)
    b.serve('name', () => 'b')
    c.serve('name', () => {
      throw new Error('no')
    })
    expect(await answersOf(a, 'name')).to.deep.equal(['b'])
    c.serve('name', () => 'c')
    expect([...(await answersOf(a, 'name'))].sort()).to.deep.equal(['b', 'c'])
  })

  it('are found by the name of a host, at each of its addresses', async () => {
    const b = await gateway()
    const [, port] = b.address.split(':')
    let found = ['127.0.0.1', '10.255.255.1']
    const a = await gateway({ addresses: [`gateways:${port}`], resolve: async () => found })
    await knows(a, b.id)
    expect(a.others).to.deep.equal([b.id])
    const gone: string[] = []
    a.onGone(id => gone.push(id))
    found = []
    await a.refresh()
    expect([a.others, gone]).to.deep.equal([[], [b.id]])
  })

  it('stay known while the name of a host cannot be resolved', async () => {
    const b = await gateway()
    let isBroken = false
    const resolve = async () => {
      if (isBroken) throw new Error('no name server')
      return ['127.0.0.1']
    }
    const a = await gateway({ addresses: [b.address.replace('127.0.0.1', 'gateways')], resolve })
    await knows(a, b.id)
    isBroken = true
    await a.refresh()
    await knows(a, b.id)
  })

  it('are forgotten when their host no longer has their address, while another host cannot be resolved', async () => {
    const b = await gateway()
    const [, port] = b.address.split(':')
    let found = ['127.0.0.1']
    const resolve = async (host: string) => {
      if (host === 'misspelled') throw new Error('no such host')
      return found
    }
    const a = await gateway({ addresses: [`gateways:${port}`, `misspelled:${port}`], resolve })
    await knows(a, b.id)
    const gone: string[] = []
    a.onGone(id => gone.push(id))
    found = []
    await a.refresh()
    // A look-up may already have been under way.
    await a.refresh()
    expect([a.others, gone]).to.deep.equal([[], [b.id]])
  })

  it('are found while the look-up of another host does not end, which is made once', async () => {
    const b = await gateway()
    const [, port] = b.address.split(':')
    const asked: string[] = []
    const resolve = (host: string): Promise<string[]> => {
      asked.push(host)
      return host === 'stalled' ? new Promise(() => undefined) : Promise.resolve(['127.0.0.1'])
    }
    const a = await gateway({ addresses: [`gateways:${port}`, `stalled:${port}`], resolve })
    await knows(a, b.id)
    await a.refresh()
    expect(asked.filter(host => host === 'stalled')).to.have.length(1)
  })

  it('find a gateway that has just started when it is called', async () => {
    const addresses: string[] = []
    const a = await gateway({ addresses })
    await a.refresh()
    const b = await gateway()
    b.serve('x', () => 'here')
    addresses.push(b.address)
    // A look-up for a call is made at most every 250 ms.
    const call = async (): Promise<unknown> => {
      for (;;) {
        const answer = await a.call(b.id, 'x', undefined, PATIENT).catch((error: unknown) => {
          if (!isUnanswered(error)) throw error
        })
        if (answer !== undefined) return answer
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
    expect(await call()).to.equal('here')
  })

  it('know each other at once when one has just started: it looks for the others before it serves, and they for it', async () => {
    const addresses: string[] = []
    const a = await gateway({ addresses })
    const b = await gateway({ addresses: [a.address] })
    expect(b.others).to.deep.equal([a.id])
    addresses.push(b.address)
    // Look-ups that others ask for are made at most every 250 ms.
    await new Promise(resolve => setTimeout(resolve, 300))
    await b.refresh()
    // It would look by itself after two seconds.
    let looks = 0
    for (; !a.others.includes(b.id); looks++) await new Promise(resolve => setTimeout(resolve, 10))
    expect(looks).to.be.below(150)
  })

  it('notice that one is gone', async () => {
    const { a, b } = await two()
    const gone = new Promise(resolve => a.onGone(resolve))
    await b.close()
    expect(isUnanswered(await reasonOf(a.call(b.id, 'x', undefined, PATIENT)))).to.equal(true)
    expect(a.others).to.deep.equal([])
    expect(await gone).to.equal(b.id)
  })

  it('count one as gone that can be called and has not called for 8 s: the link is cut in one direction', async () => {
    let pausedMs = 0
    const known: string[] = []
    const a = await gateway({ clock: () => performance.now() + pausedMs })
    const b = await gateway({ addresses: known })
    known.push(a.address)
    await knows(b, a.id)
    known.pop()
    await b.refresh()
    const gone: string[] = []
    a.onGone(id => gone.push(id))
    await a.refresh()
    expect(gone).to.deep.equal([])
    pausedMs = SILENT_MS
    await a.refresh()
    await a.refresh()
    expect(gone).to.deep.equal([b.id])
  })

  it('know of a call only that it was refused where the answer says so, and not where its status is any other', async () => {
    let status = 503
    const address = await liar((_, response) => response.writeHead(status, { [ANSWERED_BY]: 'liar' }).end())
    const a = await gateway({ addresses: [address] })
    const codeOf = async (): Promise<unknown> => {
      await knows(a, 'liar')
      return (await reasonOf(a.call('liar', 'any', {}, PATIENT))).cause?.code
    }
    expect(await codeOf()).to.equal('overloaded')
    for (status of [201, 301, 418, 502]) expect(await codeOf(), String(status)).to.equal(undefined)
  })

  it('count their calls, and the requests that they refuse', async () => {
    const counts = new Map<string, number>()
    const count: MetricsLogger['count'] = (_, name, tags = {}) => {
      const key = [name, ...Object.values(tags)].join(' ')
      counts.set(key, (counts.get(key) ?? 0) + 1)
    }
    const metrics = { ...defaultLogger, count }
    const addresses: string[] = []
    const [a, b] = [await gateway({ addresses, metrics }), await gateway({ addresses, metrics })]
    addresses.push(a.address, b.address)
    await knows(a, b.id)
    b.serve('works', () => 1)
    b.serve('fails', () => {
      throw new Error('no')
    })
    let end = (): void => undefined
    b.serve('lasts', () => new Promise<void>(resolve => (end = resolve)))
    await a.call(b.id, 'works', {}, PATIENT)
    await reasonOf(a.call(b.id, 'fails', {}, PATIENT))
    await reasonOf(a.call(b.id, 'lasts', {}, { timeoutMs: 50 }))
    end()
    const other = await gateway({ addresses: [b.address], token: 'y'.repeat(40) })
    await other.refresh()
    const found = ['answered', 'failed', 'late'].map(result => counts.get(`calls ${result}`))
    expect(found).to.deep.equal([1, 1, 1])
    expect(counts.get('refused_requests token')).to.be.above(0)
  })

  it('notice that another process has the address of one', async () => {
    const [b, c] = [await gateway(), await gateway()]
    c.serve('x', () => 'c')
    let target = b
    const address = await listening(
      createServer(socket => {
        const onward = connect(Number(target.address.split(':')[1]), '127.0.0.1')
        for (const [one, other] of [[socket, onward] as const, [onward, socket] as const]) {
          one.pipe(other)
          one.on('error', () => other.destroy())
        }
      })
    )
    const a = await gateway({ addresses: [address] })
    await knows(a, b.id)
    const gone: string[] = []
    a.onGone(id => gone.push(id))
    target = c
    await b.close()
    while (a.others[0] !== c.id) {
      expect(isUnanswered(await reasonOf(a.call(b.id, 'x', undefined, PATIENT)))).to.equal(true)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(gone).to.deep.equal([b.id])
    expect(await a.call(c.id, 'x', undefined, PATIENT)).to.equal('c')
  })
})

describe('gateways with certificates', () => {
  const authority = new TestAuthority()
  const certificateOf = (alternativeName: string, from = authority): PeerTls => ({
    ...from.issue({ commonName: 'castellan', alternativeNames: [alternativeName] }),
    ca: authority.cert
  })
  const local = certificateOf('IP:127.0.0.1')

  it('call each other over TLS, by address or by the name of their host', async () => {
    const b = await gateway({ tls: certificateOf('DNS:gateway-b') })
    b.serve('x', () => 'b')
    const address = `gateway-b:${b.address.split(':')[1]}`
    const a = await gateway({ tls: local, addresses: [address], resolve: async () => ['127.0.0.1'] })
    await knows(a, b.id)
    expect(await a.call(b.id, 'x', undefined, PATIENT)).to.equal('b')
    const c = await gateway({ tls: local, addresses: [a.address] })
    await knows(c, a.id)
  })

  it('tell that a call was not sent that has had no connection', async () => {
    const silent = createServer(socket => closing.push(() => socket.destroy()))
    const [host, port] = (await listening(silent)).split(':')
    const connection = connectionTo(host!, Number(port), local)
    expect(isNotSent(await reasonOf(connection.call('b', 'a call', {}, { timeoutMs: 1 })))).to.equal(true)
  })

  const others: readonly [string, PeerTls | undefined][] = [
    ['has none', undefined],
    ['has one of another authority', certificateOf('IP:127.0.0.1', new TestAuthority('another'))],
    ['has one for another host', certificateOf('IP:127.0.0.2')]
  ]
  for (const [what, tls] of others)
    it(`send their token to no other one that ${what}`, async () => {
      const b = await gateway({ tls })
      const a = await gateway({ tls: local, addresses: [b.address] })
      await a.refresh()
      expect(a.others).to.deep.equal([])
    })

  it('serve no caller without one that they trust, although it has the token', async () => {
    const b = await gateway({ tls: local })
    for (const [, tls] of others.slice(0, 2)) {
      const a = await gateway({ tls: tls && { ...tls, ca: authority.cert }, addresses: [b.address] })
      await a.refresh()
      expect(a.others).to.deep.equal([])
    }
  })

  it('say nothing about their network, and gateways without do that listen beyond loopback', async () => {
    const warnings = async (wanted: Wanted): Promise<string[]> => {
      const lines: LogLine[] = []
      await gateway({ ...wanted, log: recordingLogger(lines) })
      return lines.map(({ message }) => message).filter(message => message.includes('peers.tls'))
    }
    expect(await warnings({ tls: local, listen: '0.0.0.0:0' })).to.deep.equal([])
    expect(await warnings({})).to.deep.equal([])
    expect(await warnings({ listen: '0.0.0.0:0' })).to.deep.equal([
      'peers.token and all calls between gateways can be read on their network: set peers.tlsDirectory'
    ])
  })
})

describe('a gateway that disturbs', () => {
  it('and never answers is skipped after the time of one call', async () => {
    const sockets: Socket[] = []
    const silent = await listening(
      createServer(socket => {
        sockets.push(socket)
        socket.on('error', () => undefined)
      })
    )
    closing.push(() => sockets.forEach(socket => socket.destroy()))
    const b = await gateway()
    b.serve('x', () => 'b')
    const lines: LogLine[] = []
    const a = await gateway({ addresses: [silent, b.address], log: recordingLogger(lines) })
    await knows(a, b.id)
    expect(a.others).to.deep.equal([b.id])
    expect(await answersOf(a, 'x')).to.deep.equal(['b'])
    expect(lines.map(({ message }) => message)).to.include(`the gateway at ${silent} does not answer`)
  })

  it('with what makes no sense fails alone, and is named once a minute', async () => {
    const lines: LogLine[] = []
    let now = 0
    const b = await gateway()
    const a = await gateway({ addresses: [b.address], log: recordingLogger(lines), clock: () => now })
    await knows(a, b.id)
    b.serve(CALLS.keys.sharing.name, () => null)
    const strange = () => lines.filter(({ message }) => message.includes('makes no sense'))
    for (const [at, told] of [
      [0, 1],
      [59_000, 1],
      [61_000, 2]
    ] as const) {
      now = at
      const error = await reasonOf(ask(a, b.id, CALLS.keys.sharing, {}))
      expect(error.cause).to.equal(undefined)
      expect(strange().map(({ fields }) => fields)).to.deep.equal(
        Array.from({ length: told }, () => ({ peer: b.id, call: 'keys of requests' }))
      )
    }
  })

  it('with a question that makes no sense is named, and the question is not handled', async () => {
    const lines: LogLine[] = []
    const b = await gateway({ log: recordingLogger(lines) })
    const a = await gateway({ addresses: [b.address] })
    await knows(a, b.id)
    const handled: unknown[] = []
    serve(b, CALLS.instances.settle, settled => void handled.push(settled))
    const call = (body: unknown) => a.call(b.id, CALLS.instances.settle.name, body, PATIENT)
    const error = await reasonOf(call({ id: 1 }))
    expect(error.message).to.include('makes no sense')
    await call({ id: 1, accepted: 2 })
    expect(handled).to.deep.equal([{ id: 1, accepted: 2 }])
    expect(lines.filter(({ message }) => message.includes('makes no sense'))).to.have.length(1)
  })

  it('with too many bytes fails alone, before they are decoded', async () => {
    const b = await gateway()
    const a = await gateway({ addresses: [b.address] })
    await knows(a, b.id)
    const { ending, sharing } = CALLS.keys
    let handled = 0
    serve(b, ending, () => void handled++)
    b.serve(sharing.name, () => ['shared', Buffer.alloc(2 * 1_048_576)])
    const question = await reasonOf(ask(a, b.id, ending, { more: Buffer.alloc(2 * 1_048_576) }))
    expect(question.message).to.equal('the body of end of keys is too large')
    expect((await reasonOf(ask(a, b.id, sharing, {}))).message).to.equal('the answer to keys of requests is too large')
    await ask(a, b.id, ending, {})
    expect(handled).to.equal(1)
  })

  it('with a failure that makes no sense is told so', async () => {
    const address = await liar((_, response) => {
      response.writeHead(500, { [ANSWERED_BY]: 'x' }).end(encodeBody(null))
    })
    const { host, port } = hostAndPort(address)
    const error = await reasonOf(connectionTo(host, port).call('x', 'a call', {}, PATIENT))
    expect(error.message).to.include('gives no answer that makes sense (status 500)')
  })

  const lies: readonly [string, RequestListener][] = [
    ['does not say who it is', (_, response) => response.end('{}')],
    ['closes the connection', request => request.socket.destroy()],
    [
      'never ends its answer',
      (_, response) => {
        response.on('error', () => undefined)
        response.writeHead(200, { 'content-length': 1e9, 'castellan-from': 'x' })
        const more = (): boolean => response.destroyed || !response.write(Buffer.alloc(65_536)) || more()
        response.on('drain', more)
        more()
      }
    ]
  ]
  for (const [name, answer] of lies) {
    it(`and ${name} is not believed`, async () => {
      const address = await liar(answer)
      const a = await gateway({ addresses: [address] })
      await a.refresh()
      expect(a.others).to.deep.equal([])
      expect(await answersOf(a, 'x')).to.deep.equal([])
    })
  }

  it('and has another token is neither heard nor believed, and both say so', async () => {
    const lines: LogLine[] = []
    const log = recordingLogger(lines)
    const b = await gateway({ token: 'y'.repeat(40), log })
    const a = await gateway({ addresses: [b.address], log })
    await a.refresh()
    expect(a.others).to.deep.equal([])
    const told = lines.map(({ fields, message }) => `${message}: ${(fields as { reason?: string }).reason}`).join()
    expect(told).to.contain('does not answer: it refuses the token; compare peers.token')
    expect(told).to.contain('was refused: its token is wrong or absent: compare peers.token')
  })

  it('and makes too many calls is refused further ones, and others are served', async () => {
    const b = await gateway()
    const a = await gateway({ addresses: [b.address], maxCalls: 20 })
    const c = await gateway({ addresses: [b.address] })
    await knows(a, b.id)
    await knows(c, b.id)
    const begun: (() => void)[] = []
    b.serve('slow', () => new Promise<void>(resolve => begun.push(resolve)))
    b.serve('fast', () => 'fast')
    const calls = Array.from({ length: 50 }, () =>
      a.call(b.id, 'slow', undefined, PATIENT).then(
        () => 'done',
        (error: PeerError) => error.cause?.code
      )
    )
    expect(await c.call(b.id, 'fast', undefined, PATIENT)).to.equal('fast')
    let done = 0
    for (const call of calls) void call.then(() => done++)
    while (done < 50) {
      for (const finish of begun.splice(0)) finish()
      await new Promise(setImmediate)
    }
    const outcomes = await Promise.all(calls)
    expect(outcomes.filter(outcome => outcome === 'done')).to.have.length(20)
    expect(outcomes.filter(outcome => outcome === 'overloaded')).to.have.length(30)
  })

  it('and gives up calls that are still being carried out is refused further ones until they are done', async () => {
    const b = await gateway()
    const a = await gateway({ addresses: [b.address] })
    await knows(a, b.id)
    const begun: (() => void)[] = []
    b.serve('slow', () => new Promise<void>(resolve => begun.push(resolve)))
    b.serve('fast', () => 'fast')
    const givenUp = (): Promise<unknown> => reasonOf(a.call(b.id, 'slow', undefined, { timeoutMs: 50 }))
    while (begun.length < MAX_CALLS_OF_CALLER)
      await Promise.all(Array.from({ length: Math.min(256, MAX_CALLS_OF_CALLER - begun.length) }, givenUp))
    expect((await reasonOf(a.call(b.id, 'fast', undefined, PATIENT))).cause?.code).to.equal('overloaded')
    for (const finish of begun) finish()
    expect(await a.call(b.id, 'fast', undefined, PATIENT)).to.equal('fast')
  })

  it('and makes calls that wait has places for others, of other clients too, and for those that end them', async () => {
    const b = await gateway()
    const a = await gateway({ addresses: [b.address], maxCalls: 20 })
    await knows(a, b.id)
    const begun: (() => void)[] = []
    b.serve('read', () => new Promise<void>(resolve => begun.push(resolve)))
    b.serve('settle', () => 'settled')
    const codes: (string | undefined)[] = []
    const read = (client: string, kind?: 'long'): Promise<unknown> =>
      a
        .call(b.id, 'read', undefined, { ...PATIENT, client, kind })
        .catch(({ cause }: PeerError) => codes.push(cause?.code))
    const reads = Array.from({ length: 20 }, () => read('greedy', 'long'))
    reads.push(read('other', 'long'))
    while (codes.length < 12 || begun.length < 9) await new Promise(setImmediate)
    expect(new Set(codes)).to.deep.equal(new Set(['overloaded']))
    // Now all places are taken.
    for (let more = 0; more < 11; more++) reads.push(read(''))
    while (begun.length < 20) await new Promise(setImmediate)
    expect(await a.call(b.id, 'settle', undefined, PATIENT).catch(({ cause }: PeerError) => cause?.code)).to.equal(
      'overloaded'
    )
    expect(await a.call(b.id, 'settle', undefined, { ...PATIENT, kind: 'ending' })).to.equal('settled')
    for (const finish of begun) finish()
    await Promise.all(reads)
  })
})

describe('the listener for other gateways', () => {
  /** The bytes of a call, as another gateway sends them. */
  const bytesOf = (to: string, body: Buffer, token = TOKEN) => {
    const { authorization } = new PeerToken(token)
    const head = { 'castellan-from': 'attacker', 'castellan-to': to, 'castellan-timeout-ms': '1000' }
    const headers = { authorization, ...head, 'content-length': String(body.length) }
    const lines = Object.entries({ host: 'x', connection: 'close', ...headers }).map(
      ([name, value]) => `${name}: ${value}`
    )
    return Buffer.concat([Buffer.from(`POST /call/x HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`), body])
  }
  const statusOf = (answer: string): string => answer.slice(0, 'HTTP/1.1 200'.length)
  /** The body of a call without arguments. */
  const nothing = Buffer.concat([Buffer.from([0, 0, 0, 4]), Buffer.from('null')])

  it('does not serve a call that was made to another gateway', async () => {
    const [b, c] = [await gateway(), await gateway()]
    let served = 0
    for (const one of [b, c]) one.serve('x', () => ++served)
    const bytes = bytesOf(b.id, nothing)
    expect(statusOf(await sendRaw(c.address, bytes))).to.equal('HTTP/1.1 421')
    expect(served).to.equal(0)
    expect(statusOf(await sendRaw(b.address, bytes))).to.equal('HTTP/1.1 200')
    expect(served).to.equal(1)
  })

  it('serves no call whose token is absent or another one, and none that does not say whom it means', async () => {
    const b = await gateway()
    let served = 0
    b.serve('x', () => ++served)
    const text = bytesOf(b.id, nothing).toString('latin1')
    for (const changed of [
      bytesOf(b.id, nothing, 'x'.repeat(TOKEN.length)).toString('latin1'),
      bytesOf(b.id, nothing, `${TOKEN} `).toString('latin1'),
      text.replace(/authorization: .*\r\n/, ''),
      text.replace('authorization: Bearer ', 'authorization: bearer ')
    ])
      expect(statusOf(await sendRaw(b.address, Buffer.from(changed, 'latin1')))).to.equal('HTTP/1.1 403')
    const toNobody = text.replace(/castellan-to: .*\r\n/, '')
    expect(statusOf(await sendRaw(b.address, Buffer.from(toNobody, 'latin1')))).to.equal('HTTP/1.1 421')
    expect(served).to.equal(0)
  })

  it('gives clients nothing', async () => {
    const b = await gateway()
    for (const path of ['/', '/hello', '/call/x', '/topics', '/metrics']) {
      const answer = await sendRaw(b.address, `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`)
      expect([path, statusOf(answer), answer.includes('castellan')]).to.deep.equal([path, 'HTTP/1.1 403', false])
    }
    expect(await sendRaw(b.address, 'nonsense\r\n\r\n')).to.equal('')
  })

  it('does not read the body of a request whose token is wrong', async () => {
    const b = await gateway()
    const text = bytesOf(b.id, nothing, 'x'.repeat(40)).toString('latin1')
    const large = text.replace('content-length: 8', 'content-length: 60000000')
    expect(statusOf(await sendRaw(b.address, Buffer.from(large, 'latin1')))).to.equal('HTTP/1.1 403')
  })

  it('refuses a call that announces too large a body', async () => {
    const b = await gateway()
    const text = bytesOf(b.id, nothing).toString('latin1').replace('content-length: 8', 'content-length: 99000000')
    expect(statusOf(await sendRaw(b.address, Buffer.from(text, 'latin1')))).to.equal('HTTP/1.1 503')
  })

  it('neither calls nor answers addresses outside of its networks', async () => {
    const b = await gateway({ networks: ['10.0.0.0/8'] })
    expect(await sendRaw(b.address, bytesOf(b.id, nothing))).to.equal('')
    let connections = 0
    const other = await listening(
      createServer(socket => {
        connections++
        socket.destroy()
      })
    )
    const lines: LogLine[] = []
    const a = await gateway({ networks: ['10.0.0.0/8'], addresses: [other], log: recordingLogger(lines) })
    await a.refresh()
    await a.refresh()
    expect([connections, a.others]).to.deep.equal([0, []])
    expect(lines.map(({ message }) => message)).to.include(
      `an address of ${other} is outside of peers.networks and is not called`
    )
  })
})
