import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import type { Config } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger, until } from '../../http/server/stage.js'
import { configOf, push, TestAuthority, TestFolder } from '../../support/access.js'
import { logWorker } from '../../support/built.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

/** The authority of the brokers is replaced while the gateway runs. */
describe('certificates towards brokers', function () {
  this.timeout(60_000)
  const folder = new TestFolder()
  let cluster: EmbeddedCluster
  let app: App
  afterEach(async () => {
    await app?.stop()
    await cluster?.close()
  })
  after(() => folder.remove())

  const startBroker = (authority: TestAuthority, port = 0): Promise<EmbeddedCluster> => {
    const tls = authority.issue({ commonName: 'broker', alternativeNames: ['IP:127.0.0.1'] })
    return startEmbeddedCluster({ tls, port })
  }
  const settingsOf = (bootstrap: string, caFile: string): Config =>
    configOf(folder, {
      clusters: { default: { brokers: [bootstrap], tls: { enabled: true, caFile }, connectTimeoutMs: 2_000 } },
      http: { port: 0 },
      management: { port: 0 },
      wal: { directory: walDirectoryOf('apps') },
      apis: { kprf: { messageTimeoutMs: 30_000 } }
    })

  it('are read again, and count for connections that are opened from then on', async () => {
    const [before, after] = [new TestAuthority(), new TestAuthority()]
    const caFile = folder.write('ca.pem', before.cert)
    cluster = await startBroker(before)
    const lines: LogLine[] = []
    const config = settingsOf(cluster.bootstrap, caFile)
    app = await startApp(config, { log: recordingLogger(lines), version: '0', logWorker })
    expect((await push(app.urls.shared, 'orders')).status).to.equal(200)

    const authorities = folder.write('ca.pem', after.cert)
    await app.reload(settingsOf(cluster.bootstrap, authorities))

    const port = Number(cluster.bootstrap.split(':')[1])
    await cluster.close()
    cluster = await startBroker(after, port)
    expect((await push(app.urls.shared, 'orders')).status, 'over new connections').to.equal(200)
  })

  it('that cannot be used leave those before in use', async () => {
    const authority = new TestAuthority()
    const caFile = folder.write('ca.pem', authority.cert)
    cluster = await startBroker(authority)
    const config = settingsOf(cluster.bootstrap, caFile)
    app = await startApp(config, { log: recordingLogger([]), version: '0', logWorker })
    const missing = { ...config.clusters.default!, tls: { ...config.clusters.default!.tls, caFile: '/missing.pem' } }
    const reloading = app.reload({ ...config, clusters: { default: missing } })
    expect(await reloading.catch((error: Error) => error.message)).to.contain('cannot read /missing.pem')
    const port = Number(cluster.bootstrap.split(':')[1])
    await cluster.close()
    cluster = await startBroker(authority, port)
    await until(async () => (await push(app.urls.shared, 'orders')).status === 200, 'a push that is answered 200')
  })
})
