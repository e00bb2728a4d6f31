import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { BrowserGuard, ForeignHosts } from '../../../src/http/exchange/browser-guard.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { askRaw } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'
import { type Started, type StartSettings, startHttp } from './stage.js'

const none = { allowedHosts: [], allowedOrigins: [] }

describe('BrowserGuard', () => {
  const isServed = (
    boundHost: string | undefined,
    headers: Record<string, string>,
    settings: Partial<typeof none> | object = {}
  ): boolean => new BrowserGuard(boundHost, { ...none, ...settings }).refusalOf(headers) === undefined

  for (const boundHost of ['0.0.0.0', '::']) {
    it('names each host that is refused once in the log, and not without an end', () => {
      const lines: unknown[] = []
      const hosts = new ForeignHosts({ ...silentLogger, warn: fields => void lines.push(fields) })
      const guard = new BrowserGuard('127.0.0.1', none, host => hosts.refused(host))
      for (const host of ['gateway:8080', 'localhost', 'gateway:8080', 'evil\u001b[2J', 'gateway:8080']) {
        guard.refusalOf({ host })
      }
      expect(lines).to.deep.equal([{ host: 'gateway:8080' }, { host: 'evil\\u001b[2J' }])
      for (let at = 0; at < 100; at++) guard.refusalOf({ host: `${'x'.repeat(1_000)}${at}` })
      for (let at = 0; at < 100; at++) guard.refusalOf({ host: `invented-${at}` })
      expect(lines).to.have.length(20)
      expect(lines[2]).to.deep.equal({ host: 'x'.repeat(255) })
    })

    it(`on ${boundHost} probes that ask by an address are served, whatever hosts are allowed`, () => {
      const guard = new BrowserGuard(boundHost, { allowedHosts: ['gateway.example.com'], allowedOrigins: [] })
      const isServed = (host: string): boolean => guard.refusalOf({ host }) === undefined
      const own = [
        'gateway.example.com',
        '127.0.0.1:8081',
        'localhost:8081',
        '10.0.0.7:8081',
        '[fd00::7]:8081',
        '[::1]'
      ]
      expect(own.filter(host => !isServed(host))).to.deep.equal([])
      const others = ['evil.example', '10.0.0.7.evil.example', '', 'localhost.evil.example']
      expect(others.filter(isServed)).to.deep.equal([])
    })
  }

  for (const [bound, hosts] of [
    ['127.0.0.1', ['localhost', 'localhost:8080', '127.0.0.1:80', '127.0.0.2', '[::1]:8080', 'LOCALHOST']],
    ['::1', ['[::1]', 'localhost']],
    ['localhost', ['localhost', '127.0.0.1']]
  ] as const) {
    it(`on ${bound} knows the names of this machine, and no others`, () => {
      for (const host of hosts) expect(isServed(bound, { host }), host).to.equal(true)
      expect(isServed(bound, {}), 'HTTP/1.0').to.equal(true)
      for (const host of [
        'evil.example',
        'evil.example:8080',
        'localhost.evil.example',
        '10.0.0.1',
        '',
        'x',
        'a]b:c'
      ]) {
        expect(isServed(bound, { host }), host).to.equal(false)
      }
    })
  }

  it('knows further names by a setting, and checks names elsewhere only by it', () => {
    const allowedHosts = ['Gateway.example', 'other.example:8080']
    expect(isServed('127.0.0.1', { host: 'gateway.example:80' }, { allowedHosts })).to.equal(true)
    expect(isServed('127.0.0.1', { host: 'other.example:8080' }, { allowedHosts })).to.equal(true)
    expect(isServed('127.0.0.1', { host: 'other.example' }, { allowedHosts })).to.equal(false)
    expect(isServed('127.0.0.1', { host: 'x' }, { allowedHosts: ['*'] })).to.equal(true)
    expect(isServed('0.0.0.0', { host: 'anything' })).to.equal(true)
    expect(isServed('0.0.0.0', { host: 'anything' }, { allowedHosts })).to.equal(false)
    expect(isServed(undefined, { host: 'anything' })).to.equal(true)
  })

  it('needs a known host everywhere for what no page of another site may read', () => {
    const serves = (bound: string | undefined, headers: Record<string, string>, allowedHosts: string[] = []): boolean =>
      new BrowserGuard(bound, { ...none, allowedHosts }).refusalOf(headers, true) === undefined
    for (const bound of ['0.0.0.0', '::', '10.0.0.7', 'gateway.internal']) {
      for (const host of ['localhost:8081', '127.0.0.1:8081', '192.168.1.5', '[fd00::7]:8081', `${bound}:8081`])
        expect(serves(bound, { host }), `${bound} ${host}`).to.equal(host !== ':::8081')
      for (const host of ['castellan:8081', 'evil.example', 'localhost.evil.example', ''])
        expect(serves(bound, { host }), `${bound} ${host}`).to.equal(false)
      expect(serves(bound, { host: 'evil.example' }, ['*'])).to.equal(true)
      const own = { host: '192.168.1.5:8081', origin: 'http://192.168.1.5:8081', 'sec-fetch-site': 'same-origin' }
      expect(serves(bound, own), bound).to.equal(true)
      expect(serves(bound, { ...own, origin: 'http://192.168.1.6:8081' }), bound).to.equal(false)
    }
    expect(serves('0.0.0.0', { host: 'castellan:8081' }, ['castellan'])).to.equal(true)
    expect(serves('127.0.0.1', { host: '192.168.1.5' })).to.equal(false)
    expect(serves(undefined, { host: 'anything' })).to.equal(true)
  })

  it('serves a page for people to who follows a link on any page, and only where names are known', () => {
    const link = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', referer: 'http://wiki.example/' }
    const serves = (bound: string, headers: Record<string, string>, isPage = true, needsHost = false): boolean =>
      new BrowserGuard(bound, none).refusalOf(headers, needsHost, isPage) === undefined
    for (const site of ['same-site', 'cross-site']) {
      const visit = { host: 'localhost:8081', 'sec-fetch-site': site, ...link }
      expect(serves('127.0.0.1', visit), site).to.equal(true)
      expect(serves('0.0.0.0', visit, true, true), site).to.equal(true)
      expect(serves('0.0.0.0', visit), 'a host that is not checked').to.equal(false)
      expect(serves('127.0.0.1', visit, false), 'what is no page').to.equal(false)
      expect(serves('127.0.0.1', { ...visit, host: 'evil.example' })).to.equal(false)
      for (const other of [
        { 'sec-fetch-dest': 'iframe' },
        { 'sec-fetch-mode': 'no-cors' },
        { origin: 'http://a.example' }
      ])
        expect(serves('127.0.0.1', { ...visit, ...other }), JSON.stringify(other)).to.equal(false)
    }
  })

  it('reads names of hosts as a whole, in any case, with a port or without', () => {
    for (const host of ['localhost:', 'LocalHost:80', '[::1]:', '[::1]:8080', '127.0.0.1:65535']) {
      expect(isServed('127.0.0.1', { host }), host).to.equal(true)
    }
    for (const host of [
      'localhost:80.evil.example',
      'localhost:80:evil',
      'localhost:x',
      'evil.example:localhost',
      'evil[::1]:80',
      '[::1]evil',
      '[::1',
      '[]'
    ]) {
      expect(isServed('127.0.0.1', { host }), host).to.equal(false)
    }
    expect(isServed('127.0.0.1', { host: 'LOCALHOST:8080', origin: 'http://localhost:8080' })).to.equal(true)
  })

  it('knows the address it listens at, by its own name alone where that is not loopback', () => {
    const allowedHosts = ['Gateway.example']
    for (const [bound, host] of [
      ['10.0.0.7', '10.0.0.7:8080'],
      ['Gateway.Internal', 'gateway.internal:8080'],
      ['[fd00::7]', '[fd00::7]:8080']
    ] as const) {
      expect(isServed(bound, { host }, { allowedHosts }), host).to.equal(true)
      for (const other of ['10.0.0.8', 'localhost', '127.0.0.1', '']) {
        expect(isServed(bound, { host: other }, { allowedHosts }), other).to.equal(false)
      }
    }
  })

  it('refuses a host each time that it is asked for, and serves one each time', () => {
    const guard = new BrowserGuard('127.0.0.1', none)
    const hosts = ['evil.example', 'evil.example', 'localhost', 'localhost', 'evil.example', 'localhost']
    const served = hosts.map(host => guard.refusalOf({ host }) === undefined)
    expect(served).to.deep.equal([false, false, true, true, false, true])
  })

  it('takes no page for its own without a host, and any page of the host at a unix socket', () => {
    for (const origin of ['http://', 'https://', '']) expect(isServed('127.0.0.1', { origin }), origin).to.equal(false)
    expect(isServed(undefined, { host: 'any', origin: 'http://any' })).to.equal(true)
    expect(isServed(undefined, { host: 'any', origin: 'http://other' })).to.equal(false)
    expect(isServed(undefined, { host: 'any', 'sec-fetch-site': 'same-origin' })).to.equal(true)
  })

  it('names origins in any case', () => {
    const settings = { allowedOrigins: ['HTTPS://App.example'] }
    expect(isServed('127.0.0.1', { host: 'localhost', origin: 'https://aPP.example' }, settings)).to.equal(true)
  })

  const host = 'localhost:8080'
  const pages: [string, Record<string, string>, boolean][] = [
    ['a client that is no browser', {}, true],
    ['a page of another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, false],
    ['a page of another site in an older browser', { origin: 'https://evil.example' }, false],
    ['a page without an origin', { origin: 'null' }, false],
    ['an empty origin', { origin: '' }, false],
    ['an image on another site', { 'sec-fetch-site': 'cross-site' }, false],
    ['a link on another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, false],
    ['a page of another port', { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-site' }, false],
    ['an image of another port', { 'sec-fetch-site': 'same-site' }, false],
    ['an address typed by the user', { 'sec-fetch-site': 'none' }, true],
    [
      'an address typed by the user, with the origin of a page',
      { origin: 'https://evil.example', 'sec-fetch-site': 'none' },
      false
    ],
    [
      'an address typed by the user, with our origin',
      { origin: 'http://localhost:8080', 'sec-fetch-site': 'none' },
      true
    ],
    ['a page of ours over TLS', { origin: 'https://localhost:8080', 'sec-fetch-site': 'same-origin' }, true],
    ['a page of ours in an older browser', { origin: 'HTTP://LocalHost:8080' }, true],
    ['a page that is ours but for its scheme', { origin: 'ftp://localhost:8080' }, false],
    ['a page of ours', { origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' }, true],
    ['an image of ours', { 'sec-fetch-site': 'same-origin' }, true],
    ['a value nobody knows', { 'sec-fetch-site': 'same-origin, cross-site' }, false],
    ['ours, but cross-site', { origin: 'http://localhost:8080', 'sec-fetch-site': 'cross-site' }, false]
  ]
  it('a request is served or refused by the headers with which browsers tell where it comes from', () =>
    checkRows(pages, ([, headers, served]) => expect(isServed('127.0.0.1', { host, ...headers })).to.equal(served)))

  const referers: [string, string | undefined, string, boolean][] = [
    ['of another site', '127.0.0.1', 'http://evil.example/page', false],
    ['of another port', '127.0.0.1', 'http://localhost:3000/', false],
    ['of ours', '127.0.0.1', 'http://localhost:8080/openapi.json', true],
    ['of ours, in capitals', '127.0.0.1', 'HTTP://LOCALHOST:8080', true],
    ['that only begins like ours', '127.0.0.1', 'http://localhost:8080.evil.example/', false],
    ['with our name as a user', '127.0.0.1', 'http://localhost:8080@evil.example/', false],
    ['of an app', '127.0.0.1', 'android-app://com.example', false],
    ['that wants to be unknown', '127.0.0.1', '', true],
    ['of our host where that is not checked', '0.0.0.0', 'http://localhost:8080/', false],
    ['of our host at a unix socket', undefined, 'http://localhost:8080/', true]
  ]
  it('a page that is named by Referer alone is served where it is of the gateway itself', () =>
    checkRows(referers, ([, bound, referer, served]) => expect(isServed(bound, { host, referer })).to.equal(served)))

  it('serves a page by its Referer when a setting names it, and goes by Origin where there is one', () => {
    const settings = { allowedOrigins: ['https://app.example'] }
    expect(isServed('127.0.0.1', { host, referer: 'https://app.example/a' }, settings)).to.equal(true)
    expect(isServed('127.0.0.1', { host, referer: 'https://app.example.org/a' }, settings)).to.equal(false)
    const origin = 'https://app.example'
    expect(isServed('127.0.0.1', { host, origin, referer: 'https://elsewhere.example' }, settings)).to.equal(true)
  })

  const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
  const askers: [string, Record<string, string>, boolean][] = [
    ['curl', { accept: '*/*', 'user-agent': 'curl/8.5.0' }, true],
    ['PHP', {}, true],
    ['axios', { accept: 'application/json, text/plain, */*' }, true],
    ['a client in Go', { 'user-agent': 'Go-http-client/1.1', 'accept-encoding': 'gzip' }, true],
    ["Node's fetch", { accept: '*/*', 'accept-language': '*', 'sec-fetch-mode': 'cors', 'user-agent': 'node' }, true],
    ["Java's HttpURLConnection", { accept: 'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2' }, true],
    ['a program with a bearer token', { accept: 'text/html', authorization: 'Bearer x' }, true],
    ['a page that is opened', { accept: CHROME }, false],
    ['an image', { accept: 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8' }, false],
    ['a style sheet', { accept: 'text/css,*/*;q=0.1' }, false],
    ['an address typed by the user', { accept: '*/*', 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, false],
    ['a script', { accept: '*/*', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, false],
    ['a browser that tells one thing', { accept: '*/*', 'sec-fetch-dest': 'script' }, false],
    ['a mode that no program has', { accept: '*/*', 'sec-fetch-mode': 'no-cors' }, false],
    ['a browser that remembers a password', { accept: CHROME, authorization: 'Basic YTpi' }, false],
    ['a page that a setting names', { accept: CHROME, origin: 'https://app.example' }, true],
    ['an image on a page that a setting names', { accept: 'image/*', referer: 'https://app.example/a' }, true],
    ['an image on another page', { accept: 'image/*', referer: 'https://evil.example/a' }, false]
  ]
  for (const bound of ['127.0.0.1', '0.0.0.0', undefined]) {
    it(`lets no browser change anything by a GET on ${bound ?? 'a unix socket'}, and hurts no other client`, () => {
      const guard = new BrowserGuard(bound, { ...none, allowedOrigins: ['https://app.example'] })
      for (const [name, headers, served] of askers) {
        expect(guard.refusalOfEffect({ host, ...headers }) === undefined, name).to.equal(served)
      }
    })
  }

  it('serves pages that a setting names, and none by its own host where that is not checked', () => {
    const origin = 'https://app.example'
    expect(
      isServed('127.0.0.1', { host, origin, 'sec-fetch-site': 'cross-site' }, { allowedOrigins: [origin] })
    ).to.equal(true)
    expect(isServed('127.0.0.1', { host, origin }, { allowedOrigins: ['*'] })).to.equal(true)
    expect(isServed('127.0.0.1', { host, origin }, { allowedOrigins: ['https://app.example:444'] })).to.equal(false)
    const rebound = { host: 'evil.example', origin: 'http://evil.example' }
    expect(isServed('0.0.0.0', rebound)).to.equal(false)
    expect(isServed('0.0.0.0', { host: 'evil.example', 'sec-fetch-site': 'same-origin' })).to.equal(false)
    expect(isServed('0.0.0.0', rebound, { allowedHosts: ['evil.example'] })).to.equal(true)
  })
})

describe('a web page', () => {
  let started: Started
  const start = async (settings: StartSettings = {}): Promise<Started> =>
    (started = await startHttp({ verbs: new FakeVerbs(), own: true, ...settings }))
  afterEach(() => started.http.close())

  const push = (...headers: string[]): string => {
    const body = '{"records":[{"topic":"t","data":"d"}]}'
    return `POST /kprf/push HTTP/1.1\r\n${headers.map(header => `${header}\r\n`).join('')}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  }
  const get = (path: string, ...headers: string[]): string =>
    `GET ${path} HTTP/1.1\r\n${headers.map(header => `${header}\r\n`).join('')}Connection: close\r\n\r\n`

  it('writes nothing from another site, and is answered in the error format of the API', async () => {
    const verbs = new FakeVerbs()
    const { http } = await start({ verbs })
    const answer = await askRaw(http.urls.shared, push('Host: localhost', 'Origin: https://evil.example'))
    expect(answer).to.match(/^HTTP\/1\.1 403 /)
    expect(answer).to.contain('{"status":"err","errors":[{"error":true,"message":"requests of this web page are not')
    expect(verbs.calls).to.have.length(0)
    expect(await askRaw(http.urls.shared, push('Host: localhost'))).to.match(/^HTTP\/1\.1 200 /)
    expect(verbs.calls).to.have.length(1)
  })

  it('reads nothing through a domain of its own, on any port', async () => {
    const { http } = await start()
    const { shared, management, apis } = http.urls
    for (const [url, path] of [
      [shared, '/'],
      [management!, '/metrics'],
      [management!, '/health-check'],
      [apis.get('loud')!, '/topics/a']
    ] as const) {
      expect(await askRaw(url, get(path, 'Host: evil.example:8081')), url).to.match(/^HTTP\/1\.1 403 .*not served/s)
      expect(await askRaw(url, get(path, 'Host: localhost', 'Sec-Fetch-Site: cross-site'))).to.match(/^HTTP\/1\.1 403 /)
      expect(await askRaw(url, get(path, 'Host: localhost'))).to.match(/^HTTP\/1\.1 200 /)
    }
  })

  it('is served when a setting names it', async () => {
    const { http } = await start({
      http: { allowedOrigins: ['https://app.example'], allowedHosts: ['gateway.example'] }
    })
    const headers = ['Host: gateway.example', 'Origin: https://app.example', 'Sec-Fetch-Site: cross-site']
    expect(await askRaw(http.urls.shared, push(...headers))).to.match(/^HTTP\/1\.1 200 /)
  })

  it('cannot reach a unix socket, where any host is fine', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'castellan-'))
    try {
      const { http } = await start({ http: { unixSocket: join(directory, 'castellan.sock') } })
      expect(await askRaw(http.urls.unixSocket!, push('Host: whatever'))).to.match(/^HTTP\/1\.1 200 /)
    } finally {
      await started.http.close()
      rmSync(directory, { recursive: true })
    }
  })
})
