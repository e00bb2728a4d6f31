import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import type { App } from '../../../src/server/app/app.js'
import { RawSocket } from '../../support/raw-socket.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> }

/** Waits for a condition that a broker or the network brings about. */
async function until(isTrue: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 60_000
  while (!isTrue()) {
    if (performance.now() > giveUpAt) throw new Error(`never saw ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

describe("Arion's API over a cluster", () => {
  inWorld()
  const stage = onCluster()
  let app: App
  let url: string
  let statsd: UdpSocket
  const lines = new Set<string>()
  before(async () => {
    statsd = stage.keep(createSocket('udp4'), socket => socket.close())
    statsd.on('message', message => {
      for (const line of message.toString().split('\n')) lines.add(line)
    })
    statsd.bind(0, '127.0.0.1')
    await once(statsd, 'listening')
    app = await stage.app({
      'apis.arion.port': '0',
      'apis.arion.idleTimeoutMs': '60000',
      'apis.arion.durability': 'memory',
      'delivery.createTopics': 'false',
      'statsd.host': '127.0.0.1',
      'statsd.port': String((statsd.address() as AddressInfo).port)
    })
    url = app.urls.apis.get('arion')!
  })

  const post = async (path: string, body: Buffer | string): Promise<Answer> => {
    const answer = await fetch(`${url}${path}`, { method: 'POST', body: new Uint8Array(Buffer.from(body as string)) })
    return { status: answer.status, body: (await answer.json()) as Answer['body'] }
  }
  const websocket = async (
    path: string
  ): Promise<{ socket: WebSocket; replies: Readonly<Record<string, unknown>>[] }> => {
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`)
    const replies: Readonly<Record<string, unknown>>[] = []
    socket.on('message', data => replies.push(JSON.parse(String(data)) as Readonly<Record<string, unknown>>))
    await once(socket, 'open')
    return { socket, replies }
  }

  it('arion 1, arion 5, arion 6: a message lands as it was sent', async () => {
    const topic = await stage.topic('bytes')
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const { status, body } = await post(`/sync/${topic}`, bytes)
    expect([status, body.partition, body.offset, body.key]).to.deep.equal([201, 0, 0, null])
    expect((await post(`/sync/${topic}/%E2%82%AC+%FF`, '')).body).to.include({ offset: 1, key: '€ \ufffd' })
    const [first, second] = [...(await stage.reader.read(topic, 0, 2)).values()]
    expect([first!.key, first!.value]).to.deep.equal([null, bytes])
    expect([second!.key, second!.value]).to.deep.equal([Buffer.from('€ \ufffd'), Buffer.alloc(0)])
  })

  it('arion 2: a key decides the partition, and offsets follow each other', async () => {
    const topic = await stage.topic('keyed', 8)
    const first = await post(`/sync/${topic}/mykey`, 'one')
    const second = await post(`/sync/${topic}/mykey`, 'two')
    expect(first.body).to.include({ partition: 3, key: 'mykey', offset: 0 })
    expect(second.body).to.include({ partition: 3, key: 'mykey', offset: 1 })
  })

  it("arion 3: keys find the partitions that Arion's hash gives them", async () => {
    const topic = await stage.topic('vectors', 8)
    const vectors: [path: string, partition: number][] = [
      ['a/b/c', 0],
      ['a%2Fb+c%20d', 3],
      ['/', 7],
      ['k', 3],
      ['k1', 6],
      ['z', 2],
      ['%E2%82%AC', 4],
      ['%FF', 5],
      ['%00', 0],
      ['user-123', 0]
    ]
    for (const [path, partition] of vectors) {
      expect([path, (await post(`/sync/${topic}/${path}`, 'x')).body.partition]).to.deep.equal([path, partition])
    }
  })

  it('arion 7: asynchronous messages arrive', async () => {
    const topic = await stage.topic('async')
    expect((await post(`/async/${topic}/k`, 'hello')).status).to.equal(202)
    expect(await stage.reader.texts(topic, 0, 1)).to.deep.equal(['hello'])
  })

  it('arion 18: a synchronous message whose client leaves is delivered once', async () => {
    const topic = await stage.topic('left')
    const socket = await RawSocket.open(url)
    const leader = await stage.cluster.leaderOf(topic, 0)
    await stage.cluster.pauseNode(leader)
    await socket.send(`POST /sync/${topic} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello`)
    // The answer to a later request on another connection tells that this one has been read.
    await fetch(`${url}/health-check`)
    socket.destroy()
    await stage.cluster.resumeNode(leader)
    expect((await post(`/sync/${topic}`, 'next')).status).to.equal(201)
    expect(await stage.reader.texts(topic, 0, 2)).to.deep.equal(['hello', 'next'])
  })

  it('arion 20: a synchronous message waits while brokers are away, and is answered when they are back', async () => {
    const topic = await stage.topic('away', 1)
    expect((await post(`/sync/${topic}`, 'before')).status).to.equal(201)
    const nodes = stage.cluster.kind === 'embedded' ? stage.cluster.nodeIds : [await stage.cluster.leaderOf(topic, 0)]
    for (const node of nodes) await stage.cluster.killNode(node)
    const answer = post(`/sync/${topic}`, 'while away')
    const health = await fetch(`${url}/health-check`)
    expect([health.status, await health.text()]).to.deep.equal([200, '{"status":"ok"}'])
    for (const node of nodes) await stage.cluster.reviveNode(node)
    expect((await answer).status).to.equal(201)
    expect(await stage.reader.texts(topic, 0, 2)).to.deep.equal(['before', 'while away'])
  })

  it('arion 23: a topic that does not exist holds up no other', async () => {
    const topic = await stage.topic('known')
    const unknown = post(`/sync/${freshTopic('unknown')}`, 'x')
    expect((await post(`/sync/${topic}`, 'x')).status).to.equal(201)
    expect((await unknown).status).to.equal(503)
  })

  it('arion 25: a thousand keyed asynchronous messages over one connection arrive in order', async () => {
    const topic = await stage.topic('order', 4)
    const socket = await RawSocket.open(url)
    const bodies = Array.from({ length: 1_000 }, (_, i) => `m${i}`)
    for (const body of bodies) {
      await socket.send(
        `POST /async/${topic}/key HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`
      )
    }
    await socket.until(() => socket.answers === 1_000)
    expect(socket.received.match(/HTTP\/1\.1 202 /g)).to.have.length(1_000)
    socket.destroy()
    const { body } = await post(`/sync/${topic}/key`, 'last')
    expect(await stage.reader.texts(topic, body.partition as number, 1_001)).to.deep.equal([...bodies, 'last'])
  })

  it('arion 28: messages of a websocket arrive in order, and each reply tells where', async () => {
    const topic = await stage.topic('websocket', 4)
    const { socket, replies } = await websocket(`/websocket/${topic}/key`)
    const bodies = Array.from({ length: 2_000 }, (_, i) => `m${i}`)
    for (const body of bodies) socket.send(body)
    await until(() => replies.length === 2_000, 'all replies')
    socket.terminate()
    expect(new Set(replies.map(({ partition }) => partition)).size).to.equal(1)
    expect(replies.map(({ offset }) => offset)).to.deep.equal(bodies.map((_, offset) => offset))
    expect(await stage.reader.texts(topic, replies[0]!.partition as number, 2_000)).to.deep.equal(bodies)
  })

  it('arion 16: statistics count what was done', async () => {
    const { queue, kafka } = (await (await fetch(`${url}/stats`)).json()) as Record<string, Record<string, number>>
    expect(queue!.enqueued).to.be.above(1_000)
    expect(queue!['in-progress']).to.equal(0)
    expect(queue!.completed).to.equal(queue!.enqueued)
    expect(kafka!['connection-count']).to.be.above(0)
  })

  it("arion 39: StatsD is told Arion's metrics and all others", async () => {
    // The last report is sent at the end.
    await app.stop()
    const heard = (pattern: RegExp): boolean => [...lines].some(line => pattern.test(line))
    const wanted = [
      /^arion\.api\.success\.count:[1-9]\d*\|g$/,
      /^arion\.api\.success\.m1_rate:[\d.]+\|ms$/,
      /^arion\.api\.client_error\.count:\d+\|g$/,
      /^arion\.queue\.enqueued:[1-9]\d*\|g$/,
      /^arion\.queue\.num_slabs:\d+\|g$/,
      /^arion\.broadcast\.attempt\.count:[1-9]\d*\|g$/,
      /^arion\.broadcast\.time\.p99:[\d.]+\|ms$/,
      /^arion\.api\.async_put_time\.mean:[\d.]+\|ms$/,
      /^arion\.queue\.message_size\.max:[\d.]+\|ms$/,
      /^arion\.kafka_producer\.record_send_rate:[\d.]+\|g$/,
      /^castellan\.http_requests_total\.arion\.POST\.201:[1-9]\d*\|c$/
    ]
    for (const pattern of wanted) await until(() => heard(pattern), String(pattern))
  })
})
