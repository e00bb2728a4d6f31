import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import type { HttpApi } from '../../../src/http/api/api.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

describe('several clusters', () => {
  let app: App
  let lines: LogLine[]
  afterEach(() => app.stop())

  /** The embedded broker as `default`, and `eu`, which is away. */
  const start = async (listed: readonly HttpApi[]): Promise<void> => {
    lines = []
    const environment = {
      CASTELLAN_EMBEDDED_ENABLED: 'true',
      CASTELLAN_EMBEDDED_PORT: '0',
      CASTELLAN_HTTP_PORT: '0',
      CASTELLAN_ADVANCED_HTTP_MAX_EVENT_LOOP_DELAY_MS: '0',
      CASTELLAN_MANAGEMENT_PORT: '0',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
      CASTELLAN_CLUSTERS_EU_BROKERS: '127.0.0.1:1'
    }
    const config = loadConfig({ environment, apis: listed })
    app = await startApp(config, { log: recordingLogger(lines), version: '0.0.0-test', apis: listed })
  }
  const ready = async (): Promise<{ status: number; reasons: readonly string[] }> => {
    const answer = await fetch(`${app.urls.management}/ready/kafka`)
    const { reasons } = (await answer.json()) as { reasons?: string[] }
    return { status: answer.status, reasons: reasons ?? [] }
  }
  const defaultAnswers = async (): Promise<void> => {
    while ((await ready()).reasons.some(reason => reason.includes('cluster default'))) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  const ofDefaultOnly = (apis as readonly HttpApi[]).filter(({ clusters }) => clusters !== 'all')
  const said = (): string => lines.map(({ message }) => message).join('\n')

  it('one that no API can address does not make /ready fail', async () => {
    await start(ofDefaultOnly)
    await defaultAnswers()
    expect(await ready()).to.deep.equal({ status: 200, reasons: [] })
    expect(said()).to.include('no API that is served can address cluster eu; /ready ignores it')
    const metrics = await (await fetch(`${app.urls.management}/metrics`)).text()
    expect(metrics).to.match(/^castellan_ready 1$/m)
    expect(metrics).to.match(/^castellan_cluster_ready\{cluster="eu"\} 0$/m)
  })

  it('one that an API can address makes /ready fail', async () => {
    const [first, ...others] = ofDefaultOnly
    await start([{ ...first!, clusters: 'all' }, ...others])
    await defaultAnswers()
    const { status, reasons } = await ready()
    expect([status, reasons.length]).to.deep.equal([503, 1])
    expect(reasons[0]).to.match(/^no broker of cluster eu answers/)
    expect(said()).to.not.include('/ready ignores it')
  })
})
