import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { expect } from 'chai'
import { TestAuthority } from '../../support/certificates.js'
import { answerOf, attempt, EndpointStage, type Receiver } from './endpoint-stage.js'

describe('an endpoint with TLS', () => {
  const authority = new TestAuthority()
  const loopback = authority.issue({ commonName: '', alternativeNames: ['IP:127.0.0.1', 'DNS:hooks.example'] })
  let stage: EndpointStage

  beforeEach(() => (stage = new EndpointStage()))
  afterEach(() => stage.close())

  const atLoopback = {
    createResolver: (() => ({
      resolve4: async () => ['127.0.0.1'],
      resolve6: async () => [],
      cancel: () => undefined
    })) as never
  }
  const send = (receiver: Pick<Receiver, 'port'>, host = '127.0.0.1', timeoutMs = 10_000) =>
    stage.endpoint(`https://${host}:${receiver.port}/`).send(attempt({ timeoutMs }))

  it('has a certificate of the system’s authorities or of those that are named', async () => {
    const receiver = await stage.receiver('127.0.0.1', 0, loopback)
    stage.share({ ca: authority.cert }, atLoopback)
    for (const host of ['127.0.0.1', 'hooks.example', 'hooks.example.']) {
      expect(answerOf(await send(receiver, host)), host).to.equal(204)
      expect(receiver.received.at(-1)!.headers.get('host')).to.equal(`${host}:${receiver.port}`)
    }
    stage.share({ ca: `${new TestAuthority('another').cert}${authority.cert}` }, atLoopback)
    expect(answerOf(await send(receiver))).to.equal(204)
  })

  it('gets its requests over one connection', async () => {
    const receiver = await stage.receiver('127.0.0.1', 0, loopback)
    stage.share({ ca: authority.cert })
    const endpoint = stage.endpoint(`https://127.0.0.1:${receiver.port}/`)
    for (const _ of [1, 2, 3]) expect(answerOf(await endpoint.send(attempt()))).to.equal(204)
    expect(receiver.sockets).to.have.lengthOf(1)
    const [socket] = receiver.sockets
    let asked = 0
    receiver.answer = ({ socket }) => void (++asked === 1 ? socket.destroy() : socket.write('HTTP/1.1 204 x\r\n\r\n'))
    expect(answerOf(await endpoint.send(attempt()))).to.equal(204)
    expect(socket!.destroyed).to.equal(true)
    expect(receiver.sockets).to.have.lengthOf(2)
  })

  it('without a good certificate gets no request, whatever the environment says', async () => {
    const day = 86_400_000
    const expired = authority.issue({
      commonName: '',
      alternativeNames: ['IP:127.0.0.1'],
      notBefore: new Date(2020, 1),
      notAfter: new Date(2020, 1, 2, 0, 0, day / 1_000)
    })
    const foreign = new TestAuthority('another').issue({ commonName: '', alternativeNames: ['IP:127.0.0.1'] })
    const other = authority.issue({ commonName: '127.0.0.1', alternativeNames: ['DNS:127.0.0.1', 'IP:127.0.0.2'] })
    const certificates = [
      [expired, 'CERT_HAS_EXPIRED'],
      [foreign, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      [other, 'ERR_TLS_CERT_ALTNAME_INVALID']
    ] as const
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      stage.share({ ca: authority.cert }, atLoopback)
      for (const [certificate, message] of certificates) {
        const receiver = await stage.receiver('127.0.0.1', 0, certificate)
        expect(await send(receiver), message).to.deep.equal({ kind: 'tls', message })
        expect(receiver.received).to.deep.equal([])
      }
      const receiver = await stage.receiver('127.0.0.1', 0, loopback)
      expect(await send(receiver, 'other.example')).to.deep.equal({
        kind: 'tls',
        message: 'ERR_TLS_CERT_ALTNAME_INVALID'
      })
      stage.share()
      expect(answerOf(await send(receiver))).to.equal('tls')
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    }
  })

  it('that ends or garbles the handshake has failed by TLS, and one that is silent is late', async () => {
    stage.share({ ca: authority.cert })
    const behaviours = [
      [(socket: Socket) => void socket.end(), 'tls'],
      [(socket: Socket) => void socket.once('data', () => socket.resetAndDestroy()), 'tls'],
      [(socket: Socket) => void socket.write('HTTP/1.1 400 x\r\n\r\n'), 'tls'],
      [() => undefined, 'late']
    ] as const
    for (const [behaviour, kind] of behaviours) {
      const sockets: Socket[] = []
      const server = createServer(socket => {
        sockets.push(socket)
        socket.on('error', () => undefined)
        behaviour(socket)
      }).listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as { readonly port: number }
      expect(answerOf(await send({ port }, '127.0.0.1', 500))).to.equal(kind)
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  })
})
