import { expect } from 'chai'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { Fault } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { startTestApp } from '../../support/test-app.js'

describe('arion: a topic that may not be written', () => {
  for (const [how, api] of [
    ['a denied record', 'Produce'],
    ['a topic that may not be seen', 'Metadata']
  ] as const) {
    it(`is answered at once, and keeps the message until the right is granted: ${how}`, async () => {
      const cluster = await startEmbeddedCluster({ nodes: 1 })
      cluster.createTopic('denied', { partitions: 1 })
      const lines: string[] = []
      const write: Logger['warn'] = (fields, text) => lines.push(JSON.stringify({ ...fields, text }))
      const errorCode = errorCodes.TOPIC_AUTHORIZATION_FAILED
      const fault: Fault = cluster.faults.add({ api, topic: 'denied', count: Infinity }, { type: 'error', errorCode })
      const settings = { 'apis.arion.idleTimeoutMs': '60000' }
      const app = await startTestApp(cluster.bootstrap, settings, {
        ...silentLogger,
        warn: write,
        error: write
      })
      try {
        const answer = await fetch(`${app.urls.shared}/arion/sync/denied`, { method: 'POST', body: 'message' })
        expect([answer.status, answer.headers.get('x-castellan-persisted')]).to.deep.equal([500, 'pending'])
        const body = (await answer.json()) as { status: string; error: string; id: string }
        expect(body).to.include({ status: 'error' })
        expect(body.error).to.match(/authori[sz]ed/i)
        expect(body.id).to.be.a('string')
        const about = lines.filter(line => line.includes('records stay in the durable log'))
        expect(about).to.have.length(1)
        expect(about[0]).to.contain('"topic":"denied","code":"notAuthorized"')
        fault.remove()
        const sent = await fetch(`${app.urls.shared}/arion/sync/denied`, { method: 'POST', body: 'another' })
        expect(sent.status).to.equal(201)
        // The first one came before it.
        expect(((await sent.json()) as { offset: number }).offset).to.equal(1)
      } finally {
        await app.stop()
        await cluster.close()
      }
    })
  }
})
