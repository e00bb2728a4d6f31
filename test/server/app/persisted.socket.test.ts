import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onBroker } from '../../support/stage.js'

const DEADLINE_MS = 2_000

describe('x-castellan-persisted over HTTP', () => {
  const stage = onBroker(undefined, true)
  let app: App
  beforeEach(async () => {
    for (const topic of ['healthy', 'silent', 'leaderless']) stage.cluster.createTopic(topic, { partitions: 1 })
    app = await stage.app({ 'apis.kprf.messageTimeoutMs': String(DEADLINE_MS) })
  })

  const push = async (topics: readonly string[], isSync: boolean, body?: string): Promise<[number, string | null]> => {
    const records = topics.map(topic => ({ topic, data: `to ${topic}` }))
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: body ?? JSON.stringify({ records, wait_for_send: isSync })
    })
    await answer.text()
    return [answer.status, answer.headers.get('x-castellan-persisted')]
  }

  /** From then on nothing but a fault takes as long as the deadline. */
  const untilWritten = async (...topics: string[]): Promise<void> => {
    while ((await push(topics, true))[0] !== 200);
  }

  it('is unknown at the deadline for what was sent, and yes for what was acknowledged beside it', async () => {
    expect(await push(['healthy', 'silent'], false)).to.deep.equal([200, 'pending'])
    await untilWritten('healthy', 'silent')
    const fault = stage.cluster.faults.add(
      { api: 'Produce', topic: 'silent', count: 1_000 },
      { type: 'error', errorCode: 7 }
    )
    const [status, persisted] = await push(['silent', 'healthy', 'silent'], true)
    expect(fault.fired).to.be.greaterThan(0)
    expect([status, persisted]).to.deep.equal([500, 'uyu'])
  })

  it('is no at the deadline for what was never sent', async () => {
    await untilWritten('healthy')
    stage.cluster.faults.add({ api: 'Produce', topic: 'leaderless', count: 1_000 }, { type: 'error', errorCode: 5 })
    expect(await push(['leaderless', 'healthy'], true)).to.deep.equal([500, 'ny'])
  })

  it('is no for what is refused before it is accepted', async () => {
    expect(await push([], true, '{')).to.deep.equal([400, 'no'])
    expect(await push(['not a topic'], true)).to.deep.equal([500, 'no'])
    expect(await push(['not a topic', 'healthy'], false)).to.deep.equal([200, 'np'])
  })
})
