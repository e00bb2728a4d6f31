import { once } from 'node:events'
import { renameSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import { openListenerSecurity } from '../../../src/server/app/listener-security.js'
import { call, configOf, type Guarded, push, startGuarded, TestAuthority, TestFolder } from '../../support/access.js'
import type { TestCertificate } from '../../support/certificates.js'
import { until } from './stage.js'

describe('TLS', () => {
  const authority = new TestAuthority()
  let folder: TestFolder
  let guarded: Guarded | undefined
  beforeEach(() => {
    folder = new TestFolder()
  })
  afterEach(async () => {
    await guarded?.stop()
    guarded = undefined
    folder.remove()
  })

  const certificateFor = (commonName: string): TestCertificate =>
    authority.issue({ commonName, alternativeNames: ['IP:127.0.0.1'] })

  const write = ({ cert, key }: TestCertificate): { certFile: string; keyFile: string; caFile: string } => ({
    certFile: folder.write('cert.pem', cert),
    keyFile: folder.write('key.pem', key),
    caFile: folder.write('ca.pem', authority.cert)
  })

  const start = async (settings: object): Promise<Guarded> => (guarded = await startGuarded(configOf(folder, settings)))

  /** A handshake with the shared port, or why there is none. */
  const shake = (url: string, options: object = {}): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const { port } = new URL(url)
      const socket = connectTls({ port: Number(port), host: '127.0.0.1', ca: authority.cert, ...options })
      socket.once('secureConnect', () => resolve(socket))
      socket.once('error', reject)
    })

  const shownBy = async (url: string): Promise<string> => {
    const socket = await shake(url)
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return (subject as { CN: string }).CN
  }

  it('is spoken on every port that is told to, and on no other', async () => {
    const tls = write(certificateFor('one'))
    const settings = { http: { tls, unixSocket: `${folder.path}/socket`, unixSocketMode: '600' } }
    const { http } = await start({ ...settings, apis: { kprf: { port: 0, metricsPort: 0 } } })
    const { shared, management, unixSocket, apis } = http.urls
    expect(shared).to.match(/^https:/)
    expect(apis.get('kprf')).to.match(/^https:/)
    expect(apis.get('kprf metrics')).to.match(/^https:/)
    expect(management).to.match(/^http:/)
    const ca = authority.cert
    expect((await push(shared, 'orders', { ca })).status).to.equal(200)
    expect((await call(`${management}/ready`)).status).to.equal(200)
    const socketPath = unixSocket!.slice('unix:'.length)
    expect((await push('http://localhost', 'orders', { socketPath })).status).to.equal(200)
    expect(statSync(socketPath).mode & 0o777).to.equal(0o600)
  })

  it('can be left out for old clients of an API, and asked for on the management port', async () => {
    const tls = write(certificateFor('one'))
    const { http } = await start({
      http: { tls },
      management: { tls },
      apis: { kprf: { port: 0, metricsPort: 0, tls: 'off' } }
    })
    expect([...http.urls.apis.values()].map(url => new URL(url).protocol)).to.deep.equal(['http:', 'http:'])
    expect(http.urls.management).to.match(/^https:/)
    expect((await call(`${http.urls.management}/ready`, { ca: authority.cert })).status).to.equal(200)
  })

  it('is modern: HTTP/1.1 by ALPN, no TLS 1.1, and no 1.2 when the settings say so', async () => {
    const tls = write(certificateFor('one'))
    const { http } = await start({ http: { tls: { ...tls, minVersion: 'TLSv1.3' } } })
    const socket = await shake(http.urls.shared, { ALPNProtocols: ['h2', 'http/1.1'] })
    expect([socket.alpnProtocol, socket.getProtocol()]).to.deep.equal(['http/1.1', 'TLSv1.3'])
    socket.destroy()
    const refused = await shake(http.urls.shared, { maxVersion: 'TLSv1.2' }).catch((error: Error) => error.message)
    expect(refused).to.match(/protocol version/)
  })

  it('takes a long body behind a request with a long answer whole, however Node waits for the answer to leave', async () => {
    const { http } = await start({ http: { tls: write(certificateFor('one')) } })
    const body = JSON.stringify({ records: [{ topic: 'orders', data: 'x'.repeat(300_000) }] })
    const requests = [
      'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n',
      `POST /kprf/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      'GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
    ]
    const socket = await shake(http.urls.shared)
    const received: Buffer[] = []
    socket.on('data', (bytes: Buffer) => received.push(bytes))
    const closed = once(socket, 'close')
    socket.write(requests.join(''))
    await closed
    const statuses = Buffer.concat(received)
      .toString('latin1')
      .match(/HTTP\/1\.1 \d{3}/g)
    expect(statuses).to.deep.equal(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 200'])
  })

  it('counts connections to their address from the first byte of the handshake', async () => {
    const perAddress = { maxConnections: 2 }
    const { http } = await start({ http: { tls: write(certificateFor('one')), perAddress } })
    const { port } = new URL(http.urls.shared)
    const silent = await Promise.all(
      [1, 2].map(
        () =>
          new Promise<Socket>(resolve => {
            const socket = connect(Number(port), '127.0.0.1', () => resolve(socket))
          })
      )
    )
    const refused = await shake(http.urls.shared).catch((error: Error) => error)
    expect(refused).to.be.instanceOf(Error)
    for (const socket of silent) {
      const closed = new Promise(resolve => socket.once('close', resolve))
      socket.destroy()
      await closed
    }
    const open: TLSSocket[] = []
    while (open.length < 2)
      await shake(http.urls.shared).then(
        socket => open.push(socket),
        () => undefined
      )
    expect(await shake(http.urls.shared).catch((error: Error) => error)).to.be.instanceOf(Error)
    for (const socket of open) socket.destroy()
  })

  it('ends what is no TLS, in silence, and counts nothing as open afterwards', async () => {
    const { http, metricsText, lines } = await start({ http: { tls: write(certificateFor('one')) } })
    const { port } = new URL(http.urls.shared)
    for (const bytes of [
      'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      '\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff',
      '\0'.repeat(500)
    ]) {
      await new Promise<void>(resolve => {
        const socket = connect(Number(port), '127.0.0.1', () => socket.write(bytes, 'latin1'))
        socket.on('error', () => undefined)
        socket.resume().on('close', () => resolve())
      })
    }
    const half = connect(Number(port), '127.0.0.1', () =>
      half.write('\x16\x03\x01', 'latin1', () => half.resetAndDestroy())
    )
    await new Promise(resolve => half.on('close', resolve))
    expect((await push(http.urls.shared, 'orders', { ca: authority.cert })).status).to.equal(200)
    await untilNothingIsOpen(metricsText)
    expect(lines).to.deep.equal([])
  })

  const untilNothingIsOpen = async (metricsText: () => Promise<string>): Promise<void> => {
    while (!(await metricsText()).includes('castellan_http_connections 0\n')) {
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  it('carries large bodies, and holds nothing of those that are cut', async () => {
    const { http, metricsText, verbs } = await start({ http: { tls: write(certificateFor('one')) } })
    const data = 'x'.repeat(900_000)
    const body = JSON.stringify({
      records: [1, 2, 3, 4, 5].map(() => ({ topic: 'orders', data })),
      wait_for_send: true
    })
    expect((await push(http.urls.shared, 'orders', { ca: authority.cert, body })).status).to.equal(200)
    expect(verbs.records).to.have.length(5)
    const socket = await shake(http.urls.shared)
    const head = 'POST /kprf/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
    socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 500_000)}`)
    while ((await metricsText()).includes('castellan_http_bodies_in_flight_bytes 0\n')) {
      await new Promise(resolve => setImmediate(resolve))
    }
    socket.destroy()
    await untilNothingIsOpen(metricsText)
    expect(await metricsText()).to.contain('castellan_http_bodies_in_flight_bytes 0\n')
  })

  it('ends a handshake that does not come on within the time for headers', async () => {
    const { http } = await start({
      http: { tls: write(certificateFor('one')) },
      advanced: { http: { headersTimeoutMs: 100 } }
    })
    const silent = connect(Number(new URL(http.urls.shared).port), '127.0.0.1')
    silent.on('error', () => undefined)
    await new Promise(resolve => silent.resume().once('close', resolve))
  })

  it('is counted as one connection', async () => {
    const { http, metricsText } = await start({ http: { tls: write(certificateFor('one')) } })
    const socket = await shake(http.urls.shared)
    while (!(await metricsText()).includes('castellan_http_connections 1\n')) {
      await new Promise(resolve => setImmediate(resolve))
    }
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await new Promise(resolve => socket.once('data', resolve))
    expect(await metricsText()).to.contain('castellan_http_connections 1\n')
    socket.destroy()
    await untilNothingIsOpen(metricsText)
  })

  it('is encrypted as the listener prefers, not as its client', async () => {
    const { http } = await start({ http: { tls: write(certificateFor('one')) } })
    const ciphers = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384']
    const chosenOf = async (preferred: readonly string[]): Promise<string> => {
      const socket = await shake(http.urls.shared, { maxVersion: 'TLSv1.2', ciphers: preferred.join(':') })
      const { name } = socket.getCipher()
      socket.destroy()
      return name
    }
    expect(await chosenOf(ciphers)).to.equal(await chosenOf([...ciphers].reverse()))
  })

  it('goes on where it was with a client that comes again, since it asks for no certificate', async () => {
    const { http } = await start({ http: { tls: write(certificateFor('one')) } })
    const first = await shake(http.urls.shared, { maxVersion: 'TLSv1.2' })
    const session = first.getSession()
    first.destroy()
    const second = await shake(http.urls.shared, { maxVersion: 'TLSv1.2', session })
    expect(second.isSessionReused()).to.equal(true)
    second.destroy()
  })

  it('is closed at once, clients in the middle of a handshake included', async () => {
    const { http } = await start({
      http: { tls: write(certificateFor('one')), requestTimeoutMs: 3_600_000 },
      advanced: { http: { headersTimeoutMs: 3_600_000 } }
    })
    const { port } = new URL(http.urls.shared)
    const silent = connect(Number(port), '127.0.0.1')
    const closed = new Promise(resolve => silent.on('close', resolve))
    silent.on('error', () => undefined)
    await new Promise<void>(resolve => silent.write('\x16', 'latin1', () => resolve()))
    // Accepted before another one that has had its answer.
    expect((await push(http.urls.shared, 'orders', { ca: authority.cert })).status).to.equal(200)
    await http.drain(3_600_000)
    await closed
  })

  describe('required client certificates', () => {
    const trusted = authority.issue({ commonName: 'anna' })
    const settings = () => ({
      http: { tls: { ...write(certificateFor('one')), clientAuth: 'required' } },
      auth: { certificates: [{ commonName: 'an*' }] },
      access: { rules: [{ principals: ['anna'], operations: ['produce'], topics: ['orders'] }] }
    })
    const ca = authority.cert

    it('end the handshake of others', async () => {
      const { http } = await start(settings())
      expect((await push(http.urls.shared, 'orders', { ca, certificate: trusted })).status).to.equal(200)
      const others = [undefined, new TestAuthority().issue({ commonName: 'anna' })]
      for (const certificate of others) {
        const outcome = await push(http.urls.shared, 'orders', { ca, certificate }).catch(() => 'no connection')
        expect(outcome).to.equal('no connection')
      }
      expect(guarded!.verbs.records).to.have.length(1)
    })

    it('are not remembered in sessions that could outlive their authority', async () => {
      const { http } = await start(settings())
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        const first = await shake(http.urls.shared, { ...trusted, maxVersion })
        let session = first.getSession()
        first.on('session', later => {
          session = later
        })
        // An answer comes after whatever the server says about sessions.
        first.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        await new Promise(resolve => first.once('data', resolve))
        first.destroy()
        const second = await shake(http.urls.shared, { ...trusted, maxVersion, session })
        expect([maxVersion, second.isSessionReused()]).to.deep.equal([maxVersion, false])
        second.destroy()
      }
    })
  })

  describe('files that change', () => {
    const startWith = async (certificate: TestCertificate, reloadIntervalMs = 3_600_000): Promise<Guarded> =>
      start({ http: { tls: write(certificate) }, advanced: { http: { tls: { reloadIntervalMs } } } })

    it('are used for new connections after a reload; open ones go on', async () => {
      const { http, security } = await startWith(certificateFor('one'))
      const open = await shake(http.urls.shared)
      write(certificateFor('two'))
      expect(await shownBy(http.urls.shared)).to.equal('one')
      const use = await security.prepare()
      expect(await shownBy(http.urls.shared)).to.equal('one')
      use()
      expect(await shownBy(http.urls.shared)).to.equal('two')
      open.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      const answer = await new Promise<string>(resolve => open.once('data', data => resolve(String(data))))
      expect(answer).to.match(/^HTTP\/1\.1 200/)
      open.destroy()
    })

    it('are found without being told', async () => {
      const { http } = await startWith(certificateFor('one'), 10)
      write(certificateFor('two'))
      await until(async () => (await shownBy(http.urls.shared)) === 'two', 'the new certificate')
    })

    it('change nothing but the log while they are half written or do not fit together', async () => {
      const first = certificateFor('one')
      const { http, security, lines } = await startWith(first)
      const second = certificateFor('two')
      const half = (text: string): string => text.slice(0, text.length / 2)
      const stages: TestCertificate[] = [
        { cert: '', key: first.key },
        { cert: half(second.cert), key: first.key },
        { cert: second.cert, key: first.key },
        { cert: second.cert, key: half(second.key) },
        { cert: `${second.cert}${half(authority.cert)}`, key: second.key }
      ]
      for (const [index, stage] of stages.entries()) {
        write(stage)
        await security.certificates!.reload()
        await security.certificates!.reload()
        expect(await shownBy(http.urls.shared), `stage ${index}`).to.equal('one')
        // Said once for each state of the files, and without their content.
        expect(lines).to.have.length(index + 1)
        expect(lines.at(-1)!.message).to.match(/^the changed files of http\.tls cannot be used/)
      }
      write(second)
      await security.certificates!.reload()
      expect(await shownBy(http.urls.shared)).to.equal('two')
      expect(lines.at(-1)).to.deep.include({ level: 'info', message: 'the changed files of http.tls are in use' })
      expect(JSON.stringify(lines)).to.not.contain('PRIVATE KEY')
    })

    it('never make the authorities of the system trusted: an empty file of authorities is refused', async () => {
      const { lines } = await startWith(certificateFor('one'))
      for (const text of ['', 'nothing', authority.cert.slice(0, -40)]) {
        folder.write('ca.pem', text)
        await guarded!.security.certificates!.reload()
      }
      expect(lines.map(({ level }) => level)).to.deep.equal(['warn', 'warn', 'warn'])
    })

    it('may be away for a moment', async () => {
      const { http, security, lines } = await startWith(certificateFor('one'))
      renameSync(`${folder.path}/cert.pem`, `${folder.path}/away.pem`)
      await security.certificates!.reload()
      expect(await shownBy(http.urls.shared)).to.equal('one')
      expect(lines).to.have.length(1)
    })
  })

  it('with files that cannot be used is an error at the start that names the setting', async () => {
    const files = write(certificateFor('one'))
    const problemOf = async (tls: object): Promise<string> =>
      openListenerSecurity(configOf(folder, { http: { tls } }), createPrometheusMetrics(), silentLogger).then(
        () => 'none',
        (error: Error) => `${error.name}: ${error.message}`
      )
    expect(await problemOf({ ...files, certFile: `${folder.path}/missing.pem` })).to.match(
      /^ConfigError: http\.tls\.certFile: cannot read .*missing\.pem \(ENOENT\)$/
    )
    writeFileSync(`${folder.path}/other.pem`, certificateFor('two').key)
    expect(await problemOf({ ...files, keyFile: `${folder.path}/other.pem` })).to.match(
      /^ConfigError: http\.tls: the files cannot be used: the key of keyFile does not belong to the certificate of certFile$/
    )
    for (const wrong of [{ certFile: files.keyFile }, { keyFile: files.certFile }]) {
      expect(await problemOf({ ...files, ...wrong })).to.match(
        /^ConfigError: http\.tls: the files cannot be used: (keyFile has no private key, |a PEM file has no certificate)/
      )
    }
  })
})
