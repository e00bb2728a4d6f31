import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { expect } from 'chai'
import type { Host } from './host.js'
import { World } from './world.js'

const PORT = 7_000

describe('simulation: a network in memory in the place of sockets', () => {
  let world: World
  let here: Host
  let there: Host
  let server: Server
  let accepted: Socket[]
  let received: Buffer[]
  beforeEach(async () => {
    world = new World({ seed: 7 })
    here = world.host('here')
    there = world.host('there')
    accepted = []
    received = []
    server = world.on(there, () =>
      createServer(socket => {
        accepted.push(socket)
        socket.on('error', () => undefined)
        socket.on('data', bytes => received.push(bytes))
      }).listen(PORT, 'there')
    )
    await world.pass(1)
  })
  afterEach(() => world.close())

  const open = async (): Promise<Socket> => {
    const socket = world.on(here, () => connect({ host: 'there', port: PORT }))
    socket.on('error', () => undefined)
    await world.until('connecting', once(socket, 'connect'), 100)
    return socket
  }
  const text = (): string => Buffer.concat(received).toString()
  const eventOf = (socket: Socket, name: string): { value: unknown } => {
    const seen = { value: undefined as unknown }
    socket.once(name, (value: unknown = true) => {
      seen.value = value
    })
    return seen
  }

  it('carries bytes both ways, in order, and ends as TCP does', async () => {
    const socket = await open()
    const closed = [eventOf(socket, 'close'), eventOf(accepted[0]!, 'close')]
    socket.resume()
    socket.write('one ')
    socket.write('two ')
    socket.end('three')
    await world.pass(50)
    expect(text()).to.equal('one two three')
    expect(accepted[0]!.destroyed).to.equal(true)
    expect(socket.destroyed).to.equal(true)
    expect(closed.map(({ value }) => value)).to.deep.equal([false, false])
    expect(world.network.wires).to.deep.equal([])
  })

  it('reads straight into memory of the reader', async () => {
    const memory = Buffer.alloc(4)
    const pieces: string[] = []
    const onread = {
      buffer: () => memory,
      callback: (bytes: number) => {
        pieces.push(memory.toString('utf8', 0, bytes))
        return true
      }
    }
    const socket = world.on(here, () => connect({ host: 'there', port: PORT, onread }))
    await world.until('connecting', once(socket, 'connect'), 100)
    await world.pass(1)
    accepted[0]!.write('0123456789')
    await world.pass(50)
    expect(pieces.join('')).to.equal('0123456789')
    expect(pieces.every(piece => piece.length <= 4)).to.equal(true)
  })

  it('refuses where nobody listens', async () => {
    const socket = world.on(here, () => connect({ host: 'there', port: PORT + 1 }))
    const error = eventOf(socket, 'error')
    await world.pass(50)
    expect(error.value).to.include({ code: 'ECONNREFUSED' })
  })

  it('carries nothing over a blocked link, and what was written when it is open again', async () => {
    const socket = await open()
    world.network.block(here, there)
    socket.write('late')
    await world.pass(10_000)
    expect(text()).to.equal('')
    world.network.unblock(here, there)
    await world.pass(10_000)
    expect(text()).to.equal('late')
  })

  it('a connection that is reset while nothing gets through does not deliver afterwards', async () => {
    const socket = await open()
    world.network.block(here, there)
    socket.write('given up')
    socket.resetAndDestroy()
    await world.pass(1_000)
    world.network.unblock(here, there)
    await world.pass(30_000)
    expect(text()).to.equal('')
  })

  it('what a connection sent before it was reset arrives soon or never, whatever happens to it then', async () => {
    const [slowed, lost] = [await open(), await open()]
    const [slow, blocked] = world.network.wires.map(wire => wire.there)
    world.time.pause(there)
    for (const socket of [slowed, lost]) {
      socket.write('given up')
      socket.resetAndDestroy()
    }
    slow!.drip(1, 10_000)
    blocked!.block('half-open')
    world.time.resume(there)
    await world.pass(100)
    expect(text()).to.equal('given up')
    blocked!.unblock('half-open')
    await world.pass(30_000)
    expect(text()).to.equal('given up')
  })

  it('a connection that is closed while nothing gets through delivers afterwards, as TCP does', async () => {
    const socket = await open()
    world.network.block(here, there)
    socket.write('still on its way')
    socket.destroy()
    await world.pass(1_000)
    world.network.unblock(here, there)
    await world.pass(30_000)
    expect(text()).to.equal('still on its way')
  })

  it('cuts at the byte it is told to, and both ends learn it', async () => {
    const socket = await open()
    const error = eventOf(socket, 'error')
    world.network.wires[0]!.there.cutAfter(3)
    socket.write('abcdef')
    await world.pass(50)
    expect(text()).to.equal('abc')
    expect(error.value).to.include({ code: 'ECONNRESET' })
    expect(accepted[0]!.destroyed).to.equal(true)
  })

  it('refers to what the operating system has no capacity for: who writes it over is found out', async () => {
    const socket = await open()
    accepted[0]!.pause()
    const bytes = Buffer.alloc(3 * world.network.nature.capacityBytes, 'a')
    let isTaken = false
    socket.write(bytes, () => {
      isTaken = true
    })
    await world.pass(50)
    expect(isTaken).to.equal(false)
    bytes.fill('b')
    accepted[0]!.resume()
    await world.pass(10_000)
    expect(isTaken).to.equal(true)
    expect(text()).to.match(/^a+b+$/)
  })

  it('an HTTP server closes its connections in the order in which they came', async () => {
    const http = world.on(there, () => createHttpServer({}, () => undefined).listen(PORT + 1, 'there'))
    let count = 0
    const closed: number[] = []
    http.on('connection', (socket: Socket) => {
      const place = ++count
      socket.once('close', () => closed.push(place))
    })
    await world.pass(1)
    const clients = Array.from({ length: 50 }, () => world.on(here, () => connect({ host: 'there', port: PORT + 1 })))
    await world.pass(100)
    // Those that have asked last come first, for Node.
    for (const client of clients.slice(0, 25)) client.write('GET / HTTP/1.1\r\nhost: there\r\n\r\n')
    await world.pass(100)
    world.on(there, () => http.closeAllConnections())
    await world.pass(100)
    expect(closed).to.deep.equal(clients.map((_, at) => at + 1))
  })

  it('what comes while an HTTP server does not read is read in a later turn than the one in which it goes on', async () => {
    const log: string[] = []
    const http = world.on(there, () =>
      createHttpServer({}, request => void log.push(request.url!)).listen(PORT + 1, 'there')
    )
    let connection: Socket | undefined
    http.once('connection', (socket: Socket) => {
      connection = socket
    })
    await world.pass(1)
    const client = world.on(here, () => connect({ host: 'there', port: PORT + 1 }))
    await world.until('connecting', once(client, 'connect'), 100)
    const ask = async (path: string): Promise<void> => {
      client.write(`GET ${path} HTTP/1.1\r\nhost: there\r\n\r\n`)
      await world.pass(50)
    }
    await ask('/first')
    connection!.pause()
    await ask('/second')
    const later = (ticks: number): void => {
      log.push('tick')
      if (ticks > 1) process.nextTick(() => later(ticks - 1))
    }
    connection!.resume()
    process.nextTick(() => later(5))
    await world.pass(50)
    expect(log).to.deep.equal(['/first', 'tick', 'tick', 'tick', 'tick', 'tick', '/second'])
  })

  it('a server closes when its last connection has ended', async () => {
    const socket = await open()
    let isClosed = false
    world.on(there, () =>
      server.close(() => {
        isClosed = true
      })
    )
    await world.pass(50)
    expect(isClosed).to.equal(false)
    socket.destroy()
    await world.pass(50)
    expect(isClosed).to.equal(true)
  })
})
