import { expect } from 'chai'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import { gate, loudApi, type Started, type StartSettings, startHttp, until, untilNothingIsHeld } from './stage.js'

type Gates = NonNullable<Parameters<typeof loudApi>[0]>

const MIB = 1024 * 1024
const HELD = 'castellan_http_bodies_in_flight_bytes'
const IN_FLIGHT = 'castellan_http_requests_in_flight'
const CONNECTIONS = 'castellan_http_connections'

const head = (line: string, ...headers: string[]): string =>
  `${line} HTTP/1.1\r\nHost: localhost\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`
const CHUNKED = 'Transfer-Encoding: chunked'

/** Requests whose body nobody reads, each in the middle of a chunk. */
const unread: [string, string][] = [
  ['GET /', head('GET /', CHUNKED)],
  ['a 404', head('POST /nowhere', CHUNKED)],
  ["an API's 404", head('POST /loud/nowhere', CHUNKED)],
  ['OPTIONS', head('OPTIONS /loud/push', CHUNKED)],
  ['a 415', head('POST /kprf/push', CHUNKED, 'Content-Type: text/plain')],
  ['a 405', head('PUT /kprf/push', CHUNKED)],
  ["kprf's 404", head('POST /kprf/nowhere', CHUNKED)],
  ['a path that cannot be decoded', head('POST /%zz', CHUNKED)],
  ['HEAD', head('HEAD /loud/topics/a', CHUNKED)],
  ['a body that waits for 100 Continue', head('GET /', CHUNKED, 'Expect: 100-continue')],
  ['an expectation of another kind', head('GET /', CHUNKED, 'Expect: the-unexpected')],
  ['an upgrade', head('GET /', CHUNKED, 'Connection: upgrade', 'Upgrade: websocket')]
]
const waitingPush = (gateName: string, body = 'x'): string =>
  `${head(`POST /loud/hold/${gateName}`, `Content-Length: ${body.length}`)}${body}`

/** How such a body begins, and how it ends. */
const endings: [string, string, (socket: RawSocket) => unknown][] = [
  ['cut by RST', '5\r\nab', socket => socket.reset()],
  ['cut by FIN', '5\r\nab', socket => socket.destroy()],
  ['ended by half', '5\r\nab', socket => socket.end()],
  ['with a bad chunk', '5\r\nabcde', socket => socket.send('XX\r\n')],
  ['with a bad chunk size', '', socket => socket.send('xyz\r\n')]
]

describe('request bodies', () => {
  let started: Started
  const gates: Gates = new Map()
  const start = async (http: object = {}, settings: StartSettings = {}): Promise<Started> =>
    (started = await startHttp({ http, plugin: loudApi(gates), verbs: new FakeVerbs(), ...settings }))
  const isAlive = async (): Promise<void> => {
    const response = await fetch(`${started.http.urls.shared}/loud/push`, { method: 'POST', body: 'four' })
    expect(await response.json()).to.deep.equal({ LOUD: 4 })
  }
  /** Until the server is idle but for connections a test holds. */
  const untilReleased = async (): Promise<void> => {
    for (const name of [HELD, IN_FLIGHT]) await until(async () => (await started.metric(name)) === 0, `${name} 0`)
  }
  afterEach(() => started.http.close())

  for (const [end, bytes, finish] of endings) {
    it(`unread bodies of answered requests are released when they end ${end}`, async () => {
      await start()
      const sockets = await Promise.all(unread.map(() => RawSocket.open(started.http.urls.shared)))
      await until(async () => (await started.metric(CONNECTIONS)) === unread.length, 'the connections')
      await Promise.all(
        sockets.map(async (socket, i) => {
          await socket.send(unread[i]![1] + bytes)
          finish(socket)
          await socket.untilClosed()
          socket.destroy()
        })
      )
      await isAlive()
      await untilNothingIsHeldBut()
    })

    it(`unread bodies behind a waiting request are released when they end ${end}`, async () => {
      await start()
      const security = unread.map((_, i) => gate(gates, String(i)))
      const sockets = await Promise.all(
        unread.map(async ([, request], i) => {
          const socket = await RawSocket.open(started.http.urls.shared)
          await socket.send(waitingPush(String(i)) + request + bytes)
          await security[i]!.arrived
          return socket
        })
      )
      for (const name of [HELD, IN_FLIGHT]) expect(await started.metric(name), name).to.be.at.least(unread.length)
      for (const socket of sockets) finish(socket)
      await isAlive()
      for (const requestAccess of security) requestAccess.release()
      await Promise.all(sockets.map(socket => socket.untilClosed()))
      for (const socket of sockets) socket.destroy()
      await untilNothingIsHeldBut()
    })
  }

  it('requests whose bodies are not read are answered while the memory for bodies is full', async () => {
    await start({ maxBodiesInFlightBytes: 1_000 })
    const requestAccess = gate(gates, 'full')
    const full = await RawSocket.open(started.http.urls.shared)
    await full.send(waitingPush('full', 'x'.repeat(1_000)))
    await requestAccess.arrived
    for (const [name, request] of unread) {
      const answer = await RawSocket.open(started.http.urls.shared)
      await answer.send(`${request}5\r\nabcde\r\n0\r\n\r\n`)
      expect(await answer.until(text => /HTTP\/1\.1 [2-5]/.test(text)), name).to.match(/HTTP\/1\.1 [245]/)
      answer.reset()
    }
    const refused = await askRaw(started.http.urls.shared, `${head('POST /kprf/push', CHUNKED)}5\r\nabcde\r\n0\r\n\r\n`)
    expect(refused).to.match(/^HTTP\/1\.1 503 /)
    requestAccess.release()
    expect(await full.until(text => text.includes('held'))).to.match(/^HTTP\/1\.1 200 /)
    full.destroy()
    await untilNothingIsHeldBut()
  })

  it('a client that is still sending reads the answer that refuses it', async () => {
    await start({ perAddress: { maxBodiesInFlightBytes: 1_000_000 } })
    const body = Buffer.alloc(8 * MIB, 32)
    const refused: [string, RegExp][] = [
      [head('POST /kprf/push', `Content-Length: ${17 * MIB}`), /^HTTP\/1\.1 413 /],
      [`${head('POST /kprf/push', CHUNKED)}${(17 * MIB).toString(16)}\r\n`, /^HTTP\/1\.1 503 /],
      [`${head('POST /loud/push', CHUNKED)}${(17 * MIB).toString(16)}\r\n`, /^HTTP\/1\.1 503 /],
      [head('POST /kprf/push', `Content-Length: ${17 * MIB}`, 'Origin: http://evil.example'), /^HTTP\/1\.1 403 /]
    ]
    for (const [request, expected] of refused) {
      const socket = await RawSocket.open(started.http.urls.shared)
      await socket.send(request)
      await Promise.race([socket.send(body), socket.untilClosed()])
      await socket.until(text => text.includes('\r\n\r\n'))
      expect(socket.received, request).to.match(expected)
      socket.destroy()
    }
    await untilNothingIsHeldBut()
  })

  it('a request that breaks in the middle of its body does not take the answers before it along', async () => {
    await start()
    const requestAccess = gate(gates, 'before')
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(`${waitingPush('before')}${head('POST /loud/push', CHUNKED)}xyz\r\n`)
    await requestAccess.arrived
    requestAccess.release()
    const answers = await socket.untilClosed()
    expect(answers.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 200', 'HTTP/1.1 400'])
    socket.destroy()
    await untilNothingIsHeldBut()
  })

  it('who waits for 100 Continue gets it when the body is wanted, and only then', async () => {
    await start()
    const wanted = await RawSocket.open(started.http.urls.shared)
    await wanted.send(head('POST /loud/push', 'Content-Length: 4', 'Expect: 100-continue'))
    expect(await wanted.until(text => text.includes('\r\n\r\n'))).to.equal('HTTP/1.1 100 Continue\r\n\r\n')
    await wanted.send('four')
    expect(await wanted.until(text => text.includes('LOUD'))).to.match(/HTTP\/1\.1 200 .*keep-alive.*\{"LOUD":4\}/s)
    wanted.destroy()
    const unwanted = await askRaw(
      started.http.urls.shared,
      head('POST /nowhere', 'Content-Length: 4', 'Expect: 100-continue')
    )
    expect(unwanted).to.match(/^HTTP\/1\.1 404 /)
    await untilNothingIsHeldBut()
  })

  for (const [agent, answer] of [
    ['Java-http-client/17.0.15', /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 404 /],
    ['Java-http-client/20', /^HTTP\/1\.1 404 /]
  ] as const)
    it(`${agent} is asked for ${agent.includes('17') ? 'each' : 'no'} body, wanted or not`, async () => {
      await start()
      const unwanted = ['Content-Length: 4', 'Expect: 100-continue', 'Connection: close', `User-Agent: ${agent}`]
      expect(await askRaw(started.http.urls.shared, head('POST /nowhere', ...unwanted))).to.match(answer)
      await untilNothingIsHeldBut()
    })

  it('cutting a connection releases the bodies of all its requests', async () => {
    await start()
    const requestAccess = gate(gates, 'first')
    const sockets = await Promise.all(Array.from({ length: 41 }, () => RawSocket.open(started.http.urls.shared)))
    for (const socket of sockets) {
      await socket.send(
        `${waitingPush('first')}${head('POST /loud/push', 'Content-Length: 16777216')}${'x'.repeat(400)}`
      )
    }
    await until(async () => (await started.metric(IN_FLIGHT)) === 82, '82 requests in flight')
    await until(async () => (await started.metric(HELD)) === 41 * 401, '16,441 bytes')
    for (const socket of sockets) socket.reset()
    await untilNothingIsHeldBut()
    requestAccess.release()
  })

  it('sockets that announce much and send nothing keep no other client from writing', async () => {
    await start()
    const idle = await Promise.all(Array.from({ length: 8 }, () => RawSocket.open(started.http.urls.shared)))
    for (const socket of idle) await socket.send(head('POST /kprf/push', 'Content-Length: 16777216'))
    await until(async () => (await started.metric(IN_FLIGHT)) === 8, '8 requests in flight')
    expect(await started.metric(HELD)).to.equal(0)
    await isAlive()
    for (const socket of idle) socket.reset()
  })

  it('stalled bodies that hold all the memory are refused in favour of a body that arrives', async () => {
    await start({ maxBodiesInFlightBytes: 4 * MIB, maxBodyBytes: 2 * MIB })
    const idle = await Promise.all(Array.from({ length: 4 }, () => RawSocket.open(started.http.urls.shared)))
    const part = Buffer.alloc(MIB - 10)
    for (const socket of idle) {
      await socket.send(head('POST /loud/push', `Content-Length: ${2 * MIB}`))
      await socket.send(part)
    }
    await until(async () => (await started.metric(HELD)) === 4 * part.length, 'all of it')
    const push = async (): Promise<boolean> => {
      const body = Buffer.alloc(100_000)
      return (await fetch(`${started.http.urls.shared}/loud/push`, { method: 'POST', body })).status === 200
    }
    expect(await push()).to.equal(true)
    await until(() => idle.some(({ answers }) => answers > 0), 'a refusal')
    expect(idle.map(({ received }) => received.slice(0, 12)).filter(Boolean)).to.deep.equal(['HTTP/1.1 503'])
    for (const socket of idle) socket.reset()
    await untilNothingIsHeldBut()
  })

  it('make capacity for a small one, too, right after a large one has found none', async () => {
    const maxBodiesInFlightBytes = 4 * MIB
    await start({ maxBodiesInFlightBytes, maxBodyBytes: 2 * MIB }, { now: () => 1 })
    const idle = await Promise.all(Array.from({ length: 4 }, () => RawSocket.open(started.http.urls.shared)))
    const part = Buffer.alloc(MIB - 10)
    for (const socket of idle) {
      await socket.send(head('POST /loud/push', `Content-Length: ${2 * MIB}`))
      await socket.send(part)
    }
    await until(async () => (await started.metric(HELD)) === 4 * part.length, 'all of it')
    await idle[0]!.send(Buffer.alloc(100_000))
    await until(() => idle[0]!.answers > 0, 'a refusal of the large one')
    await idle[0]!.destroy()
    const filler = await RawSocket.open(started.http.urls.shared)
    await filler.send(head('POST /loud/push', `Content-Length: ${2 * MIB}`))
    await filler.send(part)
    await until(async () => (await started.metric(HELD)) === 4 * part.length, 'all of it again')
    const body = Buffer.alloc(1_000)
    const small = await fetch(`${started.http.urls.shared}/loud/push`, { method: 'POST', body })
    expect(small.status).to.equal(200)
    for (const socket of [...idle, filler]) socket.reset()
    await untilNothingIsHeldBut()
  })

  it('a body that does not come in time is answered 408', async () => {
    await start({ requestTimeoutMs: 100, admissionWaitMs: 100 })
    const slow = await RawSocket.open(started.http.urls.shared)
    await slow.send(`${head('POST /loud/push', 'Content-Length: 1000')}abc`)
    expect(await slow.untilClosed()).to.match(/^HTTP\/1\.1 408 /)
    slow.destroy()
    const discarded = await RawSocket.open(started.http.urls.shared)
    await discarded.send(`${head('POST /nowhere', 'Content-Length: 1000')}abc`)
    expect(await discarded.untilClosed()).to.match(/^HTTP\/1\.1 404 /)
    discarded.destroy()
    await untilNothingIsHeldBut()
  })

  it('a connection whose bodies hold its share is read again once requests are answered', async () => {
    await start({ maxBodyBytesPerConnection: 100_000 })
    const requestAccess = gate(gates, 'share')
    const socket = await RawSocket.open(started.http.urls.shared)
    const body = 'y'.repeat(90_000)
    const push = head('POST /loud/hold/share', `Content-Length: ${body.length}`) + body
    void socket.send(waitingPush('share') + push.repeat(40))
    await requestAccess.arrived
    await until(async () => (await started.metric(HELD)) >= 100_000, 'the share')
    await isAlive()
    // What one read of the socket holds may come on top.
    expect(await started.metric(HELD)).to.be.below(100_000 + 2 * 65_536)
    requestAccess.release()
    await socket.until(() => socket.answers === 41)
    expect(socket.answers).to.equal(41)
    socket.destroy()
    await untilNothingIsHeldBut()
  })

  it('a connection with many waiting requests is read again once requests are answered', async () => {
    await start({ maxRequestsPerConnection: 10 })
    const requestAccess = gate(gates, 'many')
    const socket = await RawSocket.open(started.http.urls.shared)
    const requests = 5_000
    void socket.send(waitingPush('many') + head('GET /loud/topics/a', `X: ${'x'.repeat(200)}`).repeat(requests))
    await requestAccess.arrived
    await isAlive()
    expect(await started.metric(IN_FLIGHT)).to.be.within(10, 1_000)
    requestAccess.release()
    await socket.until(() => socket.answers === requests + 1)
    socket.destroy()
    await untilNothingIsHeldBut()
  })

  describe('an address', () => {
    it('has no more connections than it may', async () => {
      await start({ perAddress: { maxConnections: 2 } })
      const held = [await RawSocket.open(started.http.urls.shared), await RawSocket.open(started.http.urls.shared)]
      const further = await RawSocket.open(started.http.urls.shared)
      expect(await further.untilClosed()).to.equal('')
      for (const socket of held) socket.destroy()
      await untilNothingIsHeld(started)
      await isAlive()
    })

    it('has no more requests in flight than it may', async () => {
      await start({ perAddress: { maxRequestsInFlight: 1 } })
      const requestAccess = gate(gates, 'only')
      const first = await RawSocket.open(started.http.urls.shared)
      await first.send(waitingPush('only'))
      await requestAccess.arrived
      const second = await RawSocket.open(started.http.urls.shared)
      await second.send(waitingPush('only'))
      expect(await second.until(text => text.includes('LOUD'))).to.match(/^HTTP\/1\.1 429 .*quotaExceeded/s)
      requestAccess.release()
      await first.until(text => text.includes('held'))
      first.destroy()
      second.destroy()
      await untilNothingIsHeldBut()
    })

    it('holds no more body bytes than it may', async () => {
      await start({ perAddress: { maxBodiesInFlightBytes: 1_000 } })
      const push = async (sizeBytes: number): Promise<number> =>
        (await fetch(`${started.http.urls.shared}/loud/push`, { method: 'POST', body: 'x'.repeat(sizeBytes) })).status
      expect([await push(1_000), await push(1_001), await push(1_000)]).to.deep.equal([200, 503, 200])
      await untilReleased()
    })
  })

  it('bytes of a body count however many headers came before', async () => {
    const manyHeaders = 'a:\r\n'.repeat(1_500)
    await start({ maxHeaders: 10_000 })
    const requestAccess = gate(gates, 'headers')
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(
      `POST /loud/hold/headers HTTP/1.1\r\nHost: localhost\r\n${manyHeaders}Content-Length: 5000\r\n\r\n${'x'.repeat(5_000)}`
    )
    await requestAccess.arrived
    expect(await started.metric(HELD)).to.equal(5_000)
    requestAccess.release()
    await socket.until(text => text.includes('held'))
    socket.destroy()
    await untilNothingIsHeldBut()
  })

  it('unread chunks count for what they cost', async () => {
    let release = (): void => undefined
    const released = new Promise<void>(resolve => (release = resolve))
    await start(
      {},
      {
        plugin: async app => {
          app.addHook('onRequest', () => released)
          await loudApi()(app)
        }
      }
    )
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(`${head('POST /loud/push', CHUNKED)}${'1\r\na\r\n'.repeat(1_000)}0\r\n\r\n`)
    await until(async () => (await started.metric(HELD)) >= 320 * 1_000, 'more than the bytes')
    release()
    expect(await socket.until(text => text.includes('LOUD'))).to.contain('{"LOUD":1000}')
    socket.destroy()
    await untilNothingIsHeldBut()
  })

  it('a body that is refused before it is read is never taken for a complete one', async () => {
    let release = (): void => undefined
    const released = new Promise<void>(resolve => (release = resolve))
    await start(
      { maxBodiesInFlightBytes: 10_000 },
      {
        plugin: async app => {
          app.addHook('onRequest', (request: { method: string }) =>
            request.method === 'PUT' ? Promise.resolve() : released
          )
          await loudApi(gates)(app)
          app.put('/wait', async () => {
            await released
            return {}
          })
        }
      }
    )
    const holder = await RawSocket.open(started.http.urls.shared)
    await holder.send(`${head('PUT /loud/wait', 'Content-Length: 9000')}${'x'.repeat(9_000)}`)
    await until(async () => (await started.metric(HELD)) === 9_000, '9000 bytes')
    const late = await RawSocket.open(started.http.urls.shared)
    await late.send(`${head('POST /loud/push', CHUNKED)}1\r\na\r\n7d0\r\n${'y'.repeat(2_000)}\r\n1\r\nb\r\n0\r\n\r\n`)
    await until(async () => (await started.metric(IN_FLIGHT)) === 2, '2 requests in flight')
    await isAliveOnManagement()
    release()
    expect(await late.until(text => text.includes('LOUD'))).to.match(/^HTTP\/1\.1 503 .*"overloaded"/s)
    for (const socket of [holder, late]) socket.destroy()
    await untilNothingIsHeldBut()
  })

  const isAliveOnManagement = async (): Promise<void> => {
    expect((await fetch(`${started.http.urls.management}/health-check`)).status).to.equal(200)
  }
  /** `fetch` keeps connections of its own open. */
  const untilNothingIsHeldBut = async (): Promise<void> => {
    await untilReleased()
    await started.http.close()
    await untilNothingIsHeld(started)
  }
})
