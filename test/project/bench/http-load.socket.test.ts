import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createNetServer, type Server as NetServer } from 'node:net'
import { expect } from 'chai'
import { postRequest } from '../../../examples/bench/tools/http-connection.js'
import { HttpLoad } from '../../../examples/bench/tools/http-load.js'

const HOST = '127.0.0.1'
const request = postRequest('/push', Buffer.from('{"a":1}'))

/** A promise to be resolved from elsewhere. */
function deferred() {
  let resolve = () => {}
  const promise = new Promise<void>(done => {
    resolve = done
  })
  return { promise, resolve }
}

const portOf = async (server: Server | NetServer): Promise<number> => {
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  return (server.address() as AddressInfo).port
}

/** Calls `answer` with each whole request; keeps the bodies that really arrived. */
function collect(answer: (count: number, request: IncomingMessage, response: ServerResponse) => void) {
  const bodies: string[] = []
  const server = createServer((incoming, response) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', text => {
      body += text
    })
    incoming.on('end', () => {
      bodies.push(body)
      answer(bodies.length, incoming, response)
    })
  })
  return { bodies, server }
}

describe('bench http load', () => {
  let server: Server | NetServer | undefined
  let load: HttpLoad | undefined
  afterEach(async () => {
    await load?.stop(0)
    if (server && 'closeAllConnections' in server) server.closeAllConnections()
    await new Promise(resolve => (server ? server.close(resolve) : resolve(undefined)))
    load = server = undefined
  })

  it('sends whole requests over its connections and counts each answer once', async () => {
    const enough = deferred()
    const sockets = new Set<unknown>()
    const stand = collect((count, incoming, response) => {
      sockets.add(incoming.socket)
      if (count === 500) enough.resolve()
      response.end(`answer ${count}`)
    })
    server = stand.server
    load = new HttpLoad({ host: HOST, port: await portOf(server), connections: 7, request })
    await load.start()
    await enough.promise
    await load.stop()
    const counts = load.counts()
    expect(counts.sent).to.equal(stand.bodies.length).and.to.be.at.least(500)
    expect(counts.answered).to.equal(counts.sent)
    expect(counts.lost).to.equal(0)
    expect(counts.statuses).to.deep.equal([[200, counts.sent]])
    expect([...new Set(stand.bodies)]).to.deep.equal(['{"a":1}'])
    expect(sockets.size).to.equal(7)
  })

  it('counts by status and starts anew at a mark', async () => {
    const marks = [deferred(), deferred()]
    const stand = collect((count, _, response) => {
      if (count === 30) marks[0]!.resolve()
      if (count === 60) marks[1]!.resolve()
      response.statusCode = count % 3 === 0 ? 500 : 201
      response.end('x'.repeat(count * 1000))
    })
    server = stand.server
    load = new HttpLoad({ host: HOST, port: await portOf(server), connections: 1, request })
    await load.start()
    await marks[0]!.promise
    const before = load.counts()
    load.mark()
    await marks[1]!.promise
    await load.stop()
    const after = load.counts()
    expect(before.answered + after.answered).to.equal(stand.bodies.length)
    const all = new Map<number, number>()
    for (const [status, count] of [...before.statuses, ...after.statuses])
      all.set(status, (all.get(status) ?? 0) + count)
    expect(all.get(500)).to.equal(Math.floor(stand.bodies.length / 3))
    expect(all.get(201)).to.equal(stand.bodies.length - Math.floor(stand.bodies.length / 3))
  })

  it('reads an answer that comes in pieces', async () => {
    const whole = deferred()
    let asked = 0
    server = createNetServer(socket => {
      socket.on('error', () => {})
      socket.setNoDelay(true).on('data', () => {
        if (++asked === 3) whole.resolve()
        const pieces = ['HTTP/1.1 20', '0 OK\r\nContent-Le', 'ngth: 5\r\n\r', '\nhe', 'llo']
        pieces.forEach((piece, at) => {
          setTimeout(() => socket.write(piece), at * 5)
        })
      })
    })
    load = new HttpLoad({ host: HOST, port: await portOf(server), connections: 1, request })
    await load.start()
    await whole.promise
    await load.stop()
    expect(load.counts()).to.deep.include({ sent: 3, answered: 3, lost: 0, statuses: [[200, 3]] })
  })

  it('counts a request as lost when its connection breaks, and opens another in its place', async () => {
    const again = deferred()
    const stand = collect((count, incoming, response) => {
      if (count === 1) {
        incoming.socket.destroy()
        return
      }
      if (count === 2) again.resolve()
      response.end('ok')
    })
    server = stand.server
    load = new HttpLoad({ host: HOST, port: await portOf(server), connections: 1, request })
    await load.start()
    await again.promise
    await load.stop()
    const counts = load.counts()
    expect(counts.lost).to.equal(1)
    expect(counts.answered).to.equal(stand.bodies.length - 1)
    expect(counts.sent).to.equal(counts.answered + counts.lost)
  })

  it('charges a stall to every request that was meant to leave during it (open loop)', async () => {
    const stalled = deferred()
    const answers: ServerResponse[] = []
    const enough = deferred()
    const stand = collect((count, _, response) => {
      if (count === 1) {
        answers.push(response)
        stalled.resolve()
        return
      }
      if (count === 100) enough.resolve()
      response.end('ok')
    })
    server = stand.server
    load = new HttpLoad({ host: HOST, port: await portOf(server), connections: 1, request, ratePerSecond: 1000 })
    await load.start()
    await stalled.promise
    await new Promise(resolve => setTimeout(resolve, 120))
    answers[0]!.end('ok')
    await enough.promise
    await load.stop()
    // One connection hung for 120 ms while 1,000 a second were due: half of the first 100 waited long before they left.
    expect(load.counts().p50Ms).to.be.above(20)
    expect(load.counts().answered).to.equal(load.counts().sent)
  })
})
