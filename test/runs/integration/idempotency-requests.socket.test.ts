import { randomUUID } from 'node:crypto'
import { type IncomingMessage, request } from 'node:http'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'

describe('requests with an Idempotency-Key', function () {
  this.timeout(60_000)
  const stage = onBroker()
  let app: App | undefined

  const start = async (settings: Readonly<Record<string, string>>): Promise<void> => {
    app = await stage.app({ 'delivery.createTopics': 'false', ...settings })
  }
  /** @param headers in their order */
  const post = (topic: string, headers: readonly string[]): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const url = new URL(`${app!.urls.shared}/arion/sync/${topic}/k`)
      const all = ['host', url.host, 'content-length', '1', ...headers]
      request(url, { method: 'POST', headers: all, agent: false }, response => resolve(response.resume()))
        .on('error', reject)
        .end('v')
    })

  it('are the same whatever the order of their headers', async () => {
    await start({ 'http.recordHeaders': 'x-one,x-two' })
    const topic = await stage.topic('order')
    const key = ['idempotency-key', randomUUID()]
    const [one, two] = [
      ['x-one', '1'],
      ['x-two', '2']
    ] as const
    const seen: unknown[] = []
    for (const headers of [
      [...one, ...two],
      [...two, ...one],
      [...two, 'x-one', '2'],
      [...one, ...two, ...one]
    ]) {
      const { statusCode, headers: answered } = await post(topic, [...headers, ...key])
      seen.push([statusCode, answered['idempotent-replayed']])
    }
    expect(seen).to.deep.equal([
      [201, undefined],
      [201, 'true'],
      [422, undefined],
      [422, undefined]
    ])
    expect(stage.cluster.highWatermark(topic, 0)).to.equal(1)
  })

  it('get their 409 from Arion before their connection is ended for its silence', async () => {
    await start({ 'apis.arion.idleTimeoutMs': '2000' })
    const topic = await stage.topic('silent')
    const silence = stage.cluster.faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })
    const key = ['idempotency-key', randomUUID()]
    const first = post(topic, key).catch((error: NodeJS.ErrnoException) => error.code)
    await silence.whenFired()
    const { statusCode, headers } = await post(topic, key)
    expect([statusCode, headers['x-castellan-persisted'], headers['retry-after']]).to.deep.equal([409, 'unknown', '1'])
    expect(await first).to.equal('ECONNRESET')
  })
})
