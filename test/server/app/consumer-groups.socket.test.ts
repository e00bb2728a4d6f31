import { expect } from 'chai'
import { z } from 'zod'
import { silentLogger } from '../../../src/core/model.js'
import { commonSettings, type HttpApi } from '../../../src/http/api/api.js'
import { startApp } from '../../../src/server/app/app.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type ConsumeManyResult, ONE_MESSAGE, type Verbs } from '../../../src/verbs/verbs.js'
import { logWorker } from '../../support/built.js'
import { GroupInstance } from '../../support/group-instance.js'
import { onBroker } from '../../support/stage.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

/** Gives the test the gateway that APIs are given. */
const peekingApi = (peek: (verbs: Verbs) => void): HttpApi => ({
  name: 'peeking',
  about: 'a test',
  source: 'none',
  prefix: '/peeking',
  settings: z.strictObject(commonSettings(1)).prefault({}).describe('None'),
  tryIt: () => [],
  operations: () => [],
  plugin: async ({ verbs }) => {
    peek(verbs)
    return () => undefined
  }
})

describe('consumer groups of the command', () => {
  const stage = onBroker()
  before(async () => {
    stage.cluster.createTopic('orders', { partitions: 1 })
  })

  const start = async (settings: Readonly<Record<string, string>>) => {
    let verbs: Verbs | undefined
    const apis = [peekingApi(given => (verbs = given))]
    const all = {
      'clusters.default.brokers': stage.bootstrap,
      'http.port': '0',
      'management.port': 'off',
      'advanced.http.maxEventLoopDelayMs': '0',
      'wal.directory': walDirectoryOf('apps'),
      ...settings
    }
    const flags = Object.entries(all).map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
    const config = loadConfig({ flags, apis })
    const app = await startApp(config, { log: silentLogger, version: '0', logWorker, apis })
    return { app, verbs: verbs! }
  }
  const consume = (verbs: Verbs): Promise<ConsumeManyResult> =>
    new Promise(reply => verbs.groups.consume('billing', 'orders', ONE_MESSAGE, 10_000, { reply }))

  it('have the settings of the configuration, and are left with a commit when the process stops', async () => {
    const { app, verbs } = await start({
      'consumer.start': 'earliest',
      'consumer.ackTimeoutMs': '50',
      'consumer.maxRetries': '1'
    })
    const library = await GroupInstance.start(stage.bootstrap)
    await library.produce('orders', 0, ['m0', 'm1'])
    const retries = []
    for (let result = await consume(verbs); result.type === 'messages'; result = await consume(verbs)) {
      const { messages } = result.messages
      retries.push(`${messages[0]!.value}: ${messages[0]!.retries}`)
      if (String(messages[0]!.value) !== 'm1') continue
      result.messages.ack()
      break
    }
    expect(retries[0]).to.equal('m0: 0')
    expect((await verbs.groups.consumers(['billing'], 10_000)).get('billing')).to.have.length(1)
    await app.stop()
    expect((await library.castellan.verbs.groups.consumers(['billing'], 10_000)).size).to.equal(0)
    expect(await library.committed('billing', 'orders', 0)).to.match(/^(0 1-2|2)$/)
    await library.stop()
  })

  it('a heartbeat interval that the session time-out does not cover is refused by name', async () => {
    const refused = await start({ 'advanced.consumer.heartbeatIntervalMs': '10000' }).then(
      () => '',
      (error: Error) => error.message
    )
    expect(refused).to.match(/consumer\.heartbeatIntervalMs: must be shorter than `sessionTimeoutMs`/)
  })
})
