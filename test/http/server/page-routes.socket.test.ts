import { createHash } from 'node:crypto'
import { expect } from 'chai'
import { InvalidRequestError } from '../../../src/core/errors.js'
import type { PageSource } from '../../../src/http/server/page-routes.js'
import type { RecordQuestion } from '../../../src/http/status/record-question.js'
import { type Started, sendRaw, startHttp } from './stage.js'

const HTML = '<!doctype html><style>b{}</style><script>let a</script>'
const FOUND = { verdict: 'yes', message: 'It is.', records: [], searched: [], notSearched: 0 } as const

describe('the page of the management port', () => {
  let started: Started
  let asked: RecordQuestion[]
  let html: string | undefined
  let find: PageSource['findRecord']
  let page: PageSource
  beforeEach(async () => {
    asked = []
    html = HTML
    find = async question => {
      asked.push(question)
      return { ...FOUND, records: [], searched: [] }
    }
    page = { html: async () => html, findRecord: (...all) => find(...all) }
    started = await startHttp({ page })
  })
  afterEach(() => started.http.close())

  const post = (body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${started.http.urls.management}/find-record`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  const aKey = { by: 'key', topic: 'orders', key: 'k' }

  it('may use what it came with, and ask the gateway; no page may frame it', async () => {
    const response = await fetch(`${started.http.urls.management}/`)
    expect(await response.text()).to.equal(HTML)
    const hash = (text: string): string => createHash('sha256').update(text).digest('base64')
    expect(response.headers.get('content-security-policy')).to.equal(
      `default-src 'none'; script-src 'sha256-${hash('let a')}'; style-src 'sha256-${hash('b{}')}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
    )
    expect(response.headers.get('content-type')).to.equal('text/html; charset=utf-8')
    expect(response.headers.get('x-content-type-options')).to.equal('nosniff')
    expect(response.headers.get('x-frame-options')).to.equal('DENY')
    expect(response.headers.get('referrer-policy')).to.equal('no-referrer')
    expect(response.headers.get('access-control-allow-origin')).to.equal(null)
  })

  it('counts the work of a search to the client that asks', async () => {
    const askers: unknown[] = []
    find = async (_, asker) => {
      askers.push(asker)
      return { ...FOUND, records: [], searched: [] }
    }
    await post(aKey)
    expect(askers).to.deep.equal([{ principal: 'anonymous', client: 'address 127.0.0.1' }])
  })

  it('has a HEAD; other methods of the port are answered 405 with those that the path takes', async () => {
    expect((await fetch(`${started.http.urls.management}/`, { method: 'HEAD' })).status).to.equal(200)
    const answered = async (method: string, path: string): Promise<string> => {
      const { status, headers } = await fetch(`${started.http.urls.management}${path}`, { method })
      return `${method} ${path}: ${status}, ${headers.get('allow')}`
    }
    const answers = ['/', '/ready', '/metrics?a=1'].map(path => answered('POST', path))
    expect(await Promise.all([...answers, answered('GET', '/find-record'), answered('PUT', '/none')])).to.deep.equal([
      'POST /: 405, GET, HEAD',
      'POST /ready: 405, GET, HEAD',
      'POST /metrics?a=1: 405, GET, HEAD',
      'GET /find-record: 405, POST',
      'PUT /none: 404, null'
    ])
  })

  it('is missing where it was not built, and says how to build it', async () => {
    html = undefined
    const response = await fetch(`${started.http.urls.management}/`)
    expect(response.status).to.equal(404)
    expect(await response.text()).to.include('npm run build')
  })

  it('is on no other port', async () => {
    expect(await (await fetch(`${started.http.urls.shared}/`)).text()).to.match(/^# castellan /)
    const found = await fetch(`${started.http.urls.shared}/find-record`, { method: 'POST' })
    expect(found.status).to.equal(404)
  })

  it('passes on a question about a record, and lets no cache have the answer', async () => {
    const response = await post(aKey)
    expect(response.status).to.equal(200)
    expect(response.headers.get('cache-control')).to.equal('no-store')
    expect(await response.json()).to.deep.equal(FOUND)
    expect(asked).to.deep.equal([aKey])
  })

  it('takes __proto__ as a topic, and an empty key', async () => {
    expect((await post({ by: 'key', topic: '__proto__', key: '' })).status).to.equal(200)
    expect(asked).to.deep.equal([{ by: 'key', topic: '__proto__', key: '' }])
  })

  it('refuses questions of another form', async () => {
    for (const body of [{}, { by: 'key', topic: '' }, { ...aKey, more: 1 }, [], 'text', { by: 'receipt' }])
      expect((await post(body)).status).to.equal(400)
    const { message } = (await (await post({ topic: 'orders', key: 'k1' })).json()) as { message: string }
    expect(message).to.include('{"by":"key","topic":"…","key":"…"}')
    expect(asked).to.deep.equal([])
  })

  it('refuses a body that cannot be read in the words of its other answers', async () => {
    const url = `${started.http.urls.management}/find-record`
    const bodies = [
      ['application/json', '{"by":', 400],
      ['application/json', '', 400],
      ['text/csv', 'by,key', 415],
      ['application/json', `"${'x'.repeat(256 * 1024)}"`, 413]
    ] as const
    for (const [type, body, status] of bodies) {
      const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body })
      const answer = (await response.json()) as { error: string; message: string }
      expect([response.status, Object.keys(answer), answer.error]).to.deep.equal([
        status,
        ['error', 'message'],
        'invalidRequest'
      ])
      expect(response.headers.get('cache-control')).to.equal('no-store')
    }
    expect(asked).to.deep.equal([])
  })

  it('looks for no key on behalf of a proxy, whose clients may be anywhere', async () => {
    for (const name of ['x-forwarded-for', 'forwarded', 'via', 'x-real-ip']) {
      const response = await post(aKey, { [name]: '10.0.0.7' })
      expect(response.status).to.equal(403)
    }
    expect(asked).to.deep.equal([])
  })

  it('looks for no key where the request shows that a proxy passed it on', async () => {
    const { port } = new URL(started.http.urls.management!)
    const body = JSON.stringify(aKey)
    const ask = (version: string, host: string): Promise<string> =>
      sendRaw(
        started.http.urls.management!,
        `POST /find-record HTTP/${version}\r\nhost: ${host}:${port}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
      )
    expect(await ask('1.0', '127.0.0.1')).to.match(/^HTTP\/1.1 403 /)
    for (const host of ['localhost', '127.0.0.1', '[::1]'])
      expect(await ask('1.1', host), host).to.match(/^HTTP\/1.1 200 /)
    await started.http.close()
    started = await startHttp({ page, http: { allowedHosts: ['gateway.example'] } })
    expect(await ask('1.1', 'gateway.example')).to.match(/^HTTP\/1.1 403 /)
    expect(asked).to.have.length(3)
  })

  it('is served under known names only, wherever it listens; probes and Prometheus use any', async () => {
    await started.http.close()
    const source = async () => ({}) as never
    started = await startHttp({ page, source, management: { host: '0.0.0.0' }, http: { allowAnonymous: true } })
    const { port } = new URL(started.http.urls.management!)
    const get = async (path: string, host: string): Promise<string> => {
      const head = `GET ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\nconnection: close\r\n\r\n`
      return /^HTTP\/1.1 (\d+)/.exec(await sendRaw(`http://127.0.0.1:${port}`, head))![1]!
    }
    for (const path of ['/', '/status.json']) {
      expect(await get(path, '192.168.1.5'), path).to.equal('200')
      expect(await get(path, 'rebound.example'), path).to.equal('403')
    }
    for (const path of ['/health-check', '/ready', '/metrics']) expect(await get(path, 'castellan')).to.equal('200')
    expect(started.lines.filter(({ message }) => message.includes('http.allowedHosts'))).to.have.length(1)
    const own = `http://127.0.0.1:${port}`
    const response = await fetch(`${own}/find-record`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: own },
      body: JSON.stringify(aKey)
    })
    expect(response.status).to.equal(200)
  })

  it('answers a page of another origin with 403', async () => {
    expect((await post(aKey, { origin: 'https://elsewhere.example' })).status).to.equal(403)
    expect(asked).to.deep.equal([])
  })

  it('says why a record cannot be looked for', async () => {
    find = async () => {
      throw new InvalidRequestError('topic orders: there is no such topic', 'unknownTopic')
    }
    const response = await post(aKey)
    expect(response.status).to.equal(404)
    expect(await response.json()).to.deep.equal({
      error: 'unknownTopic',
      message: 'topic orders: there is no such topic'
    })
  })

  it('looks for three records of a client at a time, and refuses further questions until they are answered', async () => {
    let release = (): void => undefined
    const released = new Promise<void>(resolve => (release = resolve))
    let running = 0
    let allRun = (): void => undefined
    const all = new Promise<void>(resolve => (allRun = resolve))
    find = async () => {
      if (++running === 3) allRun()
      await released
      return { ...FOUND, records: [], searched: [] }
    }
    const first = [post(aKey), post(aKey), post(aKey)]
    await all
    expect((await post(aKey)).status).to.equal(503)
    release()
    expect((await Promise.all(first)).map(({ status }) => status)).to.deep.equal([200, 200, 200])
    expect((await post(aKey)).status).to.equal(200)
  })

  it('logs neither keys nor receipts', async () => {
    find = async () => {
      throw new Error('a bug')
    }
    await post({ by: 'key', topic: 'orders', key: 'a-secret-key' })
    await post({ by: 'receipt', receipt: 'a-secret-receipt' })
    expect(JSON.stringify(started.lines)).not.to.match(/a-secret/)
  })
})
