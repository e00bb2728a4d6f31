import { get, type IncomingMessage } from 'node:http'
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { expect } from 'chai'
import WebSocket from 'ws'
import { stringify } from 'yaml'
import { loadDefinition } from '../../src/apis/kafka-pixy/grpc/protocol.js'
import { makeToken, TestFolder } from '../support/access.js'
import { RawSocket } from '../support/raw-socket.js'
import { Children, Gateway } from './child.js'

/** Far longer than a second, in which it has to happen on a machine that is not busy. */
const LONG_POLL_MS = 120_000

const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

/** Everything that a client can have open. */
class OpenClient {
  readonly #token: string
  readonly #gateway: Gateway
  readonly #grpcAddress: string
  #websocket!: WebSocket
  #tail!: IncomingMessage
  #events = ''
  #keptAlive!: RawSocket
  /** How the websocket was closed. */
  closed!: Promise<string>
  /** What the tail said, once it has ended. */
  tailEnded!: Promise<string>
  /** Status of the request that waits for a message. */
  polled!: Promise<number>
  called!: Promise<string>

  constructor(gateway: Gateway, token: string, grpcAddress: string) {
    this.#gateway = gateway
    this.#token = token
    this.#grpcAddress = grpcAddress
  }

  async open(group: string): Promise<void> {
    const { url } = this.#gateway
    const headers = bearer(this.#token)
    this.#websocket = new WebSocket(`${url.replace('http', 'ws')}/arion/websocket/orders`, { headers })
    this.closed = new Promise(resolve => {
      this.#websocket.on('close', (code, reason) => resolve(`${code} ${reason.toString()}`))
    })
    await new Promise<void>((resolve, reject) => this.#websocket.on('open', resolve).on('error', reject))
    this.#tail = await new Promise((resolve, reject) =>
      get(`${url}/pixy/topics/orders/tail`, { headers }, resolve).on('error', reject)
    )
    expect(this.#tail.statusCode).to.equal(200)
    this.tailEnded = new Promise(resolve => {
      this.#tail.setEncoding('utf8').on('data', (text: string) => (this.#events += text))
      this.#tail.on('end', () => resolve(this.#events))
    })
    this.#keptAlive = await RawSocket.open(url)
    await this.#push()
    this.polled = new Promise((resolve, reject) => {
      const asked = get(`${url}/pixy/topics/empty/messages?group=${group}`, { headers }, answer => {
        answer.resume()
        resolve(answer.statusCode!)
      })
      asked.on('error', reject)
    })
    const grpc = new (loadDefinition())(this.#grpcAddress, credentials.createInsecure())
    const metadata = new Metadata()
    metadata.set('authorization', headers.authorization)
    this.called = new Promise(resolve => {
      grpc['ConsumeNAck']!(
        { topic: 'empty', group: `${group}-grpc`, no_ack: true },
        metadata,
        (error: ServiceError | null) => {
          grpc.close()
          resolve(error === null ? 'OK' : String(error.code))
        }
      )
    })
  }

  /** The first line of the answer to a request on the connection that is kept. */
  async #push(): Promise<string> {
    const body = JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: true })
    const { authorization } = bearer(this.#token)
    const head = `POST /kprf/push HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    let before = 0
    await this.#keptAlive.until(text => {
      before = text.length
      return true
    })
    await this.#keptAlive.send(head + body)
    const text = await this.#keptAlive.until(received => received.slice(before).includes('\r\n\r\n'))
    return text.slice(before).split('\r\n')[0]!
  }

  readonly push = (): Promise<string> => this.#push()

  async sendByWebsocket(): Promise<string> {
    const reply = new Promise<string>((resolve, reject) => {
      this.#websocket.once('message', data => resolve(String(data)))
      this.#websocket.once('close', code => reject(new Error(`closed with ${code}`)))
    })
    this.#websocket.send('x')
    return reply
  }

  leave(): void {
    // Its gateway may end before it is answered.
    this.polled.catch(() => undefined)
    this.#websocket.terminate()
    this.#tail.destroy()
    this.#keptAlive.destroy()
  }
}

describe('a token that is taken away', function () {
  this.timeout(240_000)
  const children = new Children()
  const folder = new TestFolder()
  afterEach(() => children.stopAll())
  after(() => folder.remove())

  const [stayer, leaver] = [makeToken(), makeToken()]
  const token = (principal: string, { sha256 }: { sha256: string }): object => ({ principal, sha256 })
  const rule = (topics: string[]): object => ({
    principals: ['*'],
    operations: ['produce', 'consume', 'admin'],
    topics,
    groups: ['*']
  })
  const write = (tokens: object[], rules = [rule(['*'])], more: object = {}): string =>
    folder.write(
      'castellan.yaml',
      stringify({
        auth: { tokens },
        access: { rules },
        embedded: { port: 0 },
        consumer: { longPollMs: LONG_POLL_MS },
        apis: {
          arion: { durability: 'memory' },
          kprf: { messageTimeoutMs: 30_000 },
          'kafka-pixy': { grpcPort: 0 }
        },
        ...more
      })
    )

  async function start(): Promise<{ gateway: Gateway; grpc: string }> {
    const file = write([token('stayer', stayer), token('leaver', leaver)])
    const gateway = await Gateway.start(children, ['--config', file])
    await gateway.until(200)
    const [, grpc] = await gateway.child.line(/"port":(\d+),"msg":"Kafka-Pixy's gRPC/)
    const headers = { 'content-type': 'application/json', ...bearer(stayer.token) }
    for (const topic of ['orders', 'empty']) {
      const body = JSON.stringify({ records: [{ topic, data: 'x' }], wait_for_send: true })
      const made = await fetch(`${gateway.url}/kprf/push`, { method: 'POST', headers, body })
      expect(made.status).to.equal(200)
    }
    return { gateway, grpc: `127.0.0.1:${grpc}` }
  }

  it('ends everything that its client has open, and nothing of others', async () => {
    const { gateway, grpc } = await start()
    const [stays, leaves] = [new OpenClient(gateway, stayer.token, grpc), new OpenClient(gateway, leaver.token, grpc)]
    await Promise.all([stays.open('stays'), leaves.open('leaves')])
    write([token('stayer', stayer)])
    gateway.child.process.kill('SIGHUP')
    expect(await leaves.closed).to.match(/^1008 the token is not valid/)
    expect(await leaves.tailEnded).to.contain('event: error\ndata: {"error":"the token is not valid"}\n\n')
    expect(await leaves.polled).to.equal(401)
    expect(await leaves.called).to.equal('16')
    let pushed = await leaves.push()
    while (/^HTTP\/1\.1 200 /.test(pushed)) pushed = await leaves.push()
    expect(pushed).to.match(/^HTTP\/1\.1 401 /)
    expect(await stays.push()).to.match(/^HTTP\/1\.1 200 /)
    expect(await stays.sendByWebsocket()).to.contain('sent')
    leaves.leave()
    stays.leave()
  })

  it('is taken away although it was the last one: nobody is let in then', async () => {
    const { gateway } = await start()
    write([])
    gateway.child.process.kill('SIGHUP')
    const status = async (headers: object): Promise<number> => {
      const options = { method: 'POST', headers: { ...headers }, body: '{}' }
      return (await fetch(`${gateway.url}/kprf/push`, options)).status
    }
    while ((await status(bearer(stayer.token))) !== 401) await new Promise(resolve => setTimeout(resolve, 20))
    expect(await status({})).to.equal(401)
  })

  it('is no different from rules that change: these end what they do not allow any more', async () => {
    const { gateway, grpc } = await start()
    const client = new OpenClient(gateway, stayer.token, grpc)
    await client.open('keeps')
    write([token('stayer', stayer), token('leaver', leaver)], [rule(['empty'])])
    gateway.child.process.kill('SIGHUP')
    expect(await client.closed).to.match(/^1008 no rule allows stayer/)
    expect(await client.tailEnded).to.contain('event: error')
    expect(await client.push()).to.match(/^HTTP\/1\.1 403 /)
    client.leave()
  })

  it('stays where the file is wrong, which one line says', async () => {
    const { gateway } = await start()
    const { child } = gateway
    folder.write('castellan.yaml', 'auth: {tokens: [{principal: stayer}, nonsense]}\nhttp: {prot: 1}\n')
    child.process.kill('SIGHUP')
    const [line] = await child.line(/SIGHUP: the new settings cannot be used, and the former ones stay in effect: .*/)
    expect(line).to.contain('sha256').and.to.contain('prot')
    const headers = { 'content-type': 'application/json', ...bearer(leaver.token) }
    const body = JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: true })
    const again = await fetch(`${gateway.url}/kprf/push`, { method: 'POST', headers, body })
    expect(again.status).to.equal(200)
    const bad = child.lines.filter(text => /"level":"(?:warn|error)"|WARN|ERROR/.test(text) && /SIGHUP/.test(text))
    expect(bad, bad.join('\n')).to.have.length(1)
    // What counts after a restart only is named, and the rest counts.
    write([token('stayer', stayer)], undefined, { advanced: { http: { maxHeaders: 77 } } })
    child.process.kill('SIGHUP')
    const [, changed] = await child.line(
      /SIGHUP: these settings have changed and take effect after a restart: ([\w., ]+)/
    )
    expect(changed).to.equal('advanced.http.maxHeaders')
    const gone = async (): Promise<boolean> =>
      (await fetch(`${gateway.url}/kprf/push`, { method: 'POST', headers, body })).status === 401
    while (!(await gone())) await new Promise(resolve => setTimeout(resolve, 20))
  })
})
