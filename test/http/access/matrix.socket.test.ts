import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import type { Operation } from '../../../src/http/access/access.js'
import type { HttpApi } from '../../../src/http/api/api.js'
import {
  type Answer,
  AUDIENCE,
  basic,
  type Call,
  call,
  cheapHash,
  configOf,
  type Guarded,
  ISSUER,
  inSeconds,
  makeIssuer,
  makeToken,
  push,
  startGuarded,
  TestAuthority,
  TestFolder
} from '../../support/access.js'
import type { TestCertificate } from '../../support/certificates.js'
import { checkRows } from '../../support/rows.js'
import { testedApis } from '../../support/tested-apis.js'

const WAYS = ['none', 'bearer', 'basic', 'mTLS', 'JWT'] as const
const CREDENTIALS = ['allowed', 'denied', 'missing', 'forged', 'expired'] as const
const OPERATIONS = ['produce', 'consume', 'offsets', 'admin', 'management'] as const

type Way = (typeof WAYS)[number]
type Credential = (typeof CREDENTIALS)[number]

/** How an API asks for an operation. */
interface Surface {
  readonly name: string
  readonly calls: Partial<Record<Operation, (guarded: Guarded, options: Call) => Promise<Answer>>>
}

const probe =
  (operation: Operation) =>
  ({ http }: Guarded, options: Call): Promise<Answer> =>
    call(`${http.urls.shared}/probe/${operation}/orders/readers`, options)

function toSurface({ name, prefix }: HttpApi): Surface {
  const { calls } = testedApis.get(name)!
  const onSharedPort = Object.entries(calls).map(([operation, ask]) => [
    operation,
    ({ http }: Guarded, client: Call) => ask(`${http.urls.shared}${prefix}`, client)
  ])
  return { name, calls: Object.fromEntries(onSharedPort) }
}

const surfaces: readonly Surface[] = [
  ...apis.map(toSurface),
  {
    name: 'management port',
    calls: { management: ({ http }, options) => call(`${http.urls.management}/metrics`, options) }
  },
  // What no API offers yet is asked of the interface that all of them use.
  { name: 'Access', calls: Object.fromEntries(OPERATIONS.map(operation => [operation, probe(operation)])) }
]

const isApi = (name: string): boolean => apis.some(api => api.name === name)

/** A password does not expire, and without authentication there is nothing to forge. */
const isMeaningless = (way: Way, credential: Credential): boolean =>
  (way === 'basic' && credential === 'expired') || (way === 'none' && credential === 'denied')

function expectedStatus(way: Way, credential: Credential): number {
  if (way === 'none' || credential === 'allowed') return 200
  return credential === 'denied' ? 403 : 401
}

describe('which clients are admitted, and what they may do', () => {
  const folder = new TestFolder()
  const authority = new TestAuthority()
  const listener = authority.issue({ commonName: 'castellan', alternativeNames: ['IP:127.0.0.1'] })
  const credentials = new Map<string, Call>()
  let open: Guarded
  let guarded: Guarded

  before(async () => {
    const tls = {
      certFile: folder.write('cert.pem', listener.cert),
      keyFile: folder.write('key.pem', listener.key),
      caFile: folder.write('ca.pem', authority.cert),
      clientAuth: 'optional'
    }
    const settings = { http: { tls }, management: { tls } }
    open = await startGuarded(configOf(folder, settings))
    guarded = await startGuarded(configOf(folder, { ...settings, ...(await access()) }))
  })
  after(async () => {
    await open?.stop()
    await guarded?.stop()
    folder.remove()
  })

  /** Makes every credential and returns the settings that know them. */
  async function access(): Promise<object> {
    const [good, poor, old, invented] = [makeToken(), makeToken(), makeToken(), makeToken()]
    const header = (way: Way, credential: Credential, authorization: string): void =>
      void credentials.set(`${way} ${credential}`, { headers: { authorization } })
    header('bearer', 'allowed', `Bearer ${good.token}`)
    header('bearer', 'denied', `bearer ${poor.token}`)
    header('bearer', 'forged', `Bearer ${invented.token}`)
    header('bearer', 'expired', `Bearer ${old.token}`)
    header('basic', 'allowed', basic('anna', 'right: with a colon'))
    header('basic', 'denied', basic('bob', 'right'))
    header('basic', 'forged', basic('anna', 'wrong'))

    const [issuer, impostor] = [await makeIssuer(), await makeIssuer()]
    header('JWT', 'allowed', `Bearer ${await issuer.sign({ sub: 'good' })}`)
    header('JWT', 'denied', `Bearer ${await issuer.sign({ sub: 'poor' })}`)
    header('JWT', 'forged', `Bearer ${await impostor.sign({ sub: 'good' })}`)
    header('JWT', 'expired', `Bearer ${await issuer.sign({ sub: 'good', exp: inSeconds(-3_600) })}`)

    const shown = (credential: Credential, certificate: TestCertificate): void =>
      void credentials.set(`mTLS ${credential}`, { certificate })
    const alternativeNames = ['URI:spiffe://example.com/good']
    shown('allowed', authority.issue({ commonName: 'whatever', alternativeNames }))
    shown('denied', authority.issue({ commonName: 'poor.example.com' }))
    shown('forged', new TestAuthority().issue({ commonName: 'whatever', alternativeNames }))
    const past = { notBefore: new Date('2020-01-01'), notAfter: new Date('2021-01-01') }
    shown('expired', authority.issue({ commonName: 'whatever', alternativeNames, ...past }))
    return {
      auth: {
        tokens: [
          { principal: 'good', sha256: good.sha256, expiresAt: '2199-01-01T00:00:00Z' },
          { principal: 'poor', sha256: poor.sha256 },
          { principal: 'good', sha256: old.sha256, expiresAt: '2020-01-01T00:00:00Z' }
        ],
        users: [
          { username: 'anna', principal: 'good', passwordHash: await cheapHash('right: with a colon') },
          { username: 'bob', passwordHash: await cheapHash('right') }
        ],
        certificates: [
          { principal: 'good', alternativeName: 'URI:spiffe://example.com/*' },
          { commonName: '*.example.com' }
        ],
        issuers: [
          { issuer: ISSUER, audience: AUDIENCE, jwksFile: folder.write('jwks.json', JSON.stringify(issuer.jwks)) }
        ]
      },
      access: { rules: [{ principals: ['good'], operations: [...OPERATIONS], topics: ['ord*'], groups: ['readers'] }] }
    }
  }

  it('the table lacks no operation', () => {
    for (const operation of OPERATIONS) expect(surfaces.filter(({ calls }) => calls[operation])).to.have.length.above(0)
  })

  for (const { name, calls } of surfaces) {
    for (const operation of OPERATIONS) {
      const ask = calls[operation]
      // Asked through the interface instead, see above.
      if (!ask) continue
      it(`${name}: ${operation} is answered as each credential allows`, () =>
        checkRows(
          WAYS.flatMap(way => CREDENTIALS.map(credential => ({ way, credential }))).filter(
            ({ way, credential }) => !isMeaningless(way, credential)
          ),
          async ({ way, credential }) => {
            const status = expectedStatus(way, credential)
            const by =
              way === 'none' ? credentials.get(`bearer ${credential}`) : credentials.get(`${way} ${credential}`)
            const gateway = way === 'none' ? open : guarded
            const taken = gateway.verbs.records.length
            const answer = await ask(gateway, { ca: authority.cert, ...by })
            // Who is let in is told 201 or 204 when something was written, and 408 when nothing was there to be consumed.
            expect([201, 204, 408].includes(answer.status) ? 200 : answer.status, answer.body).to.equal(status)
            const challenge =
              status === 401 ? 'Bearer realm="castellan", Basic realm="castellan", charset="UTF-8"' : undefined
            expect(answer.headers['www-authenticate']).to.equal(challenge)
            const isTaken = isApi(name) && operation === 'produce' && status === 200
            expect(gateway.verbs.records.length - taken).to.equal(isTaken ? 1 : 0)
          }
        ))
    }
  }

  it('answers 401 and 403 in the error format of kprf', async () => {
    const missing = await push(guarded.http.urls.shared, 'orders', { ca: authority.cert })
    expect(JSON.parse(missing.body)).to.deep.equal({
      status: 'err',
      errors: [{ error: true, message: 'Message production error: Authentication (Local: Authentication failure)' }]
    })
    const body = JSON.stringify({ records: ['orders', 'secret'].map(topic => ({ topic, data: 'x' })) })
    const headers = { 'content-type': 'application/json', ...credentials.get('bearer allowed')!.headers }
    const url = `${guarded.http.urls.shared}/kprf/push`
    const denied = await call(url, { method: 'POST', body, headers, ca: authority.cert })
    expect(denied.status).to.equal(403)
    expect(JSON.parse(denied.body)).to.deep.equal({
      status: 'err',
      errors: [
        { error: true, message: 'Message production error: PurgeQueue (Local: Purged in queue)' },
        {
          error: true,
          message: 'Message production error: TopicAuthorizationFailed (Broker: Topic authorization failed)'
        }
      ]
    })
    expect(denied.headers['x-castellan-persisted']).to.equal('no')
  })

  it('answers probes without credentials, and everything else of the management port with them only', async () => {
    const { management } = guarded.http.urls
    for (const path of ['/health-check', '/ready', '/ready/kafka']) {
      expect((await call(management + path, { ca: authority.cert })).status).to.equal(200)
    }
    for (const path of ['/metrics', '/metrics?x', '/other', '/health-check/']) {
      const answer = await call(management + path, { ca: authority.cert })
      expect([path, answer.status]).to.deep.equal([path, 401])
      expect(JSON.parse(answer.body)).to.deep.equal({ error: 'unauthenticated', message: 'credentials are missing' })
    }
  })
})
