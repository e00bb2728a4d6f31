import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ownerOf } from '../../src/deployment/verbs/shared-verbs.js'
import { Children, Gateway } from './child.js'
import { metricsOf, pidsOf, sampleOf, TWO } from './workers.js'

const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'
/** Of the topic. A read has one or more: all of them are more than a connection takes that nobody reads. */
const RECORDS = 14
const RECORD_BYTES = 900_000
const HELD = 'castellan_http_answers_bytes'
/** A worker that stands still has not answered by then. */
const STILL_MS = 2_000
const PATIENCE_MS = 30_000

/** A connection that takes the head of its last answer, and nothing of its body. */
class Connection {
  readonly socket: Socket
  isClosed = false

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    this.socket.on('error', () => undefined).on('close', () => (this.isClosed = true))
  }

  /** @returns the first bytes of the answer; the empty text: there was none in time */
  async ask(path: string, accept: string, limitMs = PATIENCE_MS, times = 1): Promise<string> {
    const head = new Promise<string>(resolve =>
      this.socket.once('data', data => {
        this.socket.pause()
        resolve(data.toString('latin1'))
      })
    )
    this.socket.resume()
    this.socket.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: ${accept}\r\n\r\n`.repeat(times))
    return Promise.race([head, sleep(limitMs, '')])
  }
}

describe('records of an instance of another worker', function () {
  this.timeout(120_000)
  const children = new Children()
  const connections: Connection[] = []
  let gateway: Gateway

  before(async () => {
    gateway = await Gateway.start(children, TWO)
    await gateway.until(200)
  })
  afterEach(() => {
    for (const { socket } of connections.splice(0)) socket.destroy()
  })
  after(() => children.stopAll())

  async function post(path: string, body: string | object, type = V2): Promise<void> {
    const sent = { method: 'POST', headers: { 'content-type': type } }
    const answer = await fetch(gateway.url + path, {
      ...sent,
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
    expect(answer.status, `${path}: ${await answer.text()}`).to.be.within(200, 299)
  }

  const open = (): Connection => {
    const connection = new Connection(gateway.url)
    connections.push(connection)
    return connection
  }

  /** The path of an instance that this worker has, at the beginning of the topic. */
  async function instanceAt(worker: number): Promise<string> {
    const name = ['a', 'b', 'c', 'd', 'e'].find(one => ownerOf('default', `group ${one}`, 2) === worker)!
    const path = `/confluent/consumers/group/instances/${name}`
    await post('/confluent/consumers/group', { name, format: 'binary' })
    await post(`${path}/assignments`, { partitions: [{ topic: 'large', partition: 0 }] })
    await post(`${path}/positions/beginning`, { partitions: [{ topic: 'large', partition: 0 }] })
    return path
  }

  /** A connection that the first worker has not: it answers while that stands still. */
  async function connectionOfSecond(pidOfFirst: number): Promise<Connection> {
    for (;;) {
      const connection = open()
      await new Promise(resolve => connection.socket.once('connect', resolve))
      // Who has it has taken it by then.
      expect(await connection.ask('/arion/health-check', '*/*')).to.match(/^HTTP/)
      process.kill(pidOfFirst, 'SIGSTOP')
      try {
        if ((await connection.ask('/arion/health-check', '*/*', STILL_MS)) !== '') return connection
      } finally {
        process.kill(pidOfFirst, 'SIGCONT')
      }
    }
  }

  const held = async (): Promise<number> => sampleOf(await metricsOf(gateway), HELD)

  async function untilHeld(isSo: (bytes: number) => boolean): Promise<number> {
    const since = performance.now()
    for (;;) {
      const bytes = await held()
      if (isSo(bytes)) return bytes
      if (performance.now() - since > PATIENCE_MS) expect.fail(`${bytes} bytes are held`)
      await sleep(50)
    }
  }

  /** The same is held for a while. */
  async function untilSettled(): Promise<void> {
    let [bytes, since] = [await held(), performance.now()]
    while (performance.now() - since < STILL_MS) {
      await sleep(100)
      const now = await held()
      if (now !== bytes) [bytes, since] = [now, performance.now()]
    }
  }

  it('count at the worker that has the client until its answer has left, also when their owner is gone', async () => {
    const [first] = await pidsOf(gateway)
    const record = { value: Buffer.alloc(RECORD_BYTES).toString('base64') }
    for (let at = 0; at < RECORDS; at++)
      await post('/confluent/topics/large/partitions/0', { records: [record] }, BINARY)
    const path = await instanceAt(1)
    const client = await connectionOfSecond(first!)
    await untilHeld(bytes => bytes === 0)
    const head = await client.ask(`${path}/records?timeout=10000`, BINARY, PATIENCE_MS, RECORDS)
    expect(head).to.match(/^HTTP\/1.1 200 /)
    // An answer that waits for its client, as those before it fill the connection.
    await untilSettled()
    expect(await held()).to.be.at.least(RECORD_BYTES)
    process.kill(first!, 'SIGKILL')
    await gateway.child.line(/worker 1 has ended/)
    await untilSettled()
    expect(await held()).to.be.at.least(RECORD_BYTES)
    expect(client.isClosed).to.equal(false)
    client.socket.destroy()
    await untilHeld(bytes => bytes === 0)
  })
})
