import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { expect } from 'chai'
import { call, configOf, type Guarded, startGuarded, TestFolder } from '../../support/access.js'
import { RawSocket } from '../../support/raw-socket.js'

const PAGE = 'https://app.example'
const EXPOSED =
  'location,retry-after,x-request-id,x-castellan-persisted,x-castellan-receipt,x-castellan-idempotency,idempotent-replayed,preference-applied,' +
  'x-castellan-warning,x-castellan-next,x-castellan-offsets,x-castellan-skipped,x-castellan-load-balancer,' +
  'x-castellan-token,x-castellan-delivery-count,x-castellan-lock-ms,x-castellan-partition,x-castellan-offset,' +
  'x-castellan-key,x-castellan-last-delivery,x-castellan-null,*'
const TOKEN = `castellan_${'a'.repeat(43)}`

/** Headers of requests to endpoints of webhooks, which no page reads. */
const TO_ENDPOINTS = /^src\/(?:webhooks|server\/webhooks|cli)\b/

describe('CORS', function () {
  this.timeout(30_000)
  let folder: TestFolder
  let guarded: Guarded | undefined
  beforeEach(() => (folder = new TestFolder()))
  afterEach(async () => {
    await guarded?.stop()
    guarded = undefined
    folder.remove()
  })

  const start = async (http: object, isGuarded = false): Promise<void> => {
    const sha256 = createHash('sha256').update(TOKEN).digest('hex')
    const rules = { principals: ['page'], operations: ['produce', 'consume', 'offsets'], topics: ['*'], groups: ['*'] }
    const access = isGuarded ? { auth: { tokens: [{ principal: 'page', sha256 }] }, access: { rules: [rules] } } : {}
    guarded = await startGuarded(configOf(folder, { http: { port: 0, ...http }, management: { port: 0 }, ...access }))
  }
  const ask = (
    method: string,
    path: string,
    headers: Record<string, string>,
    body?: string,
    base = guarded!.http.urls.shared
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> =>
    call(`${base}${path}`, { method, headers, ...(body !== undefined && { body }) })
  const preflight = (path: string, origin = PAGE, headers: Record<string, string> = {}) =>
    ask('OPTIONS', path, { origin, 'access-control-request-method': 'POST', ...headers })
  const corsOf = (headers: IncomingHttpHeaders): Record<string, unknown> =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => /^access-control-|^vary$/.test(name)))

  const PATHS = ['/kprf/push', '/arion/sync/t', '/pixy/topics/t/messages', '/kafboy/sync/t', '/confluent/v3/clusters']
  const records = '{"records":[{"topic":"t","data":"d"}]}'

  it('names every header of ours, for with credentials a browser takes * for a name', () => {
    const sources = readdirSync('src', { withFileTypes: true, recursive: true })
      .filter(entry => entry.isFile() && !TO_ENDPOINTS.test(entry.parentPath))
      .map(entry => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    const named = sources.flatMap(source => source.match(/x-castellan-[a-z]+(-[a-z]+)*/g) ?? [])
    // Clients send this one, and no answer has it.
    const ofAnswers = new Set(named.filter(name => name !== 'x-castellan-undecodable'))
    expect([...ofAnswers].filter(name => !EXPOSED.split(',').includes(name))).to.deep.equal([])
  })

  it('answers the question whether a page may send a request, for every API, without credentials', async () => {
    await start({ allowedOrigins: [PAGE] }, true)
    for (const path of [...PATHS, '/strimzi/topics', '/none', '/']) {
      const { status, headers, body } = await preflight(path, PAGE, {
        'access-control-request-headers': 'authorization, content-type,x-own'
      })
      expect([status, body], path).to.deep.equal([204, ''])
      expect(corsOf(headers), path).to.deep.equal({
        'access-control-allow-origin': PAGE,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET,HEAD,POST,PUT,PATCH,DELETE',
        'access-control-allow-headers': 'authorization, content-type,x-own',
        'access-control-expose-headers': EXPOSED,
        'access-control-max-age': '600',
        vary: 'origin, access-control-request-method, access-control-request-headers'
      })
    }
  })

  it('lets the page read each answer, also one that refuses it', async () => {
    await start({ allowedOrigins: [PAGE] }, true)
    const push = (headers: Record<string, string>) => ask('POST', '/kprf/push', { origin: PAGE, ...headers }, records)
    const readable = {
      'access-control-allow-origin': PAGE,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': EXPOSED,
      vary: 'origin'
    }
    const refused = await push({})
    expect([refused.status, corsOf(refused.headers)]).to.deep.equal([401, readable])
    const served = await push({ authorization: `Bearer ${TOKEN}` })
    expect([served.status, corsOf(served.headers)]).to.deep.equal([200, readable])
    expect(served.headers).to.include.keys('x-request-id', 'x-castellan-persisted')
    for (const path of [...PATHS, '/strimzi/topics', '/none', '/openapi.json']) {
      const { headers } = await ask('GET', path, { origin: PAGE, authorization: `Bearer ${TOKEN}` })
      expect({ ...corsOf(headers), vary: headers.vary?.split(',')[0] }, path).to.deep.equal(readable)
    }
  })

  it('tells pages that are not allowed nothing, and answers that depend on the page say so', async () => {
    await start({ allowedOrigins: [PAGE, 'https://other.example'] })
    for (const origin of ['https://evil.example', 'null', `${PAGE}.evil.example`, 'http://app.example', '*']) {
      for (const asked of [preflight('/kprf/push', origin), ask('GET', '/confluent/v3/clusters', { origin })]) {
        const { status, headers } = await asked
        expect([status, corsOf(headers)], origin).to.deep.equal([403, { vary: 'origin' }])
      }
    }
    const other = await ask('POST', '/kprf/push', { origin: 'https://OTHER.example' }, records)
    expect([other.status, other.headers['access-control-allow-origin']]).to.deep.equal([200, 'https://OTHER.example'])
    expect(corsOf((await ask('GET', '/', {})).headers)).to.deep.equal({ vary: 'origin, accept, accept-encoding' })
  })

  it('says of each answer that it depends on the page, also where the request names none', async () => {
    await start({ allowedOrigins: [PAGE] })
    const json = { 'content-type': 'application/json' }
    const v2 = { 'content-type': 'application/vnd.kafka.json.v2+json' }
    const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }
    const requests: [method: string, path: string, headers?: Record<string, string>, body?: string][] = [
      ['POST', '/kprf/push', json, records],
      ['POST', '/kprf/push', { ...json, 'idempotency-key': 'k' }, records],
      ['POST', '/arion/sync/t', {}, 'd'],
      ['POST', '/arion/async/t', {}, 'd'],
      ['GET', '/arion/health-check'],
      ['POST', '/pixy/topics/t/messages?sync', { 'content-type': 'text/plain' }, 'd'],
      ['GET', '/pixy/topics'],
      ['GET', '/pixy/_ping'],
      ['POST', '/kafboy/sync/t', json, '{"a":1}'],
      ['POST', '/kafboy/disco'],
      ['POST', '/confluent/topics/t', v2, '{"records":[{"value":1}]}'],
      ['POST', '/confluent/v3/clusters/c/topics/t/records', json, '{"value":{"type":"STRING","data":"d"}}'],
      ['GET', '/confluent/topics'],
      ['POST', '/strimzi/topics/t', v2, '{"records":[{"value":1}]}'],
      ['GET', '/strimzi/topics'],
      ['POST', '/events/t', event, 'd'],
      ['GET', '/openapi.json'],
      ['GET', '/receipts/none'],
      ['GET', '/none'],
      ['DELETE', '/kprf/push']
    ]
    const silent: string[] = []
    // Answers behind which the connection ends are written in another way.
    for (const [method, path, headers = {}, body = ''] of requests) {
      const socket = await RawSocket.open(guarded!.http.urls.shared)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
      const head = `${method} ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n`
      await socket.send(`${head}${lines.join('')}\r\n${body}`)
      const answer = await socket.until(text => text.includes('\r\n\r\n'))
      if (!/^vary: origin\b/im.test(answer)) silent.push(`${method} ${path}: ${answer.slice(9, 12)}`)
      socket.destroy()
    }
    expect(silent).to.deep.equal([])
    expect((await ask('GET', '/', {})).headers.vary).to.equal('origin, accept, accept-encoding')
  })

  it('allows credentials to no page where any origin is allowed', async () => {
    await start({ allowedOrigins: ['*'] })
    for (const { headers } of [
      await preflight('/kprf/push'),
      await ask('POST', '/kprf/push', { origin: PAGE }, records)
    ]) {
      expect(headers['access-control-allow-origin']).to.equal('*')
      expect(headers).not.to.have.property('access-control-allow-credentials')
    }
  })

  it('repeats no names of headers that are not names', async () => {
    await start({ allowedOrigins: [PAGE] })
    for (const names of ['a b', 'a,,b', 'a;b', `${'x,'.repeat(200)}x`]) {
      const { status, headers } = await preflight('/kprf/push', PAGE, { 'access-control-request-headers': names })
      expect([status, headers['access-control-allow-headers']], names).to.deep.equal([204, undefined])
    }
  })

  it('is not there without allowed origins, nor on the management port', async () => {
    await start({})
    expect((await preflight('/kprf/push')).status).to.equal(403)
    const { status, headers } = await ask('POST', '/kprf/push', {}, records)
    expect([status, corsOf(headers)]).to.deep.equal([200, {}])
    await guarded!.stop()
    await start({ allowedOrigins: [PAGE] })
    const probe = await ask('GET', '/health-check', { origin: PAGE }, undefined, guarded!.http.urls.management!)
    expect(corsOf(probe.headers)).to.deep.equal({})
  })

  it('leaves other uses of OPTIONS to the API', async () => {
    await start({ allowedOrigins: [PAGE] })
    expect((await ask('OPTIONS', '/strimzi/topics', { origin: PAGE })).status).to.equal(405)
    expect((await ask('OPTIONS', '/strimzi/topics', { 'access-control-request-method': 'GET' })).status).to.equal(405)
  })
})
