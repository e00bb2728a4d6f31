import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { freshTopic, type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { metricOf, startTestApp } from '../../support/test-app.js'
import { freePorts } from '../real-kafka/ports.js'

const HELD_MS = 20_000

interface Message {
  readonly token: string
  readonly value: string
  readonly deliveryCount: number
}

describe('a settlement that is held up between two gateways', function () {
  this.timeout(120_000)
  let cluster: TargetCluster
  /** On the way to the holder. */
  let toHolder: HoldingProxy
  let toOther: HoldingProxy
  let holder: App
  let other: App
  let topic: string
  let path: string

  before(async () => {
    cluster = await targetCluster()
    const [port, otherPort] = (await freePorts(2)) as [number, number]
    toHolder = await HoldingProxy.start({ port })
    toOther = await HoldingProxy.start({ port: otherPort })
    const start = (listen: number, peer: HoldingProxy): Promise<App> =>
      startTestApp(cluster.bootstrap, {
        'peers.addresses': `127.0.0.1:${peer.port}`,
        'peers.listen': `127.0.0.1:${listen}`,
        'peers.token': 'a secret of more than thirty-two bytes'
      })
    ;[holder, other] = await Promise.all([start(port, toOther), start(otherPort, toHolder)])
    for (const { urls } of [holder, other])
      while ((await metricOf(urls.management, 'castellan_peers_gateways')) < 1) await pass(50)
  })
  beforeEach(async () => {
    topic = freshTopic('late')
    path = `/queues/${topic}/${freshTopic('workers')}`
    await cluster.createTopic(topic, 1)
    const settings = { start: 'earliest', lockMs: 15_000, deliveryLimit: 10 }
    expect((await ask(holder, 'PATCH', '', settings)).status).to.equal(200)
    const sent = { method: 'POST', body: 'a' }
    expect((await fetch(`${holder.urls.shared}/arion/sync/${topic}`, sent)).ok).to.equal(true)
  })
  afterEach(() => {
    toHolder.onBytes = () => undefined
  })
  after(async () => {
    await Promise.all([holder?.stop(), other?.stop()])
    for (const proxy of [toHolder, toOther]) await proxy?.close()
    await cluster?.close()
  })

  const ask = async ({ urls }: App, method: string, rest: string, body: object) => {
    const answer = await fetch(urls.shared + path + rest, { method, body: JSON.stringify(body) })
    return { status: answer.status, body: JSON.parse(await answer.text()) }
  }
  const acquire = async (): Promise<Message> => {
    const { body } = await ask(holder, 'POST', '/acquire', { encoding: 'text', waitMs: 30_000 })
    expect(body.messages, JSON.stringify(body)).to.have.length(1)
    return body.messages[0]
  }
  const outcomeAt = async (app: App, words: object): Promise<string> =>
    (await ask(app, 'POST', '/settle', words)).body.results[0].outcome
  /** The next settlement stands still on its way. */
  const holdNext = (): Promise<ProxiedConnection> =>
    new Promise(resolve => {
      toHolder.onBytes = (connection, direction, bytes) => {
        if (direction !== 'toServer' || !bytes.includes('queue%20settle')) return
        toHolder.onBytes = () => undefined
        connection.hold('toServer')
        resolve(connection)
      }
    })

  it('until another client has the message settles nothing', async () => {
    const first = await acquire()
    const held = holdNext()
    const sentAt = performance.now()
    expect(await outcomeAt(other, { accept: [first.token] })).to.be.oneOf(['unknown', 'elsewhere'])
    const second = await acquire()
    expect([second.value, second.deliveryCount]).to.deep.equal(['a', 2])
    await pass(HELD_MS - (performance.now() - sentAt))
    ;(await held).release()
    await pass(1_000)
    expect(await outcomeAt(holder, { accept: [first.token] })).to.equal('lost')
    expect(await outcomeAt(holder, { release: [second.token] })).to.equal('done')
    const third = await acquire()
    expect([third.value, third.deliveryCount], 'not settled by the late one').to.deep.equal(['a', 3])
    expect(await outcomeAt(other, { accept: [third.token] })).to.equal('done')
  })

  it('counts no more once the client has said another word', async () => {
    const first = await acquire()
    const held = holdNext()
    const late = outcomeAt(other, { accept: [first.token] })
    const connection = await held
    expect(await outcomeAt(holder, { release: [first.token] })).to.equal('done')
    const second = await acquire()
    connection.release()
    expect(await late).to.be.oneOf(['lost', 'unknown', 'elsewhere'])
    expect(await outcomeAt(holder, { release: [second.token] })).to.equal('done')
    const third = await acquire()
    expect([third.value, third.deliveryCount]).to.deep.equal(['a', 3])
    expect(await outcomeAt(other, { accept: [third.token] })).to.equal('done')
  })
})
