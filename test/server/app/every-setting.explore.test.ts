import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import { silentLogger } from '../../../src/core/model.js'
import type { Leaf } from '../../../src/core/settings/leaves.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { describeSettings } from '../../../src/server/config/schema.js'
import {
  AUDIENCE,
  basic,
  type Call,
  call,
  cheapHash,
  configOf,
  ISSUER,
  makeIssuer,
  makeToken,
  TestAuthority,
  TestFolder
} from '../../support/access.js'
import { testCertificate, testKey } from '../../support/test-certificate.js'
import { testedApis } from '../../support/tested-apis.js'
import { sideBySide } from './side-by-side.js'

/** Settings as they stand in a file. */
type Settings = { readonly [name: string]: unknown }

/** Settings that belong together, and how a client speaks to a gateway that has them. */
interface Scene {
  readonly settings: Settings
  readonly client?: Call
}

const MIB = 1_048_576

/** Values of settings that stand alone and for which neither the other word nor nine tenths of the default will do. */
const VALUES: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['http.host', 'localhost'],
  ['http.port', 0],
  ['http.unixSocketMode', '600'],
  ['http.allowedHosts', ['gateway.example.com']],
  ['http.allowedOrigins', ['https://app.example']],
  ['http.trustedProxies', ['10.0.0.0/8', '::1']],
  ['http.recordHeaders', ['x-tenant']],
  ['http.decodedApis', ['arion']],
  ['http.perAddress.maxConnections', 100],
  ['http.perAddress.maxBodiesInFlightBytes', MIB],
  ['http.perAddress.maxRequestsInFlight', 100],
  ['advanced.http.answersMaxBytes', 64 * MIB],
  ['management.host', '127.0.0.2'],
  ['management.port', 0],
  ['quotas.perPrincipal.recordsPerSecond', 1_000],
  ['quotas.perPrincipal.bytesPerSecond', MIB],
  ['quotas.perPrincipal.maxRequestsInFlight', 100],
  ['quotas.perAddress.recordsPerSecond', 1_000],
  ['quotas.perAddress.bytesPerSecond', MIB],
  ['quotas.principals', [{ principal: 'anonymous', recordsPerSecond: 1_000, bytesPerSecond: MIB }]],
  ['embedded.host', '127.0.0.2'],
  ['embedded.advertisedHost', 'localhost'],
  ['embedded.port', 0],
  ['embedded.nodes', 3],
  ['embedded.autoCreateTopics', true],
  ['advanced.embedded.retentionBytes', MIB],
  ['metrics.lag.everyMs', 1_000],
  ['metrics.lag.groups', ['billing']],
  ['statsd.host', '127.0.0.1'],
  ['advanced.router.produceConnections', 4],
  ['delivery.createTopics', true],
  ['consumer.maxRetries', 3],
  ['consumer.instanceId', 'pod-1'],
  ['advanced.consumer.instancesTopic', 'instances-of-gateways'],
  ['log.file', 'castellan.log'],
  ['wal.directory', '.cache/elsewhere'],
  ['shutdown.drainMs', 10],
  ['service.pidFile', 'castellan.pid'],
  // Alone, they open nothing.
  ['peers.listen', '127.0.0.1:0'],
  ['peers.networks', ['127.0.0.0/8']],
  ['peers.token', 'a secret of more than thirty-two bytes']
])

/** The settings that all APIs have. */
const OF_ALL_APIS = { enabled: true, host: '127.0.0.2', port: 0 }

const SCENES = [
  'tls',
  'client certificates',
  'tokens',
  'users',
  'JSON Web Tokens',
  'unix socket',
  'rules and audit file',
  'directory',
  'log synced from time to time',
  'access log',
  'other gateways',
  'webhook, Basic',
  'webhook, Bearer',
  'Kafka with TLS and SCRAM-SHA-256',
  'Kafka with TLS and SCRAM-SHA-512',
  'Kafka with TLS and PLAIN',
  'Kafka with TLS and OAUTHBEARER',
  'Kafka with TLS and OAUTHBEARER by client credentials',
  'Kafka with TLS and OAUTHBEARER by a file',
  'Kafka with TLS and OAUTHBEARER by a command',
  'schema registry'
] as const

/** `kprf: rate limit` */
const SCENES_OF_APIS = [...testedApis].flatMap(([api, { scenes = {} }]) =>
  Object.entries(scenes).map(([scene, settings]) => ({ name: `${api}: ${scene}`, api, settings }))
)

const TOGETHER: [string, (typeof SCENES)[number][]][] = [
  [
    'embedded broker',
    [
      'directory',
      'log synced from time to time',
      'access log',
      'unix socket',
      'rules and audit file',
      'tokens',
      'users',
      'JSON Web Tokens',
      'client certificates'
    ]
  ],
  [
    'Kafka',
    [
      'log synced from time to time',
      'access log',
      'unix socket',
      'rules and audit file',
      'users',
      'client certificates',
      'JSON Web Tokens',
      'Kafka with TLS and SCRAM-SHA-512',
      'tokens',
      'tls'
    ]
  ]
]

/** The other words of a setting; for a number nine tenths of its default, for a switch the other position. */
function otherValues(name: string, { kind, type, defaultValue }: Leaf): unknown[] {
  if (VALUES.has(name)) return [VALUES.get(name)]
  const [, api, setting = ''] = name.match(/^(?:advanced\.)?apis\.([^.]+)\.(.+)$/) ?? []
  const { otherValues } = testedApis.get(api ?? '') ?? { otherValues: {} }
  const ofApi = { ...OF_ALL_APIS, ...otherValues } as Readonly<Record<string, unknown>>
  if (api !== undefined && setting in ofApi) return [ofApi[setting]]
  const words = [...type.matchAll(/`([^`]+)`/g)].map(([, word]) => word).filter(word => word !== defaultValue)
  if (kind === 'string' && words.length > 0) return words
  if (typeof defaultValue === 'boolean') return [!defaultValue]
  if (typeof defaultValue === 'number') {
    return [Number.isInteger(defaultValue) ? Math.floor(defaultValue * 0.9) : defaultValue * 0.9]
  }
  return []
}

const isPartOfAScene = (name: string): boolean =>
  /^clusters\.|^peers\.(addresses|tlsDirectory)|^webhooks\.(credentials|definitions|networks|recordHeaders|tls)|^schemas\.registry|\.tls\.\w|^advanced\.wal\.fsync(Threshold|Interval)|^http\.accessLog/.test(
    name
  )

/** `http.perAddress.maxConnections` => `http`; `apis.kprf.enabled` => `apis.kprf`. */
const sectionOf = (name: string): string => name.match(/^(advanced\.)?(apis\.)?[^.]+/)![0]

const within = (name: string, value: unknown): Settings =>
  name.split('.').reduceRight((inner: unknown, key) => ({ [key]: inner }), value) as Settings

function merged(...all: Settings[]): Settings {
  const isSection = (value: unknown): value is Settings =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  const result: Record<string, unknown> = {}
  for (const settings of all) {
    for (const [key, value] of Object.entries(settings)) {
      const before = result[key]
      result[key] = isSection(before) && isSection(value) ? merged(before, value) : value
    }
  }
  return result
}

function namesIn(settings: Settings, prefix = ''): string[] {
  return Object.entries(settings).flatMap(([key, value]) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? namesIn(value as Settings, `${prefix}${key}.`)
      : [`${prefix}${key}`]
  )
}

/** Free ports, all APIs, and time for a busy machine: what every case has unless it is about one of these. */
const BASE: Settings = {
  http: { port: 0 },
  management: { port: 0 },
  embedded: { port: 0 },
  apis: Object.fromEntries([...testedApis].map(([name, { patient }]) => [name, { ...patient, enabled: true }])),
  shutdown: { drainMs: 0 },
  // A machine that is busy with other gateways makes the event loop late, and requests are then refused.
  advanced: { http: { maxEventLoopDelayMs: 0 } }
}

/** Everybody may do everything: what stands beside a way to authenticate. */
const RULES = [
  {
    principals: ['*', 'anonymous'],
    operations: ['produce', 'consume', 'offsets', 'admin', 'management'],
    topics: ['*'],
    groups: ['*']
  }
]

/**
 * A plain client does what it did before, whatever is switched on.
 *
 * @param partition gateways of different partitions may run at the same time; those of one partition use one durable log in turn
 */
async function isServedPlainly(settings: Settings, folder: TestFolder, client: Call = {}, producer = 0): Promise<void> {
  const config = configOf(folder, merged(BASE, { wal: { directory: `${folder.path}/wal-${producer}` } }, settings))
  await servesPlainly(await startApp(config, { log: silentLogger, version: '0.0.0-test' }), client)
}

type Started = Pick<App, 'urls' | 'stop'>

async function servesPlainly(app: Started, client: Call): Promise<void> {
  try {
    await servesAllApis(app, client)
    await looksAtHealth(app, client)
  } finally {
    expect(await app.stop()).to.deep.equal({ lostRecords: 0 })
  }
}

async function servesAllApis({ urls }: Started, client: Call): Promise<void> {
  for (const { name, prefix } of apis) {
    const { isServed } = testedApis.get(name)!
    await isServed(`${urls.shared}${prefix}`, client)
    const own = urls.apis.get(name)
    if (own !== undefined) await isServed(own, client)
  }
}

async function looksAtHealth({ urls }: Started, client: Call): Promise<void> {
  if (urls.management === undefined) return
  for (const path of ['/health-check', '/ready', '/metrics']) {
    expect([path, (await call(`${urls.management}${path}`, client)).status]).to.deep.equal([path, 200])
  }
}

describe('with every setting switched on', function () {
  this.timeout(120_000)
  const authority = new TestAuthority()
  const scenes = new Map<string, Scene>()
  const tested = new Set<string>()
  let folder: TestFolder
  let kafka: EmbeddedCluster
  const tokenServer = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ access_token: 'a-token', token_type: 'Bearer', expires_in: 3_600 }))
  })

  before(async () => {
    folder = new TestFolder()
    kafka = await startEmbeddedCluster({
      tls: { key: testKey, cert: testCertificate },
      sasl: { users: new Map([['anna', 'good']]), tokens: new Set(['a-token']) }
    })
    for (const [name, scene] of await makeScenes(folder, authority, kafka.bootstrap, await started(tokenServer))) {
      scenes.set(name, scene)
    }
  })
  after(async () => {
    await kafka?.close()
    tokenServer.close()
    folder.remove()
  })

  const { leaves } = describeSettings()
  const alone = leaves
    .map(leaf => [leaf.path.join('.').replace('*', 'default'), leaf] as const)
    .filter(([name]) => !isPartOfAScene(name))
    .flatMap(([name, leaf]) => otherValues(name, leaf).map(value => ({ name, value })))

  for (const section of new Set(alone.map(({ name }) => sectionOf(name)))) {
    it(`${section}: each setting, changed alone, changes nothing for a plain client`, async () => {
      const cases = alone.filter(({ name }) => sectionOf(name) === section)
      for (const { name } of cases) tested.add(name)
      const nameOf = ({ name, value }: (typeof cases)[number]): string => `${name}: ${JSON.stringify(value)}`
      await sideBySide(cases, nameOf, ({ name, value }, producer) =>
        isServedPlainly(within(name, value), folder, {}, producer)
      )
    })
  }

  it('a plain client that has what it needs is served in every scene', async () => {
    const names = [...SCENES, ...SCENES_OF_APIS.map(scene => scene.name)]
    const serve = async (name: string, producer: number): Promise<void> => {
      const { settings, client } = scenes.get(name)!
      for (const each of namesIn(settings)) tested.add(each)
      await isServedPlainly(settings, folder, client, producer)
    }
    await sideBySide(names, name => name, serve)
  })

  for (const [kind, ofProcess] of TOGETHER) {
    const names = [...ofProcess, ...SCENES_OF_APIS.map(({ name }) => name)]
    const everything = (): { settings: Settings; client: Call } => {
      const ofKind = alone
        .filter(({ name }) => kind.includes('embedded') || !name.startsWith('embedded.'))
        .map(({ name, value }) => within(name, value))
      const settings = merged(...ofKind, ...names.map(name => scenes.get(name)!.settings), {
        embedded: { advertisedHost: '127.0.0.2' }
      })
      return { settings, client: Object.assign({}, ...names.map(name => scenes.get(name)!.client ?? {})) }
    }

    it(`everything together, ${kind}`, async () => {
      const { settings, client } = everything()
      await isServedPlainly(settings, folder, client)
    })
  }

  it('leaves none out', () => {
    const names = leaves.map(({ path }) => path.join('.').replace('*', 'default'))
    // Only Amazon's brokers can check what it makes; test/server/app/token-sources.socket.test.ts has the tokens.
    const needsAmazon = 'clusters.default.sasl.mskRegion'
    expect(names.filter(name => !tested.has(name))).to.deep.equal([needsAmazon])
  })
})

async function started(server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`
}

async function makeScenes(
  folder: TestFolder,
  authority: TestAuthority,
  brokers: string,
  tokenUrl: string
): Promise<Map<string, Scene>> {
  const { cert, key } = authority.issue({
    commonName: 'castellan',
    alternativeNames: ['IP:127.0.0.1', 'IP:127.0.0.2', 'DNS:localhost']
  })
  const tls = {
    certFile: folder.write('cert.pem', cert),
    keyFile: folder.write('key.pem', key)
  }
  const asking = {
    ...tls,
    caFile: folder.write('ca.pem', authority.cert),
    clientAuth: 'required',
    minVersion: 'TLSv1.3'
  }
  // The files of `peers.tlsDirectory`.
  folder.write('tls.crt', cert)
  folder.write('tls.key', key)
  folder.write('ca.crt', authority.cert)
  const certificate = authority.issue({ commonName: 'billing' })
  const { token, sha256 } = makeToken()
  const issuer = await makeIssuer()
  const access = { rules: RULES }
  const jwksFile = folder.write('jwks.json', JSON.stringify(issuer.jwks))
  const ca = authority.cert
  const bearer = { headers: { authorization: `Bearer ${token}` } }
  const kafkaTls = {
    enabled: true,
    caFile: folder.write('kafka-ca.pem', testCertificate),
    serverName: 'localhost',
    certFile: folder.write('kafka-client.pem', certificate.cert),
    keyFile: folder.write('kafka-client-key.pem', certificate.key),
    rejectUnauthorized: true
  }
  const kafka = (sasl: object): Scene => ({
    settings: {
      clusters: {
        default: {
          brokers: brokers.split(','),
          clientId: 'someone',
          connectTimeoutMs: 5_000,
          requestTimeoutMs: 9_000,
          tls: kafkaTls,
          sasl
        }
      }
    }
  })
  // There are no records for it, so it sends nothing.
  const webhook = (credential: object): Scene => ({
    settings: {
      webhooks: {
        definitions: {
          default: {
            cluster: 'default',
            topic: 'webhook-records',
            url: 'http://127.0.0.1:9/hook',
            secretFile: folder.write('webhook-secret', `whsec_${Buffer.alloc(32, 7).toString('base64')}`),
            start: 'earliest',
            order: 'none',
            format: 'value',
            contentType: 'application/json',
            timeoutMs: 2_000,
            maxInFlight: 4,
            deadLetters: 'webhook-dead-letters',
            maxAttempts: 5,
            credential: 'default',
            paused: false
          }
        },
        credentials: { default: { ...credential, urls: ['http://127.0.0.1:9/hook'] } },
        networks: ['127.0.0.0/8'],
        recordHeaders: ['x-tenant'],
        tls: { ca: folder.write('webhook-ca.pem', testCertificate) }
      }
    }
  })
  const login = { username: 'anna', password: 'good' }
  return new Map<string, Scene>([
    [
      'tls',
      {
        settings: {
          http: { tls },
          management: { tls },
          advanced: { http: { tls: { reloadIntervalMs: 5_000 } }, management: { tls: { reloadIntervalMs: 5_000 } } }
        },
        client: { ca }
      }
    ],
    [
      'client certificates',
      {
        settings: {
          http: { tls: asking },
          management: { tls: asking },
          auth: { certificates: [{ commonName: 'billing' }] },
          access
        },
        client: { ca, certificate }
      }
    ],
    ['tokens', { settings: { auth: { tokens: [{ principal: 'shop', sha256 }] }, access }, client: bearer }],
    [
      'users',
      {
        settings: { auth: { users: [{ username: 'anna', passwordHash: await cheapHash('good') }] }, access },
        client: { headers: { authorization: basic('anna', 'good') } }
      }
    ],
    [
      'JSON Web Tokens',
      {
        settings: {
          auth: {
            issuers: [{ issuer: ISSUER, audience: AUDIENCE, jwksFile }]
          },
          access
        },
        client: { headers: { authorization: `Bearer ${await issuer.sign({ sub: 'carol' })}` } }
      }
    ],
    [
      'unix socket',
      { settings: { http: { unixSocket: `${folder.path}/socket` }, auth: { unixSocketPrincipal: 'local' } } }
    ],
    [
      'rules and audit file',
      { settings: { access: { rules: RULES, audit: 'all', auditFile: `${folder.path}/audit` } } }
    ],
    ['webhook, Basic', webhook({ type: 'basic', username: 'anna', password: 'good' })],
    ['webhook, Bearer', webhook({ type: 'bearer', token: 'a-token' })],
    ...SCENES_OF_APIS.map(
      ({ name, api, settings }) => [name, { settings: { apis: { [api]: settings(folder) } } }] as const
    ),
    [
      'access log',
      {
        settings: {
          http: { accessLog: { target: `${folder.path}/access` } },
          advanced: { http: { accessLog: { share: 0.5 } } }
        }
      }
    ],
    [
      'other gateways',
      {
        settings: {
          peers: {
            addresses: ['127.0.0.1:1'],
            listen: '127.0.0.1:0',
            token: 'a secret of more than thirty-two bytes',
            tlsDirectory: folder.path
          }
        }
      }
    ],
    ['directory', { settings: { embedded: { directory: `${folder.path}/records` } } }],
    [
      'log synced from time to time',
      {
        settings: {
          wal: { fsyncPuts: false },
          advanced: { wal: { fsyncTakes: false, fsyncThreshold: 1_000, fsyncIntervalMs: 1_000 } }
        }
      }
    ],
    ['Kafka with TLS and SCRAM-SHA-256', kafka({ mechanism: 'scram-sha-256', ...login })],
    ['Kafka with TLS and SCRAM-SHA-512', kafka({ mechanism: 'scram-sha-512', ...login })],
    ['Kafka with TLS and PLAIN', kafka({ mechanism: 'plain', ...login })],
    ['Kafka with TLS and OAUTHBEARER', kafka({ mechanism: 'oauthbearer', token: 'a-token' })],
    [
      'Kafka with TLS and OAUTHBEARER by client credentials',
      kafka({
        mechanism: 'oauthbearer',
        tokenUrl,
        tokenClient: 'castellan',
        tokenSecret: 'good',
        tokenScope: 'kafka',
        tokenCaFile: kafkaTls.caFile
      })
    ],
    [
      'Kafka with TLS and OAUTHBEARER by a file',
      kafka({ mechanism: 'oauthbearer', tokenPath: folder.write('token', 'a-token') })
    ],
    [
      'Kafka with TLS and OAUTHBEARER by a command',
      kafka({ mechanism: 'oauthbearer', tokenCommand: ['echo', 'a-token'] })
    ],
    [
      'schema registry',
      {
        settings: {
          schemas: {
            registry: { urls: ['https://127.0.0.1:1'], credentials: 'anna:good', caFile: asking.caFile, ...tls }
          }
        }
      }
    ]
  ])
}
