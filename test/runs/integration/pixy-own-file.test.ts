import { expect } from 'chai'
import { kafkaPixyCommand } from '../../../src/apis/api-commands.js'
import { silentLogger } from '../../../src/core/model.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { translateConfig } from '../../../src/server/config/config.js'
import { brief, PixyClient } from '../../apis/kafka-pixy/stage.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { walDirectoryOf } from '../../support/wal-directory.js'
import { inWorld } from './in-world.js'

describe("pixy: a process that is configured by Kafka-Pixy's own file", () => {
  inWorld()
  const stage = onCluster()

  async function start(
    proxy: object,
    flags: Readonly<Record<string, string>> = {}
  ): Promise<{ app: App; pixy: PixyClient }> {
    const file = JSON.stringify({
      tcp_addr: '127.0.0.1:0',
      grpc_addr: '127.0.0.1:0',
      proxies: { default: { kafka: { seed_peers: stage.bootstrap.split(',') }, ...proxy } }
    })
    const given = { flags: new Map([['config', 'pixy.yaml']]), environment: {}, readFile: () => file }
    const own = { 'management.port': 'off', 'delivery.createTopics': 'false', 'advanced.http.maxEventLoopDelayMs': '0' }
    const all = Object.entries({ ...own, 'wal.directory': walDirectoryOf('apps'), ...flags })
    const sources = { flags: all.map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value })) }
    const translated = translateConfig(sources, await kafkaPixyCommand.translate(given), 'kafka-pixy')
    const started = await startApp(translated.config, { log: silentLogger, version: '0.0.0-test' })
    const app = stage.keep(started, ({ stop }) => stop())
    const port = Number(new URL(app.urls.apis.get('kafka-pixy')!).port)
    return { app, pixy: new PixyClient({ port, prefix: '' }) }
  }

  it('leaves its groups when it stops, also where the file has a client_id', async () => {
    const [topic, group] = [freshTopic('left'), freshTopic('foo')]
    await stage.cluster.createTopic(topic, 1)
    const consumer = { long_polling_timeout: '1s' }
    // Longer than the test: nobody waits for the coordinator to remove a member.
    const flags = { 'consumer.sessionTimeoutMs': '300000' }
    const first = await start({ client_id: `${group}-1`, consumer }, flags)
    const second = await start({ client_id: `${group}-2`, consumer }, flags)
    const poll = (pixy: PixyClient) => pixy.get(`/topics/${topic}/messages?group=${group}`)
    const readers = async () => brief(await second.pixy.get(`/topics/${topic}/consumers?group=${group}`))

    expect(brief(await poll(first.pixy))).to.equal('408 {"error":"long polling timeout"}')
    expect(await readers(), 'named by its client_id').to.equal(`200 {"${group}":{"${group}-1":[0]}}`)
    first.pixy.close()
    await first.app.stop()
    expect(await readers(), 'gone with its stop').to.equal(`400 {"error":"unknown consumer group ${group}"}`)

    await second.pixy.produce(`/topics/${topic}/messages?sync`, 'm0')
    expect((await poll(second.pixy)).status, 'the other one reads on at once').to.equal(200)
    expect(await readers()).to.equal(`200 {"${group}":{"${group}-2":[0]}}`)
    second.pixy.close()
  })
})
