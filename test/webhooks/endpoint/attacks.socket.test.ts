import { createServer, type Server } from 'node:net'
import { expect } from 'chai'
import { urlProblem } from '../../../src/webhooks/endpoint/webhook-url.js'
import { embeddedIn, hostsOf } from './address-forms.js'
import { answerOf, attempt, EndpointStage, type Receiver } from './endpoint-stage.js'
import { NameServer } from './name-server.js'

/** Loopback addresses that nothing may be sent to. */
const FORBIDDEN = [
  '127.0.0.2',
  '127.0.0.3',
  '127.0.0.4',
  '127.0.0.5',
  '127.0.0.6',
  '127.0.0.7',
  '127.0.0.8',
  '127.0.0.9'
]

describe('an attacker of addresses, by real sockets', () => {
  let stage: EndpointStage
  let receiver: Receiver
  let names: NameServer
  let listeners: Server[]
  let reached: string[]

  beforeEach(async () => {
    stage = new EndpointStage()
    receiver = await stage.receiver()
    names = await NameServer.start()
    reached = []
    listeners = FORBIDDEN.map(host =>
      createServer(socket => {
        reached.push(host)
        socket.destroy()
      })
    )
    await Promise.all(
      listeners.map((listener, at) => new Promise<void>(done => listener.listen(receiver.port, FORBIDDEN[at], done)))
    )
    stage.share({ networks: ['127.0.0.1/32'] }, { createResolver: names.createResolver })
  })
  afterEach(async () => {
    await stage.close()
    names.close()
    await Promise.all(listeners.map(listener => new Promise(done => listener.close(done))))
  })

  /** What becomes of an attempt; `undefined`: the url is refused. */
  async function tryHost(host: string): Promise<number | string | undefined> {
    const url = `http://${host}:${receiver.port}/`
    if (urlProblem(url) !== undefined) return undefined
    const endpoint = stage.endpoint(url)
    const answer = answerOf(await endpoint.send(attempt({ timeoutMs: 3_000 })))
    endpoint.close()
    return answer
  }

  it('reaches no forbidden listener by any way to write its address', async () => {
    for (const forbidden of FORBIDDEN)
      for (const host of hostsOf(forbidden)) expect(await tryHost(host), host).to.be.oneOf([undefined, 'address'])
    for (const host of ['0.0.0.0', '0', '[::]', '[::1]', '[::ffff:0:0]', '0x0', `127.0.0.1@127.0.0.2`])
      expect(await tryHost(host), host).to.be.oneOf([undefined, 'address'])
    expect(await tryHost('127.0.0.1')).to.equal(204)
    expect(await tryHost('0x7f.1')).to.equal(204)
    expect(await tryHost('localhost')).to.equal(204)
    expect(reached).to.deep.equal([])
  })

  it('reaches none by a name, alone, beside an allowed address, or by another name', async () => {
    const answers = new Map<string, readonly string[]>(
      [...FORBIDDEN, ...FORBIDDEN.flatMap(embeddedIn), '::', '::1', '0.0.0.0'].map(
        (address, at) => [`n${at}.example`, [address]] as const
      )
    )
    names.answer = name => ({ addresses: answers.get(name) ?? answers.get(name.replace('mixed-', '')) ?? [] })
    for (const name of answers.keys()) expect(await tryHost(name), String(answers.get(name))).to.equal('address')
    names.answer = name => ({ addresses: [...(answers.get(name.replace('mixed-', '')) ?? []), '127.0.0.1'] })
    for (const name of answers.keys()) expect(await tryHost(`mixed-${name}`), name).to.equal(204)
    names.answer = () => ({ addresses: ['127.0.0.2'], alias: 'localhost' })
    expect(await tryHost('alias.example')).to.be.oneOf(['address', 'name'])
    expect(reached).to.deep.equal([])
  })

  it('reaches none by a name that changes between the check and the connection, nor by a redirect', async () => {
    let asked = 0
    names.answer = () => ({ addresses: [++asked <= 2 ? '127.0.0.1' : '127.0.0.2'] })
    const endpoint = stage.endpoint(`http://changes.example:${receiver.port}/`)
    receiver.answer = ({ socket }) =>
      void socket.end(`HTTP/1.1 307 x\r\nLocation: http://127.0.0.2:${receiver.port}/\r\nConnection: close\r\n\r\n`)
    for (const _ of [1, 2, 3]) expect(answerOf(await endpoint.send(attempt()))).to.equal(307)
    expect(reached).to.deep.equal([])
    expect(receiver.received).to.have.lengthOf(3)
  })

  it('does not hold the look-ups of brokers by names without an answer', async () => {
    names.answer = () => undefined
    const order: string[] = []
    const { lookup } = await import('node:dns/promises')
    const silent = Array.from({ length: 20 }, (_, at) =>
      tryHost(`silent-${at}.example`).then(answer => order.push(String(answer)))
    )
    while (names.asked < 32) await new Promise(resolve => setImmediate(resolve))
    await Promise.all(Array.from({ length: 16 }, () => lookup('localhost').then(() => order.push('broker'))))
    expect(order).to.deep.equal(Array.from({ length: 16 }, () => 'broker'))
    for (const endpoint of silent) await endpoint
    // Sixteen are looked up, for two seconds; then the others. The wait for their turns is no failure of theirs.
    expect(order.slice(16)).to.deep.equal(Array.from({ length: 20 }, () => 'name'))
  })
})
