import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import type { App } from '../../../src/server/app/app.js'
import { RawSocket } from '../../support/raw-socket.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, pauseAll, resumeAll } from '../../support/target-cluster.js'

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: Headers
}

const PATIENCE_MS = 60_000

describe("Arion's API with its queue on disk", function () {
  this.timeout(180_000)
  const stage = onCluster()
  let folder: string
  let app: App | undefined
  beforeEach(() => {
    folder = stage.folder()
  })

  const start = async (settings: Readonly<Record<string, string>> = {}): Promise<string> => {
    app = await stage.app({
      'apis.arion.port': '0',
      'apis.arion.idleTimeoutMs': '60000',
      'wal.directory': folder,
      ...settings
    })
    return app.urls.apis.get('arion')!
  }
  const startProcess = async (...flags: string[]) => {
    const child = stage.child(['arion', '--management-port', '0', ...flags], {
      ARION_PORT: '0',
      ARION_QUEUE_PATH: folder
    })
    const [, url] = await child.line(/arion API on its own port: (http:\/\/127\.0\.0\.1:\d+)/)
    return { child, url: url! }
  }
  const post = async (url: string, body: string): Promise<Answer> => {
    const answer = await fetch(url, { method: 'POST', body })
    return { status: answer.status, body: (await answer.json()) as Answer['body'], headers: answer.headers }
  }
  const statsOf = async (url: string): Promise<Record<string, number>> =>
    ((await (await fetch(`${url}/stats`)).json()) as { queue: Record<string, number> }).queue
  const untilStats = async (url: string, isTrue: (queue: Record<string, number>) => boolean): Promise<void> => {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (;;) {
      const queue = await statsOf(url)
      if (isTrue(queue)) return
      if (performance.now() > giveUpAt) throw new Error(`still ${JSON.stringify(queue)}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  it('arion 7: an asynchronous message is answered 202 while Kafka is away, and arrives when it is back', async () => {
    const topic = await stage.topic('away')
    const url = await start()
    await pauseAll(stage.cluster)
    const answer = await post(`${url}/async/${topic}/k`, 'hello')
    expect([answer.status, answer.headers.get('x-castellan-persisted')]).to.deep.equal([202, 'pending'])
    expect(readdirSync(folder).some(name => name.endsWith('.slab'))).to.equal(true)
    await resumeAll(stage.cluster)
    expect(await stage.reader.texts(topic, 0, 1)).to.deep.equal(['hello'])
  })

  it('arion 16: statistics are those of the log', async () => {
    const topic = await stage.topic('stats')
    const url = await start()
    expect(await statsOf(url)).to.deep.equal({ status: 'empty' })
    for (let i = 0; i < 10; i++) expect((await post(`${url}/sync/${topic}`, 'x')).status).to.equal(201)
    await untilStats(url, queue => queue.completed === 10)
    const queue = await statsOf(url)
    expect(queue).to.include({ enqueued: 10, completed: 10, retried: 0, 'in-progress': 0, 'dead-letters': 0 })
    expect(queue['num-slabs']).to.be.at.least(1)
  })

  it('arion 20: a synchronous message waits for Kafka, and its answer says where it is', async () => {
    const topic = await stage.topic('waits')
    const url = await start()
    await post(`${url}/sync/${topic}`, 'first')
    await pauseAll(stage.cluster)
    const waiting = post(`${url}/sync/${topic}`, 'second')
    await untilStats(url, queue => queue.enqueued === 2)
    await resumeAll(stage.cluster)
    const { status, body } = await waiting
    expect([status, body.offset]).to.deep.equal([201, 1])
  })

  it('arion 23: a topic that is missing holds up no other, and is written to when it is there', async () => {
    const topic = await stage.topic('known')
    const missing = freshTopic('missing')
    const url = await start({ 'delivery.createTopics': 'false' })
    expect((await post(`${url}/async/${missing}`, 'to nowhere')).status).to.equal(202)
    for (let i = 0; i < 10; i++) expect((await post(`${url}/sync/${topic}`, 'x')).status).to.equal(201)
    await stage.cluster.createTopic(missing, 1)
    expect(await stage.reader.texts(missing, 0, 1)).to.deep.equal(['to nowhere'])
  })

  it('arion 25: a thousand keyed messages keep their order across SIGTERM and a new start', async () => {
    const topic = await stage.topic('order', 4)
    const bodies = Array.from({ length: 1_000 }, (_, i) => `m${i}`)
    let sent = 0
    const send = async (url: string, upTo: number): Promise<void> => {
      const socket = await RawSocket.open(url)
      const first = sent
      for (; sent < upTo; sent++) {
        const body = bodies[sent]!
        const head = `POST /async/${topic}/key HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n`
        await socket.send(head + body)
      }
      await socket.until(() => socket.answers === upTo - first)
      expect(socket.received.match(/HTTP\/1\.1 202 /g)).to.have.length(upTo - first)
      socket.destroy()
    }
    const one = await startProcess()
    await send(one.url, 500)
    expect(await one.child.stop()).to.equal(0)
    const two = await startProcess()
    await send(two.url, 1_000)
    const { body } = await post(`${two.url}/sync/${topic}/key`, 'last')
    expect(await stage.reader.texts(topic, body.partition as number, 1_001)).to.deep.equal([...bodies, 'last'])
  })

  it('arion 26, arion 27: after kill -9 every 202 arrives, in order and before what is new', async () => {
    const topic = await stage.topic('killed', 2)
    const one = await startProcess()
    await pauseAll(stage.cluster)
    const acknowledged: string[] = []
    for (let i = 0; i < 200; i++) {
      const body = `m${i}`
      if ((await post(`${one.url}/async/${topic}/key`, body)).status === 202) acknowledged.push(body)
    }
    expect(acknowledged).to.have.length(200)
    await one.child.stop('SIGKILL')
    await resumeAll(stage.cluster)
    const two = await startProcess()
    const { status, body } = await post(`${two.url}/sync/${topic}/key`, 'new')
    expect(status).to.equal(201)
    expect(await stage.reader.texts(topic, body.partition as number, 201)).to.deep.equal([...acknowledged, 'new'])
  })

  it('arion 37: a message larger than a slab is refused, and later ones are fine', async () => {
    const topic = await stage.topic('large')
    const url = await start({ 'advanced.wal.segmentBytes': '65536' })
    const refused = await post(`${url}/async/${topic}`, 'x'.repeat(100_000))
    expect(refused.status).to.equal(400)
    expect(refused.body).to.deep.equal({ status: 'error', error: 'message too large', size: 100_000, limit: 1_000_000 })
    expect((await post(`${url}/sync/${topic}`, 'fine')).status).to.equal(201)
    expect(await stage.reader.texts(topic, 0, 1)).to.deep.equal(['fine'])
  })

  it('arion 38: a full log is answered 503, and takes messages again when Kafka has taken some', async () => {
    const topic = await stage.topic('full')
    const url = await start({ 'advanced.wal.segmentBytes': '65536', 'wal.maxBytes': '300000' })
    expect((await post(`${url}/sync/${topic}`, 'first')).status).to.equal(201)
    await pauseAll(stage.cluster)
    let accepted = 1
    let answer = await post(`${url}/async/${topic}`, 'x'.repeat(10_000))
    for (; answer.status === 202; accepted++) answer = await post(`${url}/async/${topic}`, 'x'.repeat(10_000))
    expect(accepted).to.be.within(10, 40)
    expect([answer.status, answer.body]).to.deep.equal([503, { status: 'error', error: 'unable to enqueue message' }])
    expect(answer.headers.get('retry-after')).to.equal('1')
    expect(answer.headers.get('x-castellan-persisted')).to.equal('no')
    await resumeAll(stage.cluster)
    const giveUpAt = performance.now() + PATIENCE_MS
    while ((await post(`${url}/async/${topic}`, 'again')).status !== 202) {
      expect(performance.now()).to.be.below(giveUpAt)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect((await stage.reader.texts(topic, 0, accepted + 1)).at(-1)).to.equal('again')
  })

  it('arion 33: a websocket whose messages wait for Kafka is answered in order, with bounded memory', async () => {
    const topic = await stage.topic('websocket')
    const url = await start()
    const socket = new WebSocket(`${url.replace('http', 'ws')}/websocket/${topic}/key`)
    await once(socket, 'open')
    const offsets: unknown[] = []
    socket.on('message', data => offsets.push((JSON.parse(String(data)) as Answer['body']).offset))
    await pauseAll(stage.cluster)
    const bodies = Array.from({ length: 5_000 }, (_, i) => `m${i}`)
    for (const body of bodies) socket.send(body)
    await untilStats(url, queue => queue.enqueued === 1_000)
    await resumeAll(stage.cluster)
    const giveUpAt = performance.now() + PATIENCE_MS
    while (offsets.length < 5_000) {
      expect(performance.now()).to.be.below(giveUpAt)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    socket.terminate()
    expect(offsets).to.deep.equal(bodies.map((_, offset) => offset))
    expect(await stage.reader.texts(topic, 0, 5_000)).to.deep.equal(bodies)
  })

  it('arion 40: SIGTERM ends within its grace while messages wait, and none of them is lost', async () => {
    const topic = await stage.topic('stopped')
    const one = await startProcess('--set', 'shutdown.graceMs=3000')
    await pauseAll(stage.cluster)
    expect((await post(`${one.url}/async/${topic}/k`, 'kept')).status).to.equal(202)
    const waiting = post(`${one.url}/sync/${topic}/k`, 'waiting').catch(() => 'cut')
    await untilStats(one.url, queue => queue.enqueued === 2)
    const startedAt = performance.now()
    expect(await one.child.stop()).to.equal(0)
    expect(performance.now() - startedAt).to.be.below(20_000)
    const told = await waiting
    expect(told === 'cut' || (told as Answer).status >= 500).to.equal(true)
    await resumeAll(stage.cluster)
    await startProcess()
    expect(await stage.reader.texts(topic, 0, 2)).to.deep.equal(['kept', 'waiting'])
  })
})
