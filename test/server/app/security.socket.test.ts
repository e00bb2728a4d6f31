import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { askRouter, type Logger, loadConfig, openCastellan, startApp } from '../../../src/index.js'
import { startCluster } from '../../../src/server/app/kafka.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { onBroker } from '../../support/stage.js'
import { testCertificate, testKey } from '../../support/test-certificate.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

const PASSWORD = 'hush, a secret'
const TOKEN = 'hush-token'

describe('Kafka with TLS and passwords', () => {
  const stage = onBroker({
    tls: { key: testKey, cert: testCertificate },
    sasl: { users: new Map([['anna', PASSWORD]]), tokens: new Set([TOKEN]) }
  })
  let directory: string
  before(async () => {
    directory = stage.folder()
    writeFileSync(join(directory, 'ca.pem'), testCertificate)
    writeFileSync(join(directory, 'password'), `${PASSWORD}\n`)
    writeFileSync(join(directory, 'token'), TOKEN)
    stage.cluster.createTopic('orders')
  })

  const environment = (more: Record<string, string>): Record<string, string> => ({
    CASTELLAN_BROKERS: stage.bootstrap,
    CASTELLAN_HTTP_PORT: '0',
    CASTELLAN_ADVANCED_HTTP_MAX_EVENT_LOOP_DELAY_MS: '0',
    CASTELLAN_MANAGEMENT_PORT: '0',
    CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
    CASTELLAN_CLUSTERS_DEFAULT_TLS_ENABLED: 'true',
    CASTELLAN_CLUSTERS_DEFAULT_TLS_CA_FILE: join(directory, 'ca.pem'),
    ...more
  })
  const login = (mechanism: string): Record<string, string> => ({
    CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: mechanism,
    CASTELLAN_CLUSTERS_DEFAULT_SASL_USERNAME: 'anna',
    CASTELLAN_CLUSTERS_DEFAULT_SASL_PASSWORD_FILE: join(directory, 'password')
  })

  /** Which topics the Router of the configuration sees. */
  async function topicsBy(more: Record<string, string>, log: Logger): Promise<string[] | string> {
    const config = loadConfig({ environment: environment(more) })
    const system = new ActorSystem()
    const onFatal = (error: Error): never => {
      throw error
    }
    const cluster = await startCluster('default', config.clusters.default!.brokers, {
      system,
      config,
      log,
      metrics: defaultLogger,
      onFatal
    })
    try {
      const result = await askRouter(cluster.router.ref, {
        type: 'fetchTopicMetadata',
        requestId: 1,
        timeoutMs: 15_000
      })
      return result.type === 'success' ? [...result.topics.keys()] : result.type
    } finally {
      await cluster.close(0)
      system.stop()
    }
  }

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512']) {
    it(`gets in by ${mechanism} with settings of the environment and a password from a file`, async () => {
      const lines: LogLine[] = []
      expect(await topicsBy(login(mechanism), recordingLogger(lines))).to.deep.equal(['orders'])
      expect(JSON.stringify(lines)).to.not.contain('hush')
    })
  }

  for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
    it(`gets in by ${mechanism}, written in capitals, in the settings and in the library`, async () => {
      expect(await topicsBy(login(mechanism), recordingLogger([]))).to.deep.equal(['orders'])
      const sasl = { mechanism, username: 'anna', password: PASSWORD }
      const connection = { tls: { ca: testCertificate }, sasl }
      await using castellan = await openCastellan({ brokers: stage.bootstrap, connection })
      expect([...(await castellan.admin.topics()).keys()]).to.deep.equal(['orders'])
    })
  }

  it('takes the name of oauthbearer in capitals, in the library', async () => {
    const connection = { tls: { ca: testCertificate }, sasl: { mechanism: 'OAUTHBEARER', token: TOKEN } as const }
    await using castellan = await openCastellan({ brokers: stage.bootstrap, connection })
    expect([...(await castellan.admin.topics()).keys()]).to.deep.equal(['orders'])
  })

  it('gets in by oauthbearer with a token from a file', async () => {
    const oauth = {
      CASTELLAN_CLUSTERS_DEFAULT_SASL_MECHANISM: 'oauthbearer',
      CASTELLAN_CLUSTERS_DEFAULT_SASL_TOKEN_FILE: join(directory, 'token')
    }
    expect(await topicsBy(oauth, recordingLogger([]))).to.deep.equal(['orders'])
  })

  const refusals: [string, () => Record<string, string>, RegExp][] = [
    [
      'a wrong password',
      () => ({ ...login('plain'), CASTELLAN_CLUSTERS_DEFAULT_SASL_USERNAME: 'nobody' }),
      /authentication/i
    ],
    [
      'a certificate of nobody it trusts',
      () => ({ ...login('plain'), CASTELLAN_CLUSTERS_DEFAULT_TLS_CA_FILE: '' }),
      /certificate/i
    ]
  ]
  for (const [name, more, reason] of refusals) {
    it(`is not ready with ${name}, says why, and keeps the secret`, async () => {
      const lines: LogLine[] = []
      let told!: () => void
      const said = new Promise<void>(resolve => (told = resolve))
      const log = recordingLogger(lines)
      const listening: Logger = {
        ...log,
        warn: (fields, message) => {
          log.warn(fields, message)
          if ('err' in fields && reason.test(String((fields.err as Error).message))) told()
        }
      }
      const app = await startApp(loadConfig({ environment: environment(more()) }), { log: listening, version: '0' })
      try {
        await said
        expect((await fetch(`${app.urls.management}/ready/kafka`)).status).to.equal(503)
      } finally {
        await app.stop()
      }
      expect(lines.map(({ fields, message }) => `${message} ${JSON.stringify(fields)}`).join('\n')).to.not.contain(
        'hush'
      )
    })
  }

  it('warns of traffic that can be read or changed on the network', async () => {
    const lines: LogLine[] = []
    const careless = { ...login('plain'), CASTELLAN_CLUSTERS_DEFAULT_TLS_REJECT_UNAUTHORIZED: 'false' }
    const app = await startApp(loadConfig({ environment: environment(careless) }), {
      log: recordingLogger(lines),
      version: '0'
    })
    await app.stop()
    expect(lines.some(({ level, message }) => level === 'warn' && message.includes('not verified'))).to.equal(true)
  })
})
