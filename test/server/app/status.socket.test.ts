import { createHook } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { RefusalCounts } from '../../../src/core/refusals.js'
import { type Status, statusSchema } from '../../../src/http/status/status.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'
import { startTestApp } from '../../support/test-app.js'

describe('/status.json', () => {
  const stage = onBroker()
  let app: App

  before(async () => {
    app = await stage.app()
  })

  const look = (): Promise<Response> => fetch(`${app.urls.management}/status.json`)

  it('has the form that it is described with, and nothing else', async () => {
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: [{ topic: 'orders', key: 'k', data: 'secret' }], wait_for_send: true })
    })
    expect(answer.status).to.equal(200)
    const response = await look()
    const text = await response.text()
    const status = JSON.parse(text) as Status
    expect(statusSchema.parse(status)).to.deep.equal(status)
    expect(status.memory.delivered).to.equal(1)
    expect(status.way.broker.count).to.be.above(0)
    expect(status.clusters[0]!.brokers.map(({ state }) => state)).to.deep.equal(['up'])
    expect(text).not.to.include('secret')
  })

  it('has a reason for each request that was answered 5xx, and the losses of those that were answered before', async () => {
    const errorCode = errorCodes.TOPIC_AUTHORIZATION_FAILED
    const fault = stage.cluster.faults.add({ api: 'Produce', topic: 'orders', count: 2 }, { type: 'error', errorCode })
    const send = async (isAwaited: boolean): Promise<number> => {
      const answer = await fetch(`${app.urls.shared}/kprf/push`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records: [{ topic: 'orders', key: 'k', data: 'x' }], wait_for_send: isAwaited })
      })
      await answer.arrayBuffer()
      return answer.status
    }
    expect(await send(true)).to.be.at.least(500)
    await send(false)
    let status: Status
    do {
      // One answer is for all who ask within half a second.
      await sleep(100)
      status = (await (await look()).json()) as Status
    } while (status.losses.length === 0 || status.failures.length === 0)
    fault.remove()
    expect(status.failures.map(({ api, reason, count }) => [api, reason, count])).to.deep.equal([
      ['kprf', 'notAuthorized', status.requests.failed]
    ])
    expect(status.losses.map(({ api, topic, reason, records }) => [api, topic, reason, records])).to.deep.equal([
      ['kprf', 'orders', 'notAuthorized', 1]
    ])
    expect(status.refusals.map(({ what, reason }) => [what, reason])).to.deep.equal([['records', 'notAuthorized']])
    expect(statusSchema.parse(status)).to.deep.equal(status)
  })

  it('names the group of a consumer instance that Kafka does not let it join', async () => {
    const type = { 'content-type': 'application/vnd.kafka.v2+json' }
    const group = `${app.urls.shared}/confluent/consumers/billing`
    const post = (path: string, body: object): Promise<Response> =>
      fetch(`${group}${path}`, { method: 'POST', headers: type, body: JSON.stringify(body) })
    const errorCode = errorCodes.GROUP_AUTHORIZATION_FAILED
    const fault = stage.cluster.faults.add({ api: 'JoinGroup', count: 100 }, { type: 'error', errorCode })
    await post('', { name: 'one', format: 'binary' })
    await post('', { name: 'two', format: 'binary' })
    for (const name of ['one', 'two']) await post(`/instances/${name}/subscription`, { topics: ['orders'] })
    let status: Status
    do {
      await sleep(100)
      status = (await (await look()).json()) as Status
    } while (status.groups.total === 0)
    fault.remove()
    const message = 'GROUP_AUTHORIZATION_FAILED (30): not authorized for the group'
    expect(status.groups.rows.map(row => [row.group, row.refusal])).to.deep.equal([['billing', { message }]])
    expect(status.trouble.filter(({ kind }) => kind === 'groupRefused').map(({ subject }) => subject)).to.deep.equal([
      'group billing'
    ])
  })

  it('is in no cache, and serves HEAD', async () => {
    const response = await look()
    await response.arrayBuffer()
    expect(response.headers.get('cache-control')).to.equal('no-store')
    expect(response.headers.get('x-content-type-options')).to.equal('nosniff')
    const head = await fetch(`${app.urls.management}/status.json`, { method: 'HEAD' })
    expect(head.status).to.equal(200)
    const post = await fetch(`${app.urls.management}/status.json`, { method: 'POST' })
    expect(post.status).to.equal(405)
  })

  it('costs nothing while no client asks: nothing is read, and there is no timer', async () => {
    // The status has them, and nothing else asks.
    const { answers } = RefusalCounts.prototype
    let reads = 0
    RefusalCounts.prototype.answers = function (): ReturnType<typeof answers> {
      reads++
      return answers.call(this)
    }
    const timers: string[] = []
    const hook = createHook({
      init: (_, type) => {
        if (type !== 'Timeout') return
        const stack = new Error().stack ?? ''
        if (/http\/status\/|process-status|core\/portions/.test(stack)) timers.push(stack)
      }
    }).enable()
    const other = await startTestApp(stage.bootstrap)
    try {
      const push = async (): Promise<void> => {
        const answer = await fetch(`${other.urls.shared}/arion/sync/quiet`, { method: 'POST', body: 'x' })
        expect(answer.status).to.equal(201)
      }
      await push()
      expect(reads).to.equal(0)
      await (await fetch(`${other.urls.management}/status.json`)).text()
      expect(reads).to.equal(1)
      for (let at = 0; at < 20; at++) await push()
      expect(reads).to.equal(1)
      expect(timers).to.deep.equal([])
    } finally {
      hook.disable()
      RefusalCounts.prototype.answers = answers
      await other.stop()
    }
  })
})
