import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import { type ClientOptions, WebSocket } from 'ws'
import { until, untilNothingIsHeld } from '../../http/server/stage.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { ask, jsonOf, type ServedArion, type ServeOptions, serveArion } from './stage.js'

type Reply = Readonly<Record<string, unknown>>

/** A websocket and everything that came over it. */
class Client {
  readonly replies: Reply[] = []
  readonly texts: string[] = []
  closed: { readonly code: number; readonly reason: string } | undefined
  readonly websocket: WebSocket

  private constructor(websocket: WebSocket) {
    this.websocket = websocket
    websocket.on('message', (data, isBinary) => {
      expect(isBinary).to.equal(false)
      this.texts.push(String(data))
      this.replies.push(JSON.parse(String(data)) as Reply)
    })
    websocket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }))
    websocket.on('error', () => undefined)
  }

  static async open(url: string, path: string, options: ClientOptions = {}): Promise<Client> {
    const websocket = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`, options)
    const client = new Client(websocket)
    await once(websocket, 'open')
    return client
  }

  untilReplies = (count: number): Promise<void> =>
    until(
      () => this.replies.length >= count,
      `${count} replies`,
      () => this.replies.length
    )

  async untilClosed(): Promise<{ readonly code: number; readonly reason: string }> {
    await until(() => this.closed !== undefined, 'the end of the websocket')
    return this.closed!
  }
}

/** A frame as clients send it, masked with zeros; shorter than 64 KiB. */
function frame(payload: string | Buffer, opcode = 1): Buffer {
  const bytes = Buffer.from(payload as string)
  const length = bytes.length < 126 ? [0x80 | bytes.length] : [0x80 | 126, bytes.length >> 8, bytes.length & 0xff]
  return Buffer.concat([Buffer.from([0x80 | opcode, ...length, 0, 0, 0, 0]), bytes])
}

/** As many as a server needs to read what has come, if it does. */
async function aFewTurns(): Promise<void> {
  for (let turns = 20; turns > 0; turns--) await new Promise(setImmediate)
}

const handshake = (path: string, headers: readonly string[] = []): string =>
  [
    `GET ${path} HTTP/1.1`,
    'host: localhost',
    'connection: Upgrade',
    'upgrade: websocket',
    ...(headers.length > 0 ? headers : ['sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==']),
    '',
    ''
  ].join('\r\n')

describe('arion websockets', () => {
  let served: ServedArion
  afterEach(async () => {
    await served?.http.close()
  })
  const serve = async (options: ServeOptions = {}): Promise<ServedArion> => (served = await serveArion(options))
  const byHand = (): FakeVerbs => new FakeVerbs({ outcome: 'by hand' })
  const values = ({ records }: FakeVerbs): string[] => records.map(({ value }) => value!.toString())
  const untilTaken = (verbs: FakeVerbs, count: number): Promise<void> =>
    until(
      () => verbs.records.length >= count,
      `${count} messages`,
      () => verbs.records.length
    )

  it('arion 28: text, binary and empty frames are messages, and each has its reply', async () => {
    let offset = 0
    const { verbs, url } = await serve({ verbs: new FakeVerbs({ outcome: () => delivered(7, offset++) }) })
    const client = await Client.open(url, '/websocket/test')
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    client.websocket.send('grün')
    client.websocket.send(bytes)
    client.websocket.send('')
    await client.untilReplies(3)
    expect(verbs.records.map(({ value }) => value)).to.deep.equal([Buffer.from('grün'), bytes, Buffer.alloc(0)])
    expect(verbs.records.every(({ topic, key }) => topic === 'test' && key === null)).to.equal(true)
    expect(client.replies.map(reply => reply.offset)).to.deep.equal([0, 1, 2])
    expect(client.texts[0]).to.match(
      /^\{"topic":"test","partition":7,"offset":0,"sent":"[^"]+Z","status":"sent","key":null\}$/
    )
    client.websocket.close()
    await untilNothingIsHeld(served)
  })

  it('arion 28: the key of the path is the key of every message', async () => {
    const { verbs, sharedUrl } = await serve()
    const client = await Client.open(sharedUrl, '/websocket/test/a%2Fb+%E2%82%AC?x=1')
    client.websocket.send('x')
    await client.untilReplies(1)
    expect(verbs.records[0]!.key).to.deep.equal(Buffer.from('a/b €'))
    expect(client.replies[0]).to.include({ key: 'a/b €', status: 'sent' })
    client.websocket.terminate()
  })

  it('arion 30: messages may be as large as the limit, in one frame or in many', async () => {
    const { verbs, url } = await serve()
    const client = await Client.open(url, '/websocket/test')
    const large = Buffer.alloc(1_000_000, 'x')
    client.websocket.send(large)
    client.websocket.send(large.subarray(0, 600_000), { fin: false })
    client.websocket.send(large.subarray(600_000))
    await client.untilReplies(2)
    expect(verbs.records.every(({ value }) => value!.equals(large))).to.equal(true)
    client.websocket.send(Buffer.alloc(1_000_001))
    expect((await client.untilClosed()).code).to.equal(1009)
    const other = await Client.open(url, '/websocket/test')
    other.websocket.send(large.subarray(0, 600_000), { fin: false })
    other.websocket.send(large.subarray(0, 600_000))
    expect((await other.untilClosed()).code).to.equal(1009)
    expect(verbs.records).to.have.length(2)
    await untilNothingIsHeld(served)
  })

  it('arion 31: pings are answered and keep it open, silence closes it, a close frame comes back', async () => {
    const { url } = await serve({ settings: { idleTimeoutMs: 400 } })
    const pinging = await Client.open(url, '/websocket/test')
    const silent = await Client.open(url, '/websocket/test')
    let pongs = 0
    pinging.websocket.on('pong', () => pongs++)
    const timer = setInterval(() => pinging.websocket.ping('are you there'), 50)
    expect((await silent.untilClosed()).code).to.equal(1001)
    // Longer than the silence that is allowed.
    const enough = pongs + 10
    await until(() => pongs >= enough || pinging.closed !== undefined, 'ten pongs more')
    expect(pinging.closed).to.equal(undefined)
    clearInterval(timer)
    pinging.websocket.close(4_321, 'enough')
    expect(await pinging.untilClosed()).to.deep.equal({ code: 4_321, reason: 'enough' })
  })

  it('arion 32: frames that come together with the upgrade are answered', async () => {
    const { verbs, url } = await serve()
    const socket = await RawSocket.open(url)
    const frames = Array.from({ length: 10 }, (_, i) => frame(`m${i}`))
    const offers = 'sec-websocket-protocol: chat\r\nsec-websocket-extensions: permessage-deflate\r\n'
    const asked = handshake('/websocket/test').replace(/\r\n$/, `${offers}\r\n`)
    await socket.send(Buffer.concat([Buffer.from(asked), ...frames]))
    const received = await socket.until(text => (text.match(/"status":"sent"/g)?.length ?? 0) === 10)
    expect(received)
      .to.match(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
      .and.include('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
    expect(received).not.to.match(/sec-websocket-(extensions|protocol)/i)
    expect(values(verbs)).to.deep.equal(Array.from({ length: 10 }, (_, i) => `m${i}`))
    socket.destroy()
  })

  it('an offer of several protocols is taken if one of them is websocket, in one header or in two', async () => {
    const { verbs, url } = await serve()
    for (const offer of ['h2c, WebSocket', 'h2c\r\nupgrade: websocket']) {
      const socket = await RawSocket.open(url)
      const asked = handshake('/websocket/test').replace('upgrade: websocket', `upgrade: ${offer}`)
      await socket.send(Buffer.concat([Buffer.from(asked), frame(offer)]))
      const received = await socket.until(text => text.includes('"status":"sent"') || text.includes('HTTP/1.1 400'))
      expect(received, offer).to.match(/^HTTP\/1\.1 101 Switching Protocols\r\nUpgrade: websocket\r\n/)
      socket.destroy()
    }
    expect(values(verbs)).to.deep.equal(['h2c, WebSocket', 'h2c\r\nupgrade: websocket'])
  })

  it('arion 33: a client that reads no replies gets all of them in the end, and holds up nobody', async () => {
    const { verbs, url } = await serve()
    const client = await Client.open(url, '/websocket/test')
    const inner = (client.websocket as unknown as { _socket: Socket })._socket
    inner.pause()
    for (let i = 0; i < 5_000; i++) client.websocket.send(`m${i}`)
    const other = await Client.open(url, '/websocket/test')
    other.websocket.send('x')
    await other.untilReplies(1)
    inner.resume()
    await client.untilReplies(5_000)
    expect(values(verbs).filter(value => value !== 'x')).to.deep.equal(Array.from({ length: 5_000 }, (_, i) => `m${i}`))
    for (const each of [client, other]) each.websocket.terminate()
  })

  it('arion 33: nothing more is read while replies wait for their reader', async () => {
    const verbs = byHand()
    // While nothing is read the end of the client is not seen: silence ends it.
    const settings = { idleTimeoutMs: 3_000 }
    const { url } = await serve({ verbs, settings })
    const client = connect(Number(new URL(url).port), '127.0.0.1')
    client.write(handshake('/websocket/test'))
    await once(client, 'data')
    client.pause()
    const pieces = Buffer.concat(Array.from({ length: 1_000 }, () => frame('x')))
    // Settles what comes until the gateway reads nothing more: the kernel's buffers and its own are full of replies.
    let settled = 0
    let quietTurns = 0
    let accepted = true
    while (quietTurns < 300) {
      if (accepted) accepted = client.write(pieces)
      else if (client.writableNeedDrain === false) accepted = true
      await new Promise(setImmediate)
      if (settled === verbs.calls.length) quietTurns++
      else quietTurns = 0
      for (; settled < verbs.calls.length; settled++) {
        const call = verbs.calls[settled]!
        call.settle(call.records.map(() => delivered()))
      }
    }
    const taken = verbs.records.length
    expect(taken).to.be.below(200_000)
    client.resume()
    await untilTaken(verbs, taken + 1)
    client.destroy()
    await untilNothingIsHeld(served)
  }).timeout(60_000)

  it('arion 34: a request without an upgrade, in another version or with a malformed topic is refused', async () => {
    const { url, verbs } = await serve()
    for (const method of ['GET', 'POST']) {
      const plain = await ask(url, method, '/websocket/test')
      expect([plain.status, plain.body]).to.deep.equal([400, 'expected websocket request'])
      expect(plain.headers.get('content-type')).to.match(/^text\/plain/)
      expect(plain.headers.get('connection')).to.equal('close')
    }
    const old = await RawSocket.open(url)
    await old.send(
      handshake('/websocket/test', ['sec-websocket-version: 99', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='])
    )
    expect(await old.untilClosed())
      .to.match(/^HTTP\/1\.1 426 /)
      .and.match(/\r\nsec-websocket-version: 13\r\n/i)
    const keyless = await RawSocket.open(url)
    await keyless.send(handshake('/websocket/test', ['sec-websocket-version: 13']))
    expect(await keyless.untilClosed())
      .to.match(/^HTTP\/1\.1 400 /)
      .and.match(/expected websocket request$/)
    const topic = await RawSocket.open(url)
    await topic.send(handshake('/websocket/te%20st'))
    expect(await topic.untilClosed())
      .to.match(/^HTTP\/1\.1 400 /)
      .and.match(/\{"status":"error","error":"malformed topic"\}$/)
    const elsewhere = await RawSocket.open(url)
    await elsewhere.send(handshake('/sync/test'))
    expect(await elsewhere.untilClosed()).to.match(/^HTTP\/1\.1 404 /)
    const put = await ask(url, 'PUT', '/websocket/test')
    expect(jsonOf(put).error).to.equal('unknown resource')
    expect(verbs.calls).to.deep.equal([])
  })

  it('a thousand messages are in flight at most, and the next are read when some are answered', async () => {
    const verbs = byHand()
    const { url, metric } = await serve({ verbs })
    const client = await Client.open(url, '/websocket/test/key')
    for (let i = 0; i < 30_000; i++) client.websocket.send(`m${i}`)
    await untilTaken(verbs, 1_000)
    await aFewTurns()
    expect(verbs.records).to.have.length(1_000)
    expect(await metric('castellan_arion_websocket_messages_in_flight')).to.equal(1_000)
    // What waits unread in the chunk that was read last, and nothing of what delivery has.
    expect(await metric('castellan_http_bodies_in_flight_bytes')).to.be.below(70_000)
    for (let settled = 0; client.replies.length < 30_000; ) {
      for (; settled < verbs.calls.length; settled++) {
        const call = verbs.calls[settled]!
        call.settle(call.records.map(() => delivered()))
      }
      await new Promise(setImmediate)
    }
    expect(values(verbs)).to.deep.equal(Array.from({ length: 30_000 }, (_, i) => `m${i}`))
    expect(await metric('castellan_arion_websocket_messages_in_flight')).to.equal(0)
    client.websocket.terminate()
  }).timeout(60_000)

  it('messages of which not the first ones were taken end the websocket, for their order is lost', async () => {
    const refuse = (_: unknown, index: number) => (index === 0 ? failure('overloaded') : undefined)
    const { url } = await serve({ verbs: new FakeVerbs({ refuse }) })
    const socket = await RawSocket.open(url)
    await socket.send(Buffer.concat([Buffer.from(handshake('/websocket/test')), frame('a'), frame('b')]))
    const received = await socket.until(text => text.includes('a message was refused'))
    expect(received).not.to.include('"status":"sent"')
    socket.destroy()
  })

  it('text that is no UTF-8, and what is no frame, close it with their codes', async () => {
    const { url, verbs } = await serve()
    for (const [bytes, code] of [
      [frame(Buffer.from([0xff])), 1007],
      [Buffer.from([0xf1, 0x80, 0, 0, 0, 0]), 1002],
      [Buffer.from([0x81, 0x01, 0x41]), 1002]
    ] as const) {
      const socket = await RawSocket.open(url)
      await socket.send(Buffer.concat([Buffer.from(handshake('/websocket/test')), bytes]))
      const received = Buffer.from(await socket.until(text => text.includes('\x88')), 'latin1')
      const close = received.indexOf(0x88)
      expect(received.readUInt16BE(close + 2)).to.equal(code)
      socket.destroy()
    }
    expect(verbs.calls).to.deep.equal([])
    await untilNothingIsHeld(served)
  })

  it('arion 40: the process stops reading, answers what it has, and closes with 1001', async () => {
    const verbs = byHand()
    const { url, http } = await serve({ verbs })
    const client = await Client.open(url, '/websocket/test')
    client.websocket.send('x')
    await untilTaken(verbs, 1)
    const drained = http.drain(60_000)
    await new Promise(sent => client.websocket.send('too late', sent))
    await aFewTurns()
    expect(client.closed).to.equal(undefined)
    verbs.calls[0]!.settle([delivered(0, 9)])
    expect((await client.untilClosed()).code).to.equal(1001)
    expect(client.replies.map(({ offset }) => offset)).to.deep.equal([9])
    await drained
    expect(values(verbs)).to.deep.equal(['x'])
  })

  it('a client that leaves costs nothing: what it sent is produced, and nothing is held', async () => {
    const verbs = byHand()
    const { url, metric } = await serve({ verbs })
    for (const end of ['terminate', 'close'] as const) {
      const client = await Client.open(url, '/websocket/test')
      const before = verbs.records.length
      for (let i = 0; i < 100; i++) client.websocket.send('x')
      await untilTaken(verbs, before + 100)
      client.websocket[end]()
    }
    await untilNothingIsHeld(served)
    expect(await metric('castellan_arion_websocket_messages_in_flight')).to.equal(0)
    expect(await metric('castellan_http_upgraded_connections')).to.equal(0)
    for (const call of verbs.calls) call.settle(call.records.map(() => delivered()))
    await new Promise(setImmediate)
    expect(served.lines.filter(({ level }) => level !== 'debug')).to.deep.equal([])
  })

  it('large messages in the making count as bodies in flight', async () => {
    const { url, metric } = await serve({ http: { maxBodiesInFlightBytes: 300_000 } })
    const client = await Client.open(url, '/websocket/test')
    client.websocket.send(Buffer.alloc(250_000), { fin: false })
    await until(async () => (await metric('castellan_http_bodies_in_flight_bytes')) > 200_000, 'bytes in flight')
    const other = await Client.open(url, '/websocket/test')
    other.websocket.send(Buffer.alloc(250_000), { fin: false })
    expect((await other.untilClosed()).code).to.equal(1013)
    client.websocket.send(Buffer.alloc(1))
    await client.untilReplies(1)
    client.websocket.terminate()
    await untilNothingIsHeld(served)
  })

  it('control frames are not held', async () => {
    const { url, metric } = await serve()
    const client = await Client.open(url, '/websocket/test')
    for (let i = 0; i < 1_000; i++) client.websocket.pong(Buffer.alloc(100))
    client.websocket.ping()
    await once(client.websocket, 'pong')
    expect(await metric('castellan_http_bodies_in_flight_bytes')).to.equal(0)
    client.websocket.terminate()
    await untilNothingIsHeld(served)
  })

  it('a message of the largest size may come in fragments of 256 bytes, and in no smaller ones', async () => {
    const maxMessageBytes = 1024 * 1024
    const { url, verbs } = await serve({ settings: { maxMessageBytes } })
    const client = await Client.open(url, '/websocket/test')
    const sendIn = (fragments: number, sizeBytes: number): void => {
      for (let i = 1; i <= fragments; i++) client.websocket.send(Buffer.alloc(sizeBytes), { fin: i === fragments })
    }
    sendIn(maxMessageBytes / 256, 256)
    await client.untilReplies(1)
    expect(verbs.records[0]!.value).to.have.length(maxMessageBytes)
    sendIn(1 + maxMessageBytes / 256, 1)
    expect((await client.untilClosed()).code).to.equal(1008)
    await untilNothingIsHeld(served)
  })

  it('fragments of a byte that each keep a chunk in memory end the websocket', async () => {
    const { url } = await serve({ settings: { maxMessageBytes: 10_000 } })
    const socket = await RawSocket.open(url)
    await socket.send(handshake('/websocket/test'))
    await socket.until(received => received.includes('\r\n\r\n'))
    const pongs = Array.from({ length: 480 }, () => frame(Buffer.alloc(125), 10))
    const fragment = (opcode: number): Buffer =>
      Buffer.concat([Buffer.from([opcode, 0x81, 0, 0, 0, 0, 0x78]), ...pongs])
    await socket.send(fragment(1))
    for (let i = 0; i < 1_000 && !socket.isClosed; i++) await socket.send(fragment(0))
    await untilNothingIsHeld(served)
    expect(socket.received).to.include('too many fragments')
  })

  it('a message in the making stays counted when those before it are answered', async () => {
    const { url, metric } = await serve()
    const client = await Client.open(url, '/websocket/test')
    client.websocket.send('whole')
    client.websocket.send(Buffer.alloc(250_000), { fin: false })
    await client.untilReplies(1)
    const inFlight = (): Promise<number> => metric('castellan_http_bodies_in_flight_bytes')
    await until(async () => (await inFlight()) >= 250_000, 'bytes in flight')
    expect(await inFlight()).to.be.below(251_000)
    client.websocket.send(Buffer.alloc(1))
    await client.untilReplies(2)
    await until(async () => (await metric('castellan_http_bodies_in_flight_bytes')) === 0, 'nothing held')
    client.websocket.terminate()
    await untilNothingIsHeld(served)
  })

  it('web pages of others are refused', async () => {
    const { url } = await serve()
    const websocket = new WebSocket(`${url.replace(/^http/, 'ws')}/websocket/test`, { origin: 'https://evil.example' })
    const [error] = (await once(websocket, 'error')) as [Error]
    expect(error.message).to.include('403')
  })
})
