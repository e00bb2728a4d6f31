import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { ListenError } from '../../../src/core/listen-error.js'
import { sendAnswer } from '../../../src/http/exchange/answers.js'
import { type Gate, gate, loudApi, type Started, sendRaw, startHttp } from './stage.js'

type Gates = Parameters<typeof loudApi>[0]

describe('http', () => {
  let started: Started | undefined
  afterEach(async () => {
    await started?.http.close()
    started = undefined
  })
  const start = async (...settings: Parameters<typeof startHttp>): Promise<Started> =>
    (started = await startHttp(...settings))

  it('gives APIs all the time they need to load', async () => {
    let limitMs: number | undefined
    await start({ plugin: async app => void (limitMs = app.initialConfig.pluginTimeout) })
    expect(limitMs).to.equal(0)
  })

  describe('the shared port', () => {
    it('mounts an API under its prefix', async () => {
      const { http } = await start()
      const response = await fetch(`${http.urls.shared}/loud/push`, { method: 'POST', body: 'four' })
      expect(response.status).to.equal(200)
      expect(await response.json()).to.deep.equal({ LOUD: 4 })
    })

    it('lists the APIs at / and names the prefixes where nothing is', async () => {
      const { http } = await start()
      const front = await fetch(http.urls.shared)
      expect(front.status).to.equal(200)
      expect(await front.text()).to.include('\n# loud\n')
      const missing = await fetch(`${http.urls.shared}/push`)
      expect(missing.status).to.equal(404)
      expect((await missing.json()) as object).to.deep.include({ error: 'not found', prefixes: ['/loud'] })
    })

    it('reads no body that comes to a path which nobody serves, whatever its type', async () => {
      const { urls } = (await start()).http
      for (const url of [`${urls.shared}/nowhere`, `${urls.management}/nowhere`]) {
        for (const type of ['application/json', 'text/plain', 'text/xml']) {
          const answer = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body: '{"__proto__":' })
          expect(answer.status).to.equal(404)
          expect(await answer.json()).to.include({ error: 'not found' })
        }
      }
    })

    it('leaves the 404 below a prefix to its api', async () => {
      const { http } = await start()
      const response = await fetch(`${http.urls.shared}/loud/nothing`)
      expect(await response.json()).to.deep.equal({ LOUD: 'not here' })
    })

    it('takes topic names of 249 characters, percent-encoded too', async () => {
      const { http } = await start()
      const topic = 't'.repeat(249)
      const encoded = topic.replaceAll('t', '%74')
      for (const path of [topic, encoded]) {
        const response = await fetch(`${http.urls.shared}/loud/topics/${path}`)
        expect(await response.json()).to.deep.equal({ LOUD: topic })
      }
    })

    it('serves the same on a unix socket that only owner and group may use', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'castellan-'))
      try {
        const socketPath = join(directory, 'castellan.sock')
        const { http } = await start({ http: { unixSocket: socketPath } })
        expect(http.urls.unixSocket).to.equal(`unix:${socketPath}`)
        expect(statSync(socketPath).mode & 0o777).to.equal(0o660)
        const status = await new Promise(resolve =>
          httpRequest({ socketPath, path: '/loud/topics/a' }, response => {
            response.resume()
            resolve(response.statusCode)
          }).end()
        )
        expect(status).to.equal(200)
      } finally {
        await started?.http.close()
        rmSync(directory, { recursive: true })
      }
    })

    it('names the port and the flag when the port is taken', async () => {
      const other = createServer()
      await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
      const { port } = other.address() as { port: number }
      try {
        const error = await startHttp({ http: { port } }).then(
          () => undefined,
          reason => reason as unknown
        )
        expect(error).to.be.instanceOf(ListenError)
        expect((error as Error).message).to.equal(
          `port ${port} on 127.0.0.1 is taken; choose another with --port (http.port) (0 means any free one)`
        )
      } finally {
        other.close()
      }
    })
  })

  describe("an API's own port", () => {
    it('has the paths at its root, and the API’s 404', async () => {
      const { http } = await start({ own: true })
      const url = http.urls.apis.get('loud')!
      expect(await (await fetch(`${url}/topics/a%2Fb?x=1`)).json()).to.deep.equal({ LOUD: 'a/b' })
      expect(await (await fetch(url)).json()).to.deep.equal({ LOUD: 'not here' })
      expect(await (await fetch(`${url}/loud/topics/a`)).json()).to.deep.equal({ LOUD: 'not here' })
    })

    it('understands a request line with a whole URL', async () => {
      const { http } = await start({ own: true })
      const url = http.urls.apis.get('loud')!
      const answer = await sendRaw(
        url,
        'GET http://localhost/topics/a HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n'
      )
      expect(answer).to.match(/^HTTP\/1\.1 200 /)
    })
  })

  describe('request ids', () => {
    const idFor = async (http: Started['http'], given?: string): Promise<string | null> => {
      const headers: Record<string, string> = given === undefined ? {} : { 'x-request-id': given }
      return (await fetch(`${http.urls.shared}/loud/topics/a`, { headers })).headers.get('x-request-id')
    }

    it('repeats the id of the client', async () => {
      const { http } = await start()
      expect(await idFor(http, 'abc-123_~')).to.equal('abc-123_~')
    })

    it('makes its own for none, and for one that is long or not printable', async () => {
      const { http } = await start()
      for (const given of [undefined, 'x'.repeat(129), 'a b', 'a"b', 'a\\b', 'a\u00e9']) {
        expect(await idFor(http, given)).to.match(/^test-[0-9a-z]+$/)
      }
      expect(await idFor(http, 'x'.repeat(128))).to.have.length(128)
    })

    it('never gives the same twice', async () => {
      const { http } = await start()
      const ids = await Promise.all(Array.from({ length: 50 }, () => idFor(http)))
      expect(new Set(ids)).to.have.property('size', 50)
    })

    it('logs it with a request that failed, and no values', async () => {
      const { http, lines } = await start({
        plugin: async app => {
          app.get('/topics/:topic', () => Promise.reject(new Error('bug')))
        }
      })
      await fetch(`${http.urls.shared}/loud/topics/secret-topic?token=hush`, { headers: { 'x-request-id': 'mine' } })
      await started!.http.close()
      expect(lines).to.have.length(1)
      expect(lines[0]).to.have.property('message', 'request failed')
      expect(lines[0]!.fields).to.deep.include({
        requestId: 'mine',
        method: 'GET',
        route: '/loud/topics/:topic',
        status: 500
      })
      expect(JSON.stringify(lines)).to.not.match(/secret-topic|hush/)
    })

    it('logs why a request failed, by its code', async () => {
      const { http, lines } = await start({
        plugin: async app => {
          app.get('/denied', (_, reply) => {
            sendAnswer(reply.raw, 500, 'text/plain', 'no', {
              requestId: 'mine',
              persisted: undefined,
              cause: { code: 'notAuthorized', retriable: false }
            })
          })
        }
      })
      await fetch(`${http.urls.shared}/loud/denied`)
      await started!.http.close()
      expect(lines[0]!.fields).to.deep.include({ status: 500, err: { code: 'notAuthorized' } })
    })

    it('does not log probes that are told what they ask for', async () => {
      const { http, lines, reasons } = await start()
      reasons.push('no broker answers')
      expect((await fetch(`${http.urls.management}/ready`)).status).to.equal(503)
      await started!.http.close()
      expect(lines).to.deep.equal([])
    })
  })

  describe('bodies in flight', () => {
    const hold = (http: Started['http'], name: string, body: string, chunked = false): Promise<Response> =>
      fetch(`${http.urls.shared}/loud/hold/${name}`, {
        method: 'POST',
        ...(chunked ? { body: new Blob([body]).stream(), duplex: 'half' } : { body })
      } as RequestInit)

    const holding = async (chunked: boolean): Promise<{ first: Promise<Response>; requestAccess: Gate }> => {
      const gates: Gates = new Map()
      const requestAccess = gate(gates!, 'one')
      await start({ http: { maxBodiesInFlightBytes: 1000 }, plugin: loudApi(gates) })
      const first = hold(started!.http, 'one', 'x'.repeat(900), chunked)
      await requestAccess.arrived
      return { first, requestAccess }
    }

    for (const chunked of [false, true]) {
      const kind = chunked ? 'chunked' : 'announced'
      it(`are counted when ${kind}, refused in the API’s words beyond the limit, and forgotten afterwards`, async () => {
        const { first, requestAccess } = await holding(chunked)
        const url = `${started!.http.urls.shared}/loud/push`
        const push = (): Promise<Response> =>
          fetch(url, {
            method: 'POST',
            ...(chunked ? { body: new Blob(['y'.repeat(200)]).stream(), duplex: 'half' } : { body: 'y'.repeat(200) })
          } as RequestInit)
        const refused = await push()
        expect(refused.status).to.equal(503)
        expect(await refused.json()).to.deep.equal({ LOUD: 'overloaded' })
        expect(await started!.metricsText()).to.contain('castellan_http_bodies_in_flight_bytes 900\n')
        requestAccess.release()
        expect((await first).status).to.equal(200)
        await (await first).text()
        expect((await push()).status).to.equal(200)
        await started!.http.drain(60_000)
        expect(await started!.metricsText()).to.contain('castellan_http_bodies_in_flight_bytes 0\n')
      })
    }

    it('are given back when the client leaves in the middle of one', async () => {
      const { http, metricsText } = await start()
      const { port } = new URL(http.urls.shared)
      const request = httpRequest({ port, path: '/loud/push', method: 'POST', headers: { 'content-length': '500' } })
      request.on('error', () => undefined)
      request.write('half')
      await untilMetrics(metricsText, 'castellan_http_bodies_in_flight_bytes 4\n')
      request.destroy()
      await untilMetrics(metricsText, 'castellan_http_bodies_in_flight_bytes 0\n')
      await untilMetrics(metricsText, 'castellan_http_requests_total{api="loud",method="POST",status="aborted"} 1\n')
    })

    it('are answered 413 where one is larger than the limit, announced or not', async () => {
      const { http } = await start({ http: { maxBodyBytes: 100 } })
      const url = `${http.urls.shared}/loud/push`
      expect((await fetch(url, { method: 'POST', body: 'x'.repeat(101) })).status).to.equal(413)
      const chunked = { method: 'POST', body: new Blob(['x'.repeat(101)]).stream(), duplex: 'half' } as RequestInit
      expect((await fetch(url, chunked)).status).to.equal(413)
      expect((await fetch(url, { method: 'POST', body: 'x'.repeat(100) })).status).to.equal(200)
    })
  })

  describe('the management port', () => {
    it('tells that the process serves, which version, which broker', async () => {
      const { http } = await start()
      const response = await fetch(`${http.urls.management}/health-check`)
      expect(response.status).to.equal(200)
      expect(await response.json()).to.deep.equal({
        status: 'ok',
        broker: 'embedded',
        version: '1.2.3',
        uptimeSeconds: 5
      })
    })

    it('is ready without reasons against it', async () => {
      const { http, reasons } = await start()
      const ready = await fetch(`${http.urls.management}/ready`)
      expect([ready.status, await ready.json()]).to.deep.equal([200, { ready: true, reasons: [], warnings: [] }])
      reasons.push('no broker answers')
      const unready = await fetch(`${http.urls.management}/ready`)
      expect([unready.status, await unready.json()]).to.deep.equal([
        503,
        { ready: false, reasons: ['no broker answers'], warnings: [] }
      ])
    })

    it('exports requests by API, method and status', async () => {
      const { http } = await start()
      await (await fetch(`${http.urls.shared}/loud/topics/a`)).text()
      await (await fetch(`${http.urls.shared}/loud/topics/b`)).text()
      await (await fetch(`${http.urls.shared}/nowhere`)).text()
      const response = await fetch(`${http.urls.management}/metrics`)
      expect(response.headers.get('content-type')).to.match(/^text\/plain/)
      const text = await response.text()
      expect(text).to.contain('castellan_http_requests_total{api="loud",method="GET",status="200"} 2\n')
      expect(text).to.contain('castellan_http_requests_total{api="none",method="GET",status="404"} 1\n')
      expect(text).to.contain('castellan_http_request_seconds_count{api="loud",method="GET"} 2\n')
    })

    it('has nothing else, and nothing of it stands on the shared port', async () => {
      const { http } = await start()
      const elsewhere = await fetch(`${http.urls.management}/loud/topics/a`)
      expect(elsewhere.status).to.equal(404)
      expect(await elsewhere.text()).to.include('this is the management port, without the APIs')
      expect((await fetch(`${http.urls.management}/metrics`, { method: 'POST' })).status).to.equal(405)
      for (const path of ['/metrics', '/ready', '/health-check']) {
        expect((await fetch(http.urls.shared + path)).status).to.equal(404)
      }
    })
  })

  describe('draining', () => {
    it('finishes the requests it has and refuses new ones, while the management port goes on', async () => {
      const gates: Gates = new Map()
      const requestAccess = gate(gates!, 'one')
      const { http } = await start({ plugin: loudApi(gates) })
      const first = fetch(`${http.urls.shared}/loud/hold/one`, { method: 'POST', body: 'x' })
      await requestAccess.arrived
      let drained = false
      const drain = http.drain(60_000).then(() => (drained = true))
      expect((await fetch(`${http.urls.management}/health-check`)).status).to.equal(200)
      const refused = await fetch(`${http.urls.shared}/loud/topics/a`).then(
        () => 'connected',
        () => 'refused'
      )
      expect(refused).to.equal('refused')
      expect(drained).to.equal(false)
      requestAccess.release()
      expect((await first).status).to.equal(200)
      await drain
    })

    it('cuts what is not finished in time', async () => {
      const gates: Gates = new Map()
      const requestAccess = gate(gates!, 'one')
      const { http } = await start({ plugin: loudApi(gates) })
      const held = fetch(`${http.urls.shared}/loud/hold/one`, { method: 'POST', body: 'x' }).then(
        () => 'answered',
        () => 'cut'
      )
      await requestAccess.arrived
      await http.drain(10)
      await http.cut()
      expect(await held).to.equal('cut')
      requestAccess.release()
    })

    it('refuses a request on an open connection in the API’s words, and closes it', async () => {
      const { http } = await start()
      http.refuse()
      const answer = await sendRaw(http.urls.shared, 'GET /loud/topics/a HTTP/1.1\r\nHost: x\r\n\r\n')
      expect(answer).to.match(/^HTTP\/1\.1 503 /)
      expect(answer).to.match(/^connection: close\r$/m)
      expect(answer).to.contain('{"LOUD":"shuttingDown"}')
    })
  })

  describe('strict parsing', () => {
    const cases: [string, string, RegExp][] = [
      [
        'both lengths',
        'POST /loud/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        /^HTTP\/1\.1 400/
      ],
      [
        'two lengths',
        'POST /loud/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
        /^HTTP\/1\.1 400/
      ],
      ['a bare line feed', 'GET /loud/topics/a HTTP/1.1\nHost: x\n\n', /^HTTP\/1\.1 400/],
      ['a space before the colon', 'GET /loud/topics/a HTTP/1.1\r\nHost : x\r\n\r\n', /^HTTP\/1\.1 400/],
      ['a negative length', 'POST /loud/push HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', /^HTTP\/1\.1 400/],
      ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000', /^HTTP\/1\.1 400/],
      ['no host', 'GET / HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400/],
      ['17 KB of headers', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(17 * 1024)}\r\n\r\n`, /^HTTP\/1\.1 431/]
    ]
    for (const [name, bytes, expected] of cases) {
      it(`answers ${name} once and closes`, async () => {
        const { http } = await start()
        const answer = await sendRaw(http.urls.shared, bytes)
        expect(answer).to.match(expected)
        expect(answer.match(/HTTP\/1\.1/g)).to.have.length(1)
      })
    }

    it('answers 408 to headers that do not come, and to a body that does not', async () => {
      const { http } = await start({ http: { headersTimeoutMs: 100, requestTimeoutMs: 200 } })
      const answers = await Promise.all([
        sendRaw(http.urls.shared, 'GET / HTTP/1.1\r\nHost:'),
        sendRaw(http.urls.shared, 'POST /loud/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab')
      ])
      for (const answer of answers) expect(answer).to.match(/^HTTP\/1\.1 408 /)
    })

    for (const [limit, limits] of [
      ['all', { maxConnections: 1 }],
      ['address', { perAddress: { maxConnections: 1 } }]
    ] as const) {
      it(`closes connections beyond the limit, and counts them: ${limit}`, async () => {
        const { http, metricsText } = await start({ http: limits })
        const held = sendRaw(http.urls.shared, 'GET / HTTP/1.1\r\nHost: x\r\n')
        expect(await sendRaw(http.urls.shared, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).to.equal('')
        await untilMetrics(metricsText, `castellan_http_connections_refused_total{limit="${limit}"} 1\n`)
        await http.close()
        await held
      })
    }
  })
})

async function untilMetrics(read: () => Promise<string>, line: string): Promise<void> {
  const giveUpAt = performance.now() + 30_000
  while (!(await read()).includes(line)) {
    if (performance.now() > giveUpAt) throw new Error(`never saw ${line}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}
