import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { until } from '../../support/pixy-stage.js'
import { RawSocket } from '../../support/raw-socket.js'
import { startTestApp } from '../../support/test-app.js'
import { brief, PixyClient, PixyGateway } from './stage.js'

describe('pixy: start and stop', function () {
  this.timeout(30_000)

  it('pixy H52: while the process stops, a synchronous message is refused, and it says that it is alive', async () => {
    const pixy = await PixyGateway.start({ 'consumer.longPollMs': '20000' })
    const url = pixy.app.urls.apis.get('kafka-pixy')!
    const begin = async (head: string): Promise<RawSocket> => {
      const socket = await RawSocket.open(url)
      await socket.send(`${head}\r\nHost: pixy\r\nConnection: close\r\n`)
      return socket
    }
    const [ping, produce] = await Promise.all([
      begin('GET /_ping HTTP/1.1'),
      begin('POST /topics/test.1/messages?sync HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 1')
    ])
    const polled = pixy.get('/topics/test.1/messages?group=waiting')
    await until(async () =>
      (await (await fetch(`${pixy.app.urls.management}/metrics`)).text()).includes('open_polls 1')
    )
    const stopped = pixy.app.stop()
    // From here on it stops.
    expect(brief(await polled)).to.equal('503 {"error":"service is shutting down"}')
    await Promise.all([ping!.send('\r\n'), produce!.send('\r\nm')])
    expect(await ping!.untilClosed()).to.match(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\npong$/)
    expect(await produce!.untilClosed()).to.match(/^HTTP\/1\.1 503 [\s\S]*"error": "service is shutting down"/)
    await stopped
    expect(pixy.cluster.records('test.1', 0)).to.deep.equal([])
    await pixy.stopAll()
  })

  it('pixy H43: without a port of its own nobody listens on one', async () => {
    const cluster = await startEmbeddedCluster()
    const folder = mkdtempSync(join(tmpdir(), 'castellan-pixy-'))
    const socketPath = join(folder, 'pixy.sock')
    const app = await startTestApp(cluster.bootstrap, { 'apis.kafka-pixy.unixSocket': socketPath })
    const client = new PixyClient({ socketPath, prefix: '' })
    try {
      expect(brief(await client.get('/_ping'))).to.equal('200 pong')
      expect(app.urls.apis.has('kafka-pixy')).to.equal(false)
    } finally {
      client.close()
      await app.stop()
      await cluster.close()
      rmSync(folder, { recursive: true })
    }
  })
})
