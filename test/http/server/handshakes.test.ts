import { EventEmitter } from 'node:events'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { expect } from 'chai'
import type { Connections } from '../../../src/http/server/connections.js'
import { Handshakes } from '../../../src/http/server/handshakes.js'

class FakeSocket extends EventEmitter {
  readonly remoteAddress = '10.0.0.1'
  readonly remotePort: number
  destroyed = 0

  constructor(remotePort: number) {
    super()
    this.remotePort = remotePort
  }
  destroy(): void {
    this.destroyed++
  }
}

/** Counts who is in a handshake. */
class FakeConnections {
  inHandshake = 0
  arrive(_: Socket): () => void {
    let isCounted = true
    this.inHandshake++
    return () => {
      if (isCounted) this.inHandshake--
      isCounted = false
    }
  }
}

describe('http: connections in their handshake', () => {
  let server: EventEmitter
  let connections: FakeConnections
  let handshakes: Handshakes
  beforeEach(() => {
    server = new EventEmitter()
    connections = new FakeConnections()
    handshakes = new Handshakes(connections as unknown as Connections)
    handshakes.watch(server as Server)
  })

  const connect = (port: number): FakeSocket => {
    const socket = new FakeSocket(port)
    server.emit('connection', socket)
    return socket
  }
  /** After the handshake the socket is another object, with the same peer. */
  const shakeHands = (port: number): void => void server.emit('secureConnection', new FakeSocket(port))

  it('are counted until it is over, or until they close', () => {
    const [one, two] = [connect(1), connect(2)]
    expect(connections.inHandshake).to.equal(2)
    shakeHands(1)
    expect(connections.inHandshake).to.equal(1)
    two.emit('close')
    expect(connections.inHandshake).to.equal(0)
    one.emit('close')
    expect(connections.inHandshake).to.equal(0)
  })

  it('are closed with the server, and none that is through or gone', () => {
    const [through, gone, open] = [connect(1), connect(2), connect(3)]
    shakeHands(1)
    gone.emit('close')
    handshakes.end()
    expect([through, gone, open].map(({ destroyed }) => destroyed)).to.deep.equal([0, 0, 1])
  })

  it('are known by their peer when the end of a former connection from there comes late', () => {
    const former = connect(1)
    const now = connect(1)
    former.emit('close')
    expect(connections.inHandshake).to.equal(1)
    handshakes.end()
    expect([former.destroyed, now.destroyed]).to.deep.equal([0, 1])
  })

  it('may be through although nobody saw them begin', () => {
    shakeHands(9)
    expect(connections.inHandshake).to.equal(0)
  })
})
