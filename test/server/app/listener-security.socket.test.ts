import { PassThrough, Readable } from 'node:stream'
import { inspect } from 'node:util'
import { expect } from 'chai'
import { stringify } from 'yaml'
import { run } from '../../../src/cli/cli.js'
import { ConfigError } from '../../../src/core/errors.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import {
  type Answer,
  AUDIENCE,
  basic,
  type Call,
  call,
  cheapHash,
  configOf,
  ISSUER,
  makeIssuer,
  makeToken,
  push,
  TestAuthority,
  TestFolder
} from '../../support/access.js'

/** What must be seen nowhere: every kind of secret the doors know, good ones and wrong ones. */
const CANARY = 'canary-Jx81'

describe('with every option on', () => {
  const authority = new TestAuthority()
  const { token, sha256 } = makeToken()
  const server = authority.issue({ commonName: 'castellan', alternativeNames: ['IP:127.0.0.1'] })
  const client = authority.issue({ commonName: 'billing' })
  const lines: LogLine[] = []
  const secrets: string[] = [CANARY, token, sha256]
  let folder: TestFolder
  let settings: object
  let app: App
  let credentials: Record<string, Call>

  before(async () => {
    folder = new TestFolder()
    const issuer = await makeIssuer()
    const passwordHash = await cheapHash(`${CANARY}-password`)
    const tls = {
      certFile: folder.write('cert.pem', server.cert),
      keyFile: folder.write('key.pem', server.key),
      caFile: folder.write('ca.pem', authority.cert),
      clientAuth: 'optional',
      minVersion: 'TLSv1.3'
    }
    const jwt = await issuer.sign({ sub: 'carol', note: CANARY })
    secrets.push(
      passwordHash,
      jwt,
      ...jwt.split('.').slice(1),
      ...server.key
        .split('\n')
        .filter(text => !text.startsWith('-'))
        .filter(Boolean)
    )
    credentials = {
      token: { headers: { authorization: `Bearer ${token}` } },
      password: { headers: { authorization: basic('anna', `${CANARY}-password`) } },
      certificate: { certificate: client },
      jwt: { headers: { authorization: `Bearer ${jwt}` } }
    }
    settings = {
      http: { port: 0, tls, unixSocket: `${folder.path}/socket`, unixSocketMode: '600' },
      management: { port: 0, openProbes: false, tls },
      embedded: { port: 0 },
      auth: {
        tokens: [{ principal: 'shop', sha256, expiresAt: '2199-01-01T00:00:00Z' }],
        users: [{ username: 'anna', passwordHash }],
        certificates: [{ commonName: 'billing' }],
        issuers: [
          { issuer: ISSUER, audience: AUDIENCE, jwksFile: folder.write('jwks.json', JSON.stringify(issuer.jwks)) }
        ],
        unixSocketPrincipal: 'local'
      },
      access: {
        rules: [
          {
            principals: ['*'],
            operations: ['produce', 'consume', 'offsets', 'admin', 'management'],
            topics: ['ord*'],
            groups: ['*']
          }
        ],
        audit: 'all'
      },
      quotas: {
        perPrincipal: { recordsPerSecond: 1_000, bytesPerSecond: 1_000_000, maxRequestsInFlight: 100 },
        perAddress: { recordsPerSecond: 1_000, bytesPerSecond: 1_000_000 },
        principals: [{ principal: 'shop', recordsPerSecond: 2_000 }]
      },
      apis: {
        kprf: {
          port: 0,
          messageTimeoutMs: 30_000,
          ratelimit: { enabled: true, rules: [{ topic: 'orders', maxPerMinute: 1_000 }] }
        }
      },
      wal: { directory: `${folder.path}/wal` },
      log: { level: 'debug' }
    }
    app = await startApp(configOf(folder, settings), { log: recordingLogger(lines), version: '0.0.0-test' })
  })
  after(async () => {
    await app?.stop()
    folder.remove()
  })

  const answers: Answer[] = []
  const ask = async (answer: Promise<Answer>): Promise<number> => {
    answers.push(await answer)
    return answers.at(-1)!.status
  }

  for (const way of ['token', 'password', 'certificate', 'jwt']) {
    it(`a plain push with a ${way} is answered 200, on both ports, again and again`, async () => {
      for (const url of [app.urls.shared, app.urls.shared]) {
        const options = { ca: authority.cert, ...credentials[way] }
        expect(await ask(push(url, 'orders', options))).to.equal(200)
        expect(answers.at(-1)!.body).to.equal('{"status":"ok","errors":[]}')
      }
      const own = `${app.urls.apis.get('kprf')}/push`
      const headers = { 'content-type': 'application/json', ...credentials[way]!.headers }
      const body = JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: true })
      const options = { ca: authority.cert, ...credentials[way], method: 'POST', headers, body }
      expect(await ask(call(own, options))).to.equal(200)
    })
  }

  it('a plain push over the unix socket is answered 200', async () => {
    expect(await ask(push('http://localhost', 'orders', { socketPath: `${folder.path}/socket` }))).to.equal(200)
  })

  it('no secret is in any log line, answer or metric', async () => {
    const { shared, management } = app.urls
    const ca = authority.cert
    const wrong = [
      `Bearer ${CANARY}`,
      basic('anna', CANARY),
      basic(CANARY, CANARY),
      `Bearer ${CANARY}.${CANARY}.${CANARY}`,
      `Bearer a.${Buffer.from(`{"iss":"${CANARY}"}`).toString('base64url')}.c`,
      `${CANARY} ${CANARY}`,
      CANARY
    ]
    for (const authorization of wrong) {
      expect(await ask(push(shared, 'orders', { ca, headers: { authorization } }))).to.equal(401)
      expect(await ask(call(`${management}/metrics`, { ca, headers: { authorization } }))).to.equal(401)
    }
    expect(await ask(push(shared, 'secret', { ca, ...credentials.jwt }))).to.equal(403)
    expect(await ask(call(`${management}/metrics`, { ca, ...credentials.token }))).to.equal(200)
    expect(await ask(call(`${management}/ready`, { ca, ...credentials.password }))).to.equal(200)
    // A certificate that cannot be used must not be quoted either.
    folder.write('key.pem', `${server.key.slice(0, 100)}`)
    const refusal: unknown = await app.reload().catch((error: unknown) => error)
    expect(refusal).to.be.instanceOf(ConfigError)
    folder.write('key.pem', server.key)

    const seen = [...lines.map(line => JSON.stringify(line)), ...answers.map(answer => JSON.stringify(answer))]
    seen.push(inspect(refusal))
    expect(lines.filter(({ message }) => message === 'audit')).to.have.length.above(20)
    expect(secrets.filter(secret => seen.some(text => text.includes(secret)))).to.deep.equal([])
  })

  it('no secret is printed by --print-config, and its output is a configuration but for them', async () => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const file = folder.write('all.yaml', stringify(settings))
    const code = await run(['serve', '--config', file, '--print-config'], {
      environment: {},
      stdin: Readable.from([]),
      stdout: stdout as unknown as NodeJS.WriteStream,
      stderr: stderr as unknown as NodeJS.WriteStream,
      stopped: new AbortController().signal,
      crashed: new Promise(() => undefined),
      onHangUp: () => undefined
    })
    expect([code, stderr.read()]).to.deep.equal([0, null])
    const text = (stdout.read() as Buffer).toString()
    expect(text).to.contain('principal: shop').and.contain('sha256: (secret)').and.contain('passwordHash: (secret)')
    expect(secrets.filter(secret => text.includes(secret))).to.deep.equal([])
  })

  it('no secret is quoted when it stands where it cannot be used', () => {
    const wrong: object[] = [
      { auth: { tokens: [{ principal: 'shop', sha256: CANARY }] } },
      { auth: { tokens: [{ principal: 'shop', token: CANARY }] } },
      { auth: { tokens: CANARY } },
      { auth: { users: [{ username: 'anna', passwordHash: CANARY }] } },
      { auth: { users: { anna: CANARY } } },
      { auth: { issuers: [{ issuer: 'i', audience: 'a', jwksUrl: `https://user:${CANARY}@example.com/` }] } }
    ]
    for (const settings of wrong) {
      let message = ''
      try {
        configOf(folder, settings)
      } catch (error) {
        message = (error as Error).message
      }
      expect(message).to.match(/^auth\.\w+/)
      expect(message).to.not.contain(CANARY)
    }
  })
})
