import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { askRouter, loadConfig, openCastellan } from '../../../src/index.js'
import { connectionOf } from '../../../src/server/app/kafka.js'
import { toYaml } from '../../../src/server/config/print.js'
import { runCommand } from '../../cli/run-command.js'
import { onBroker } from '../../support/stage.js'
import { testCertificate } from '../../support/test-certificate.js'
import { answering, TokenEndpoint } from '../../support/token-endpoint.js'

const SECRET = 'hush-secret'

describe('Kafka with tokens by client credentials', () => {
  let directory: string
  let endpoint: TokenEndpoint
  /** What brokers let in. */
  const tokens = new Set<string>()
  const stage = onBroker({ nodes: 2, sasl: { tokens } })
  before(async () => {
    directory = stage.folder()
    writeFileSync(join(directory, 'ca.pem'), testCertificate)
    stage.cluster.createTopic('orders', { partitions: 2 })
  })
  beforeEach(() => tokens.clear())

  const start = async (isTls: boolean): Promise<void> => {
    const started = await TokenEndpoint.start(
      (response, request) => {
        const token = `granted-${endpoint.requests.length}`
        tokens.add(token)
        answering({ access_token: token, token_type: 'bearer', expires_in: 3_600 })(response, request)
      },
      { isTls }
    )
    endpoint = stage.keep(started, one => one.close())
  }
  const settings = (): Record<string, string> => ({
    CASTELLAN_BROKERS: stage.bootstrap,
    CASTELLAN_CLUSTERS_DEFAULT_CONNECT_TIMEOUT_MS: '15000',
    CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'oauthbearer',
    CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_URL: endpoint.url,
    CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_CLIENT: 'gateway',
    CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_SECRET: SECRET,
    CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_SCOPE: 'kafka',
    ...(endpoint.url.startsWith('https') && {
      CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_CA_FILE: join(directory, 'ca.pem')
    })
  })

  for (const isTls of [false, true]) {
    it(`gets in with a token had ${isTls ? 'over TLS' : 'in plain text'}, one for all connections`, async () => {
      await start(isTls)
      const config = loadConfig({ environment: settings() })
      const connection = connectionOf('default', config.clusters.default!)
      const castellan = await openCastellan({ brokers: stage.bootstrap, connection })
      try {
        const records = [0, 1].map(partition => ({ topic: 'orders', partition, key: null, value: 'x' }))
        const { outcomes } = await askRouter(castellan.router.ref, { type: 'produce', records, timeoutMs: 20_000 })
        expect(outcomes.map(({ type }) => type)).to.deep.equal(['delivered', 'delivered'])
        expect(endpoint.requests.map(({ form }) => form)).to.deep.equal([
          { grant_type: 'client_credentials', scope: 'kafka' }
        ])
      } finally {
        await castellan.close({ timeoutMs: 0 })
      }
      expect(toYaml(config)).to.not.contain('hush')
    })
  }

  it('tells at once, in one line, that the token server refuses the client', async () => {
    await start(false)
    endpoint.answer = answering({ error: 'invalid_client', error_description: SECRET }, 401)
    const { code, stdout, stderr } = await runCommand(['topics', '--timeout', '60'], { environment: settings() })
    expect([code, stdout]).to.deep.equal([1, ''])
    expect(stderr.trimEnd()).to.match(/no token from http:\/\/\S+\/oauth\/token: it answered 401 \(invalid_client\)$/)
    expect(stderr).to.not.match(/refuses the oauthbearer login|hush|\n./)
  })

  it('asks for a new token when brokers do not take the one it has any more', async () => {
    await start(false)
    const connection = connectionOf('default', loadConfig({ environment: settings() }).clusters.default!)
    const connect = await openCastellan({ brokers: stage.bootstrap, connection })
    try {
      const client = () => connect.createClient(stage.cluster.nodes[0]!, 'test')
      await client().connect()
      tokens.clear()
      const refused = client()
      await refused.connect().then(
        () => expect.fail('it got in'),
        error => expect(error.message).to.contain('refuses')
      )
      const another = client()
      await another.connect()
      expect(another.isConnected).to.equal(true)
    } finally {
      await connect.close({ timeoutMs: 0 })
    }
  })
})
