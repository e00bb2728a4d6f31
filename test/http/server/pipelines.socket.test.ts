import { setImmediate as nextTick } from 'node:timers/promises'
import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { gate, loudApi, type Started, startHttp, until, untilNothingIsHeld } from './stage.js'

const PIPELINED = 300

/** As many as a server needs to read what has come, if it does. */
async function aFewTicks(): Promise<void> {
  for (let ticks = 20; ticks > 0; ticks--) await nextTick()
}

/** Notes which topics are produced to. */
class NotingVerbs extends FakeVerbs {
  readonly written: string[] = []
  onFirst: () => void = () => undefined

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    this.written.push(records[0]!.topic)
    if (this.written.length === 1) this.onFirst()
    return super.produce(records, options)
  }
}

const push = (topic: string): string => {
  const body = `{"records":[{"topic":"${topic}","data":"x"}],"wait_for_send":true}`
  return `POST /kprf/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

describe('pipelined requests', () => {
  let started: Started
  afterEach(() => started.http.close())

  it('of one connection do not hold up those of another, and keep their order', async () => {
    const verbs = new NotingVerbs()
    started = await startHttp({ http: { maxRequestsPerConnection: PIPELINED }, verbs })
    const [flood, innocent] = await Promise.all([0, 1].map(() => RawSocket.open(started.http.urls.shared)))
    verbs.onFirst = () => void innocent!.send(push('innocent'))
    const names = Array.from({ length: PIPELINED }, (_, index) => `flood-${index}`)
    await flood!.send(names.map(push).join(''))
    await innocent!.until(() => innocent!.answers === 1)
    expect(verbs.written.indexOf('innocent')).to.be.within(1, PIPELINED / 2)
    await flood!.until(() => flood!.answers === PIPELINED)
    expect(verbs.written.filter(topic => topic !== 'innocent')).to.deep.equal(names)
    for (const client of [flood!, innocent!]) client.destroy()
    await untilNothingIsHeld(started)
  })

  it('that offer HTTP/2, as those of Java do, are handled with their bodies over one connection', async () => {
    const verbs = new NotingVerbs()
    started = await startHttp({ verbs })
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAA\r\nUpgrade: h2c\r\n'
    const requests = Array.from({ length: 100 }, (_, at) =>
      push(`orders-${at}`).replace('content-', `${offer}content-`)
    )
    const client = await RawSocket.open(started.http.urls.shared)
    for (const [at, request] of requests.slice(0, 90).entries()) {
      await client.send(request)
      await client.until(() => client.answers === at + 1)
    }
    await client.send(requests.slice(90).join(''))
    await client.until(() => client.answers === requests.length)
    expect(verbs.written).to.deep.equal(requests.map((_, at) => `orders-${at}`))
    client.destroy()
    await untilNothingIsHeld(started)
  })

  const badHeads = {
    'two hosts': 'POST /kprf/push HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 0\r\n\r\n',
    'an expectation that nobody meets':
      'POST /kprf/push HTTP/1.1\r\nhost: a\r\nexpect: tea\r\ncontent-length: 0\r\n\r\n',
    'an upgrade that is not granted':
      'GET /ready HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
  }
  for (const [name, bad] of Object.entries(badHeads)) {
    it(`behind ${name} are not handled, since they get no answer`, async () => {
      const verbs = new NotingVerbs()
      started = await startHttp({ verbs })
      const client = await RawSocket.open(started.http.urls.shared)
      await client.send(push('before') + bad + push('behind'))
      await client.untilClosed()
      expect(verbs.written).to.deep.equal(['before'])
      expect(client.answers).to.equal(2)
      await untilNothingIsHeld(started)
    })
  }

  const post = (path: string, headers: string, bytes: number): string =>
    `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headers}content-length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
  const lasts: Readonly<Record<string, string>> = {
    '431': post('/kprf/push', `x-trace: ${'x'.repeat(14_000)}\r\n`, 3),
    '413': post('/kprf/push', 'content-type: application/json\r\n', 2_000)
  }
  for (const [status, last] of Object.entries(lasts)) {
    it(`behind a last answer, a ${status} that waits for an earlier one, are not handled`, async () => {
      const gates: Parameters<typeof gate>[0] = new Map()
      const verbs = new NotingVerbs()
      started = await startHttp({
        http: { recordHeaders: ['x-trace'], maxBodyBytes: 1_000 },
        verbs,
        plugin: loudApi(gates)
      })
      const one = gate(gates, 'one')
      const client = await RawSocket.open(started.http.urls.shared)
      await client.send(post('/loud/hold/one', '', 0) + push('before') + last + push('behind').repeat(20))
      await one.arrived
      await until(() => verbs.written.length > 0, 'the request before')
      await aFewTicks()
      await client.send(push('later').repeat(20))
      await aFewTicks()
      one.release()
      const received = await client.untilClosed()
      expect(received.match(/HTTP\/1.1 \d+/g)).to.deep.equal(['200', '200', status].map(each => `HTTP/1.1 ${each}`))
      expect(verbs.written).to.deep.equal(['before'])
      await untilNothingIsHeld(started)
    })
  }

  it(`that cannot begin end their connection behind the open ones when there is no memory for them`, async () => {
    const gates: Parameters<typeof gate>[0] = new Map()
    const limits = { maxRequestsPerConnection: 2, maxBodiesInFlightBytes: 3_000 }
    started = await startHttp({ http: { ...limits }, plugin: loudApi(gates) })
    const post = (path: string, bytes: number): string =>
      `POST /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
    const [one, two] = [gate(gates, 'one'), gate(gates, 'two')]
    const client = await RawSocket.open(started.http.urls.shared)
    await client.send(post('/hold/one', 400) + post('/hold/two', 400) + post('/push', 2_000).repeat(2))
    await Promise.all([one.arrived, two.arrived])
    expect(await started.metric('castellan_http_bodies_in_flight_bytes')).to.equal(800)
    for (let ticks = 20; ticks > 0; ticks--) await nextTick()
    for (const { release } of [two, one]) release()
    const received = await client.untilClosed()
    expect(received.match(/HTTP\/1.1 \d+/g)).to.deep.equal([200, 200, 503].map(status => `HTTP/1.1 ${status}`))
    await untilNothingIsHeld(started)
  })

  it(`with chunked bodies that wait are answered although others have taken the capacity`, async () => {
    const gates: Parameters<typeof gate>[0] = new Map()
    started = await startHttp({ http: { maxBodiesInFlightBytes: 3_000 }, plugin: loudApi(gates) })
    const hold = (name: string, bytes: number): string =>
      `POST /loud/hold/${name} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`
    const unusual = 'GET /loud/topics/a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: keep-alive, x\r\n\r\n'
    const [one, two] = [gate(gates, 'one'), gate(gates, 'two')]
    const [other, client] = await Promise.all([0, 1].map(() => RawSocket.open(started.http.urls.shared)))
    await other!.send(hold('one', 2_990))
    await one.arrived
    await client!.send(hold('two', 0) + unusual.repeat(3))
    await two.arrived
    two.release()
    await client!.until(() => client!.answers === 4)
    expect(client!.received.match(/HTTP\/1.1 \d+/g)).to.deep.equal(Array(4).fill('HTTP/1.1 200'))
    one.release()
    for (const each of [other!, client!]) each.destroy()
    await untilNothingIsHeld(started)
  })

  const body = (name: string): string => `{"records":[{"topic":"${name}","data":"x"}],"wait_for_send":true}`
  const usual = 'POST /kprf/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n'
  const streamed = {
    'a chunked body': (name: string) =>
      `${usual}transfer-encoding: chunked\r\n\r\n${body(name).length.toString(16)}\r\n${body(name)}\r\n0\r\n\r\n`,
    'an expectation': (name: string) =>
      `${usual}expect: 100-continue\r\ncontent-length: ${body(name).length}\r\n\r\n${body(name)}`
  }
  for (const [what, strange] of Object.entries(streamed)) {
    it(`come to the gateway behind one with ${what} that arrived with them`, async () => {
      const verbs = new NotingVerbs()
      started = await startHttp({ verbs })
      const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
      const client = await RawSocket.open(started.http.urls.shared)
      await client.send(names.map((name, at) => (at % 3 === 1 ? strange(name) : push(name))).join(''))
      await client.until(() => verbs.written.length === names.length)
      expect(verbs.written).to.deep.equal(names)
      client.destroy()
      await untilNothingIsHeld(started)
    })
  }

  it(`are not read while as many as allowed are open`, async () => {
    const gates: Parameters<typeof gate>[0] = new Map()
    started = await startHttp({ http: { maxRequestsPerConnection: 2 }, plugin: loudApi(gates) })
    const post = (path: string): string =>
      `POST /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`
    const [one, two] = [gate(gates, 'one'), gate(gates, 'two')]
    const client = await RawSocket.open(started.http.urls.shared)
    await client.send(post('/hold/one') + post('/hold/two') + post('/push'))
    await Promise.all([one.arrived, two.arrived])
    await until(async () => (await started.metric('castellan_http_requests_in_flight')) === 2, 'all requests')
    await client.send(post('/push'))
    await aFewTicks()
    expect(await started.metric('castellan_http_requests_in_flight')).to.equal(2)
    for (const { release } of [one, two]) release()
    await client.until(() => client.answers === 4)
    client.destroy()
    await untilNothingIsHeld(started)
  })

  it('that are waiting are dropped with their connection', async () => {
    const verbs = new NotingVerbs()
    started = await startHttp({ http: { maxRequestsPerConnection: PIPELINED }, verbs })
    const flood = await RawSocket.open(started.http.urls.shared)
    const arrived = new Promise<void>(resolve => (verbs.onFirst = resolve))
    await flood.send(Array.from({ length: PIPELINED }, () => push('flood')).join(''))
    await arrived
    flood.reset()
    await untilNothingIsHeld(started)
    expect(verbs.written.length).to.be.lessThan(PIPELINED)
  })
})
