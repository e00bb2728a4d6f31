import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect } from 'chai'
import sinon from 'sinon'
import { Webhook } from 'standardwebhooks'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'
import { ANSWER_204, answerOf, attempt, EndpointStage, type Receiver } from './endpoint-stage.js'
import { largestRequests } from './largest-requests.js'

const status = (line: string, ...headers: readonly string[]): string =>
  `HTTP/1.1 ${line}\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`

describe('an endpoint of a webhook', () => {
  let stage: EndpointStage
  let receiver: Receiver
  let url: string

  beforeEach(async () => {
    stage = new EndpointStage()
    receiver = await stage.receiver()
    url = `http://127.0.0.1:${receiver.port}/`
  })
  afterEach(() => stage.close())

  it('gets a POST with its length, signed with all secrets at the time of the attempt', async () => {
    const secrets = [newSecret(), newSecret()]
    const endpoint = stage.endpoint(`${url}hooks/a%20b?token=x&y`, { secrets })
    const headers = [['content-type', 'application/json'] as const, ['x-castellan-topic', 'orders'] as const]
    expect(await endpoint.send(attempt({ headers }))).to.deep.equal({
      kind: 'status',
      status: 204,
      retryAfterMs: undefined
    })
    const [received] = receiver.received
    expect(received!.head.split('\r\n').filter(line => !line.startsWith('webhook-signature'))).to.deep.equal([
      'POST /hooks/a%20b?token=x&y HTTP/1.1',
      `host: 127.0.0.1:${receiver.port}`,
      'user-agent: castellan',
      'content-length: 7',
      'webhook-id: AAAA-0-1',
      'webhook-timestamp: 1700000000',
      'content-type: application/json',
      'x-castellan-topic: orders'
    ])
    sinon.useFakeTimers({ toFake: ['Date'], now: stage.now })
    for (const secret of secrets)
      expect(new Webhook(secret).verify(received!.body, Object.fromEntries(received!.headers))).to.deep.equal({ a: 1 })
    sinon.restore()
  })

  it('gets an empty body, and one of a mebibyte', async () => {
    const endpoint = stage.endpoint(url)
    const large = Buffer.alloc(1024 * 1024, 7)
    await endpoint.send(attempt({ body: Buffer.alloc(0) }))
    await endpoint.send(attempt({ body: large }))
    expect(receiver.received.map(({ body }) => body)).to.deep.equal([Buffer.alloc(0), large])
    expect(receiver.sockets).to.have.lengthOf(1)
  })

  it('gets no header with a line break or an odd name, whatever a record says', async () => {
    const endpoint = stage.endpoint(url)
    const headers = [
      ['x-a', 'b\r\nx-evil: 1'] as const,
      ['x-evil\r\n', '1'] as const,
      ['x-evil: 1', '1'] as const,
      ['x-b', 'ü'] as const
    ]
    await endpoint.send(attempt({ headers }))
    expect(receiver.received[0]!.head).to.not.contain('evil')
    expect(receiver.received[0]!.headers.get('x-b')).to.equal('ü')
  })

  it('gets a head that HAProxy, Node and Python read, however long its url, credential, key and headers are', async () => {
    const heads: { readonly bytes: number; readonly lines: number }[] = []
    const server = createHttpServer((request, response) => {
      const { rawHeaders, socket } = request
      heads.push({ bytes: socket.bytesRead, lines: rawHeaders.length / 2 })
      response.writeHead(204, { connection: 'close' }).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { settings, attempts } = largestRequests(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    const endpoint = stage.endpoint(settings.url, settings)
    for (const one of attempts) expect(answerOf(await endpoint.send(one))).to.equal(204)
    server.close()
    expect(heads).to.have.length(2)
    for (const { bytes, lines } of heads) {
      expect(bytes).to.be.within(12 * 1_024, 15 * 1_024)
      expect(lines).to.be.at.most(100)
    }
  })

  it('gets a credential only where its url is within those of the credential', async () => {
    const credential = { type: 'bearer', token: 'abc', urls: [`${url}hooks/`] } as const
    for (const path of ['hooks/a', 'hooks2']) await stage.endpoint(`${url}${path}`, { credential }).send(attempt())
    expect(receiver.received.map(({ headers }) => headers.get('authorization'))).to.deep.equal([
      'Bearer abc',
      undefined
    ])
  })

  it('answers with any status; nothing is followed', async () => {
    const other = await stage.receiver()
    const answers: readonly (readonly [string, number, number | undefined])[] = [
      [status('200 OK', 'Content-Length: 0'), 200, undefined],
      [status('301 x', `Location: http://127.0.0.1:${other.port}/`, 'Content-Length: 0'), 301, undefined],
      [status('307 x', `Location: http://127.0.0.1:${other.port}/`, 'Content-Length: 0'), 307, undefined],
      [status('410 Gone', 'Content-Length: 0'), 410, undefined],
      [status('429 x', 'Retry-After: 7', 'Content-Length: 0'), 429, 7_000],
      [status('503 x', 'Retry-After: Tue, 14 Nov 2023 22:13:30 GMT', 'Content-Length: 0'), 503, 10_000],
      [`${status('100 Continue')}${status('103 x')}${ANSWER_204}`, 204, undefined]
    ]
    const endpoint = stage.endpoint(url)
    for (const [answer, code, retryAfterMs] of answers) {
      receiver.answer = ({ socket }) => void socket.write(answer)
      expect(await endpoint.send(attempt())).to.deep.equal({ kind: 'status', status: code, retryAfterMs })
    }
    expect([receiver.sockets.length, other.sockets.length]).to.deep.equal([1, 0])
  })

  it('gets requests that wait for no other one, each over a connection of its own', async () => {
    receiver.answer = () => undefined
    const endpoint = stage.endpoint(url)
    const sent = [1, 2, 3].map(() => endpoint.send(attempt()))
    const received = await receiver.requests(3)
    for (const { socket } of received) socket.write(ANSWER_204)
    expect((await Promise.all(sent)).map(answerOf)).to.deep.equal([204, 204, 204])
    expect(receiver.sockets).to.have.lengthOf(3)
  })

  it('gets its next request over a new connection where the last answer has more than 8 KiB, or an unknown end', async () => {
    const endpoint = stage.endpoint(url)
    for (const answer of [
      `${status('200 OK', 'Content-Length: 9000')}${'x'.repeat(9_000)}`,
      status('200 OK', 'Connection: close', 'Content-Length: 0'),
      `${ANSWER_204}${ANSWER_204}`
    ]) {
      receiver.answer = ({ socket }) => void socket.write(answer)
      expect(answerOf(await endpoint.send(attempt())), answer.slice(0, 60)).to.be.oneOf([200, 204])
      // One with an unknown end is not over yet.
      if (answer.includes('close')) receiver.sockets.at(-1)!.end()
      await closed(receiver.sockets.at(-1)!)
    }
    await endpoint.send(attempt())
    expect(receiver.sockets).to.have.lengthOf(4)
  })

  it('that sends bytes nobody asked for is not believed them', async () => {
    const endpoint = stage.endpoint(url)
    await endpoint.send(attempt())
    const [socket] = receiver.sockets
    socket!.write(status('200 OK', 'Content-Length: 0'))
    await closed(socket!)
    receiver.answer = ({ socket }) => void socket.write(status('500 x', 'Content-Length: 0'))
    expect(answerOf(await endpoint.send(attempt()))).to.equal(500)
  })

  it('that closes a used connection before it answers is asked once more at once', async () => {
    const endpoint = stage.endpoint(url)
    await endpoint.send(attempt())
    let asked = 0
    receiver.answer = ({ socket }) => void (++asked === 1 ? socket.destroy() : socket.write(ANSWER_204))
    expect(answerOf(await endpoint.send(attempt({ id: 'AAAA-0-2' })))).to.equal(204)
    expect(receiver.received.map(({ headers }) => headers.get('webhook-id'))).to.deep.equal([
      'AAAA-0-1',
      'AAAA-0-2',
      'AAAA-0-2'
    ])
    expect(receiver.sockets).to.have.lengthOf(2)
  })

  it('that closes a new connection, or a used one after a byte of the answer, is not asked again', async () => {
    const endpoint = stage.endpoint(url)
    receiver.answer = ({ socket }) => void socket.destroy()
    expect(await endpoint.send(attempt())).to.deep.equal({
      kind: 'cut',
      message: 'the endpoint closed the connection'
    })
    receiver.answer = ({ socket }) => void socket.write(ANSWER_204)
    await endpoint.send(attempt())
    receiver.answer = ({ socket }) => void socket.end('H')
    expect(answerOf(await endpoint.send(attempt()))).to.equal('cut')
    expect(receiver.received).to.have.lengthOf(3)
  })

  it('that answers before it has read the request is believed, and asked over another connection', async () => {
    const sockets: Socket[] = []
    const slow = createServer(socket => {
      sockets.push(socket)
      socket.on('error', () => undefined)
      socket.pause()
      socket.write(status('413 x', 'Content-Length: 0'))
    }).listen(0, '127.0.0.1')
    await once(slow, 'listening')
    const { port } = slow.address() as { readonly port: number }
    const endpoint = stage.endpoint(`http://127.0.0.1:${port}/`)
    const body = Buffer.alloc(16 * 1024 * 1024)
    for (const _ of [1, 2]) expect(answerOf(await endpoint.send(attempt({ body })))).to.equal(413)
    endpoint.close()
    for (const socket of sockets) socket.destroy()
    slow.close()
    await once(slow, 'close')
  })

  it('has no time but that of the attempt: for nothing, for a head without end, and for one byte after another', async () => {
    const endpoint = stage.endpoint(url)
    receiver.answer = () => undefined
    expect(await endpoint.send(attempt({ timeoutMs: 50 }))).to.deep.equal({
      kind: 'late',
      message: 'no answer within 50 ms'
    })
    receiver.answer = ({ socket }) => {
      const drip = (): void => void socket.write('H', () => socket.writable && setTimeout(drip, 5))
      drip()
    }
    expect(answerOf(await endpoint.send(attempt({ timeoutMs: 100 })))).to.equal('late')
    receiver.answer = ({ socket }) => {
      const flood = (): void => void (socket.writable && socket.write(`X: ${'x'.repeat(1_000)}\r\n`, flood))
      socket.write('HTTP/1.1 200 OK\r\n', flood)
    }
    expect(await endpoint.send(attempt())).to.deep.equal({
      kind: 'cut',
      message: 'the head of the answer is larger than 16384 bytes'
    })
    receiver.answer = ({ socket }) => {
      const flood = (): void => void (socket.writable && socket.write(status('103 x'), flood))
      flood()
    }
    expect(answerOf(await endpoint.send(attempt()))).to.equal('cut')
    for (const socket of receiver.sockets) await closed(socket)
  })

  it('that nothing listens at is refused', async () => {
    const { port } = receiver
    const endpoint = stage.endpoint(`http://127.0.0.1:${port}/hidden`)
    await receiver.close()
    expect(await endpoint.send(attempt())).to.deep.equal({
      kind: 'refused',
      message: `127.0.0.1 port ${port}: ECONNREFUSED`
    })
    stage = new EndpointStage()
  })

  it('is not asked any more when the attempt is ended, nor after the end of all', async () => {
    const endpoint = stage.endpoint(url)
    receiver.answer = () => undefined
    const leaves = new AbortController()
    const left = endpoint.send(attempt(), leaves.signal)
    const other = endpoint.send(attempt())
    await receiver.requests(2)
    leaves.abort()
    expect(await left).to.deep.equal({ kind: 'cut', message: 'the attempt was ended' })
    endpoint.close()
    expect(answerOf(await other)).to.equal('cut')
    expect(answerOf(await endpoint.send(attempt()))).to.equal('cut')
    expect(answerOf(await endpoint.send(attempt(), AbortSignal.abort()))).to.equal('cut')
    for (const socket of receiver.sockets) await closed(socket)
    expect(receiver.received).to.have.lengthOf(2)
  })

  it('has new connections when its definition has changed: those under way end behind their answers', async () => {
    const other = await stage.receiver()
    const endpoint = stage.endpoint(url)
    await endpoint.send(attempt())
    receiver.answer = () => undefined
    const underWay = endpoint.send(attempt())
    await receiver.requests(2)
    endpoint.configure({ url: `http://127.0.0.1:${other.port}/new`, secrets: [newSecret()] })
    expect(answerOf(await endpoint.send(attempt()))).to.equal(204)
    const [socket] = receiver.sockets
    socket!.write(ANSWER_204)
    expect(answerOf(await underWay)).to.equal(204)
    await closed(socket!)
    expect([receiver.received.length, other.received.length]).to.deep.equal([2, 1])
  })

  it('has no connection left when the networks have changed', async () => {
    const endpoint = stage.endpoint(url)
    await endpoint.send(attempt())
    stage.egress.configure({ networks: ['public'] })
    expect(await endpoint.send(attempt())).to.deep.equal({
      kind: 'address',
      message: '127.0.0.1 is in none of webhooks.networks'
    })
    const [socket] = receiver.sockets
    await closed(socket!)
    stage.egress.configure({ networks: ['127.0.0.1/32'] })
    expect(answerOf(await endpoint.send(attempt()))).to.equal(204)
  })

  /** Other endpoints that have taken all connections but so many. */
  const takeAllBut = (count: number): void => {
    for (let at = 0; at < 512 - count - 1; at++) {
      const other = { renew: () => undefined }
      stage.egress.join(other)
      stage.egress.places.tryTake(other)
    }
  }

  it('has what others leave of all connections; attempts beyond wait for one another', async () => {
    const endpoint = stage.endpoint(url)
    takeAllBut(2)
    receiver.answer = () => undefined
    const sent = [1, 2, 3, 4].map(at => endpoint.send(attempt({ id: `AAAA-0-${at}` })))
    await receiver.requests(2)
    for (const socket of receiver.sockets) socket.write(ANSWER_204)
    await receiver.requests(4)
    expect(receiver.sockets).to.have.lengthOf(2)
    for (const socket of receiver.sockets) socket.write(ANSWER_204)
    expect((await Promise.all(sent)).map(answerOf)).to.deep.equal([204, 204, 204, 204])
  })

  it('has no more connections where those that were used are cut, and all of its time for an attempt that has waited', async () => {
    const { connect } = await import('node:net')
    const sockets: Socket[] = []
    let most = 0
    stage.share(
      {},
      {
        connect: place => {
          sockets.push(connect(place))
          most = Math.max(most, sockets.filter(({ destroyed }) => !destroyed).length)
          return sockets.at(-1)!
        }
      }
    )
    takeAllBut(2)
    const endpoint = stage.endpoint(url)
    const send = (timeoutMs = 10_000) => endpoint.send(attempt({ timeoutMs })).then(answerOf)
    receiver.answer = () => undefined
    const first = [send(), send()]
    for (const { socket } of await receiver.requests(2)) socket.write(ANSWER_204)
    expect(await Promise.all(first)).to.deep.equal([204, 204])
    const used = receiver.sockets.slice()
    receiver.answer = ({ socket }) => void (used.includes(socket) ? socket.destroy() : undefined)
    const sent = [send(300), send(300), send(), send(100)]
    expect(await Promise.all(sent.slice(0, 2))).to.deep.equal(['late', 'late'])
    receiver.answer = ({ socket }) => void socket.write(ANSWER_204)
    for (const { socket } of (await receiver.requests(6)).slice(-2)) if (!socket.destroyed) socket.write(ANSWER_204)
    expect(await Promise.all(sent.slice(2))).to.deep.equal([204, 204])
    expect(most).to.equal(2)
  })

  it('may be at any of the addresses of its name that are allowed', async () => {
    const second = await stage.receiver('127.0.0.3', receiver.port)
    let addresses = ['10.0.0.1', '127.0.0.2', '127.0.0.3']
    const createResolver = () => ({
      resolve4: async () => addresses,
      resolve6: async () => [],
      cancel: () => undefined
    })
    const connected: string[] = []
    const { connect } = await import('node:net')
    stage.share(
      {},
      {
        createResolver: createResolver as never,
        connect: place => {
          connected.push(place.host)
          return connect(place)
        }
      }
    )
    const named = (name: string) => stage.endpoint(`http://${name}:${receiver.port}/`)
    expect(answerOf(await named('a.example').send(attempt()))).to.equal(204)
    expect(connected).to.deep.equal(['127.0.0.2', '127.0.0.3'])
    expect(second.received[0]!.headers.get('host')).to.equal(`a.example:${receiver.port}`)
    addresses = ['10.0.0.1', '192.168.0.1']
    expect(await named('b.example').send(attempt())).to.deep.equal({
      kind: 'address',
      message: '10.0.0.1 is in none of webhooks.networks'
    })
    addresses = []
    expect(await named('c.example').send(attempt())).to.deep.equal({
      kind: 'name',
      message: 'c.example has no address: ENODATA'
    })
  })

  it('is no listener of the gateway, no broker, no peer and no registry, by address and by name', async () => {
    const { port } = receiver
    const refused = `127.0.0.1 has a listener of Castellan, Kafka or the registry on port ${port}`
    for (const host of ['127.0.0.1', '0.0.0.0', '::', '::ffff:127.0.0.1', 'localhost']) {
      stage.places = [{ host, port }]
      expect(await stage.endpoint(url).send(attempt()), host).to.deep.equal({ kind: 'address', message: refused })
    }
    stage.places = [{ host: '127.0.0.1', port: port + 1 }]
    expect(answerOf(await stage.endpoint(url).send(attempt()))).to.equal(204)
    stage.share({}, { lookUpPlace: () => refuse('EAI_AGAIN') })
    stage.places = [{ host: 'broker', port }]
    expect(await stage.endpoint(url).send(attempt())).to.deep.equal({
      kind: 'address',
      message: `port ${port} is that of broker, whose addresses are not known`
    })
    expect(receiver.received).to.have.lengthOf(1)
    stage.share({}, { lookUpPlace: () => Promise.resolve(['10.0.0.1', '127.0.0.1']) })
    expect(await stage.endpoint(url).send(attempt())).to.deep.equal({ kind: 'address', message: refused })
  })

  it('may be at the port of a registry whose name has no address, whatever name servers say of it', async () => {
    stage.share({}, { lookUpPlace: () => refuse('ENOTFOUND'), createResolver: noResolver })
    stage.places = [{ host: 'schema-registry', port: receiver.port }]
    expect(answerOf(await stage.endpoint(url).send(attempt()))).to.equal(204)
  })
})

const closed = (socket: Socket): Promise<void> =>
  new Promise(resolve => (socket.closed ? resolve() : socket.once('close', () => resolve())))

const refuse = (code = 'ENOTFOUND'): Promise<never> => Promise.reject(Object.assign(new Error('no'), { code }))

const noResolver = (() => ({ resolve4: () => refuse(), resolve6: () => refuse(), cancel: refuse })) as never
