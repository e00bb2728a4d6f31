import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { performanceClock } from '../../../src/core/clocks.js'
import type { EngineResponse } from '../../../src/http/engine/response.js'
import { connectionsWith, get } from './fake-connections.js'

describe('a long poll over a real socket', () => {
  it('gives no message to a client that hung up while the loop stood still', async () => {
    const { connections } = connectionsWith({}, performanceClock)
    let response: EngineResponse | undefined
    const handler = ((_: unknown, answer: EngineResponse) => {
      answer.givesAway()
      response = answer
    }) as never
    const server = createServer({ allowHalfOpen: true }, socket => {
      connections.enter(socket)
      connections.accept(socket, { guard: undefined as never, handler })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.write(get('/'))
    while (response === undefined) await pass(5)
    await pass(300)
    // The message comes first, and then the client hangs up: both are read in one turn behind the stand-still.
    const source = createServer(socket => socket.once('data', () => response!.end('message')))
    source.listen(0, '127.0.0.1')
    await once(source, 'listening')
    const sender = connect((source.address() as AddressInfo).port, '127.0.0.1')
    await once(sender, 'connect')
    await pass(100)
    setImmediate(() => {
      sender.write('x')
      client.destroy()
      for (const until = Date.now() + 200; Date.now() < until; );
    })
    await pass(300)
    sender.destroy()
    source.close()
    server.close()
    expect(response.writableFinished, 'acknowledged').to.equal(false)
  })
})
