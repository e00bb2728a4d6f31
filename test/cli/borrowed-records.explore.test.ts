import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { freePorts } from '../runs/real-kafka/ports.js'
import { Children, Gateway } from './child.js'

const V2 = 'application/vnd.kafka.v2+json'
const BINARY = 'application/vnd.kafka.binary.v2+json'
/** Of the topic. A read has one or more: all of them are more than a connection takes that nobody reads. */
const RECORDS = 14
const RECORD_BYTES = 900_000
const HELD = 'castellan_http_answers_bytes'
/** What is held does not change for so long. */
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

/** The value of a series without labels. */
async function metricOf({ management }: Gateway, name: string): Promise<number> {
  const text = await (await fetch(`${management}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

describe('records of an instance of another gateway', function () {
  this.timeout(120_000)
  const children = new Children()
  const connections: Connection[] = []
  let kafka: Awaited<ReturnType<typeof startEmbeddedCluster>>
  let owner: Gateway
  let gateway: Gateway

  before(async () => {
    kafka = await startEmbeddedCluster()
    const addresses = (await freePorts(2)).map(port => `127.0.0.1:${port}`)
    const start = (listen: string): Promise<Gateway> => {
      const peers = {
        'peers.addresses': addresses.join(','),
        'peers.listen': listen,
        'peers.token': 'a secret of more than thirty-two bytes'
      }
      const settings = Object.entries(peers).flatMap(([name, value]) => ['--set', `${name}=${value}`])
      return Gateway.start(children, ['--brokers', kafka.bootstrap, ...settings])
    }
    ;[owner, gateway] = (await Promise.all(addresses.map(start))) as [Gateway, Gateway]
    await Promise.all([owner, gateway].map(one => one.until(200)))
    for (const one of [owner, gateway]) while ((await metricOf(one, 'castellan_peers_gateways')) !== 1) await sleep(50)
  })
  afterEach(() => {
    for (const { socket } of connections.splice(0)) socket.destroy()
  })
  after(async () => {
    await children.stopAll()
    await kafka.close()
  })

  async function post(path: string, body: string | object, type = V2): Promise<void> {
    const sent = { method: 'POST', headers: { 'content-type': type } }
    const answer = await fetch(gateway.url + path, {
      ...sent,
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
    expect(answer.status, `${path}: ${await answer.text()}`).to.be.within(200, 299)
  }

  /** The path of an instance that the other gateway has, at the beginning of the topic. */
  async function instanceOfOther(): Promise<string> {
    for (let number = 1; ; number++) {
      const path = `/confluent/consumers/group/instances/i${number}`
      await post('/confluent/consumers/group', { name: `i${number}`, format: 'binary' })
      const partitions = [{ topic: 'large', partition: 0 }]
      await post(`${path}/assignments`, { partitions })
      await post(`${path}/positions/beginning`, { partitions })
      if ((await metricOf(owner, 'castellan_groups_instances')) > 0) return path
    }
  }

  const held = (): Promise<number> => metricOf(gateway, HELD)

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

  it('count at the gateway that has the client until its answer has left, also when their owner is gone', async () => {
    const record = { value: Buffer.alloc(RECORD_BYTES).toString('base64') }
    for (let at = 0; at < RECORDS; at++)
      await post('/confluent/topics/large/partitions/0', { records: [record] }, BINARY)
    const path = await instanceOfOther()
    const client = new Connection(gateway.url)
    connections.push(client)
    await untilHeld(bytes => bytes === 0)
    const head = await client.ask(`${path}/records?timeout=10000`, BINARY, PATIENCE_MS, RECORDS)
    expect(head).to.match(/^HTTP\/1.1 200 /)
    // An answer that waits for its client, as those before it fill the connection.
    await untilSettled()
    expect(await held()).to.be.at.least(RECORD_BYTES)
    await owner.child.stop('SIGKILL')
    await untilSettled()
    expect(await held()).to.be.at.least(RECORD_BYTES)
    expect(client.isClosed).to.equal(false)
    client.socket.destroy()
    await untilHeld(bytes => bytes === 0)
  })
})
