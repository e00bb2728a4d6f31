import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { configOf, type Guarded, startGuarded, TestFolder } from '../../support/access.js'
import { RawSocket } from '../../support/raw-socket.js'

const TOKEN = `castellan_${'a'.repeat(43)}`

/** Source: HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4. */
describe('cloudevents: the question of a sender whether it may send', function () {
  this.timeout(30_000)
  let folder: TestFolder
  let guarded: Guarded
  beforeEach(() => (folder = new TestFolder()))
  afterEach(async () => {
    await guarded.stop()
    folder.remove()
  })

  const start = async (isGuarded = false, http: object = {}): Promise<void> => {
    const sha256 = createHash('sha256').update(TOKEN).digest('hex')
    const rules = [{ principals: ['grid'], operations: ['produce'], topics: ['orders'] }]
    const access = isGuarded ? { auth: { tokens: [{ principal: 'grid', sha256 }] }, access: { rules } } : {}
    guarded = await startGuarded(configOf(folder, { http: { port: 0, ...http }, management: { port: 0 }, ...access }))
  }
  const ask = async (method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<string> => {
    const socket = await RawSocket.open(guarded.http.urls.shared)
    const lines = Object.entries({ host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    await socket.send(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
    const answer = await socket.until(text => text.includes('\r\n\r\n'))
    socket.destroy()
    return answer
  }
  const consentOf = (answer: string): Record<string, string> =>
    Object.fromEntries(
      [...answer.matchAll(/^(webhook-[\w-]+|allow|content-length): (.*)\r$/gim)].map(([, name, value]) => [
        name!.toLowerCase(),
        value!
      ])
    )
  const GRID = { 'WebHook-Request-Origin': 'eventgrid.azure.net' }
  const CONSENT = {
    allow: 'POST',
    'webhook-allowed-origin': 'eventgrid.azure.net',
    'webhook-allowed-rate': '*',
    'content-length': '0'
  }

  it('is answered with consent, with the origin and the rate that are asked for', async () => {
    await start()
    const plain = await ask('OPTIONS', '/events/orders?code=secret', GRID)
    expect(plain).to.match(/^HTTP\/1\.1 200 OK\r\n/)
    expect(consentOf(plain)).to.deep.equal(CONSENT)
    const rated = await ask('OPTIONS', '/events/orders', { ...GRID, 'WebHook-Request-Rate': '120' })
    expect(consentOf(rated)).to.deep.equal({ ...CONSENT, 'webhook-allowed-rate': '120' })
    for (const rate of ['0', '-1', '1e9', 'many', '9'.repeat(20)])
      expect(
        consentOf(await ask('OPTIONS', '/events/orders', { ...GRID, 'WebHook-Request-Rate': rate })),
        rate
      ).to.deep.equal(CONSENT)
  })

  it('is answered alike without credentials, whatever the topic is, and gives no permission', async () => {
    await start(true)
    for (const topic of ['orders', 'secret', '..%2f', 'x'.repeat(300)])
      expect(consentOf(await ask('OPTIONS', `/events/${topic}`, GRID)), topic).to.deep.equal(CONSENT)
    const event = {
      'ce-id': '1',
      'ce-source': 's',
      'ce-type': 't',
      'ce-specversion': '1.0',
      ...GRID,
      'content-length': '0'
    }
    expect(await ask('POST', '/events/orders', event)).to.match(/^HTTP\/1\.1 401 /)
    const authorization = `Bearer ${TOKEN}`
    expect(await ask('POST', '/events/secret', { ...event, authorization })).to.match(/^HTTP\/1\.1 403 /)
    expect(await ask('POST', '/events/orders', { ...event, authorization })).to.match(/^HTTP\/1\.1 204 /)
  })

  it('calls no address that it names', async () => {
    await start()
    const called: string[] = []
    const { createServer } = await import('node:http')
    const server = createServer((request, response) => {
      called.push(request.url!)
      response.end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const callback = `http://127.0.0.1:${port}/confirm?key=1`
    const answer = await ask('OPTIONS', '/events/orders', { ...GRID, 'WebHook-Request-Callback': callback })
    expect(consentOf(answer)).to.deep.equal(CONSENT)
    expect(answer).not.to.include('confirm')
    await guarded.stop()
    server.close()
    expect(called).to.deep.equal([])
  })

  it('is refused where the origin is no name, and to web pages of other sites', async () => {
    await start()
    for (const origin of ['a b', 'http://evil.example/', 'a,b', '<script>', 'x'.repeat(254), '\xe9'])
      expect(await ask('OPTIONS', '/events/orders', { 'WebHook-Request-Origin': origin }), origin).to.match(
        /^HTTP\/1\.1 400 /
      )
    for (const foreign of [
      { origin: 'https://evil.example' },
      { host: 'evil.example' },
      { 'sec-fetch-site': 'cross-site' }
    ])
      expect(await ask('OPTIONS', '/events/orders', { ...GRID, ...foreign })).to.match(/^HTTP\/1\.1 403 /)
  })

  it('is one only with an origin, and only where events are sent to', async () => {
    await start(true)
    const plain = await ask('OPTIONS', '/events/orders', { authorization: `Bearer ${TOKEN}` })
    expect(plain).to.match(/^HTTP\/1\.1 405 /)
    expect(consentOf(plain)).to.include({ allow: 'GET, POST, OPTIONS' })
    for (const path of ['/events/orders/acks', '/events/orders/tail', '/events', '/kprf/push', '/arion/sync/t', '/']) {
      const answer = await ask('OPTIONS', path, GRID)
      expect(answer, path).to.match(/^HTTP\/1\.1 401 /)
      expect(answer, path).not.to.match(/webhook/i)
    }
  })

  it('leaves the question of a page that may send to CORS', async () => {
    await start(false, { allowedOrigins: ['https://app.example'] })
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
    expect(await ask('OPTIONS', '/events/orders', { ...preflight, ...GRID })).to.match(/^HTTP\/1\.1 204 /)
  })
})
