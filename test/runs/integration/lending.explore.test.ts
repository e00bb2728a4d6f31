import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { peerSettings } from '../../support/peer-address.js'
import { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'

const GATEWAYS = 4
const CLIENTS = 40
const MESSAGES = 2_000
const PER_TICK = 2

/** Clients that ask one gateway after another, each in a loop, while messages come. */
describe('gateways that lend each other messages, with many clients', function () {
  this.timeout(120_000)
  const stage = onBroker()

  it('give each message to one client', async () => {
    const topic = await stage.topic('orders', GATEWAYS)
    const addresses = await stage.peers(GATEWAYS)
    const apps: App[] = []
    for (const address of addresses) {
      const app = await stage.app({ 'consumer.longPollMs': '1000', ...peerSettings(addresses) })
      apps.push(app)
      address.target = app.peersAddress
    }
    const sumOf = async (name: string): Promise<number> => {
      const all = await Promise.all(apps.map(app => metricOf(app.urls.management, name)))
      return all.reduce((sum, one) => sum + one, 0)
    }
    while ((await sumOf('castellan_peers_gateways')) < GATEWAYS * (GATEWAYS - 1)) await sleep(50)
    const got: string[] = []
    let turn = 0
    let vain = 0
    const get = async (): Promise<void> => {
      const app = apps[turn++ % GATEWAYS]!
      const answer = await fetch(`${app.urls.shared}/pixy/topics/${topic}/messages?group=billing`)
      const text = await answer.text()
      if (answer.status !== 200) vain++
      else got.push(Buffer.from((JSON.parse(text) as { value: string }).value, 'base64').toString())
    }
    await Promise.all(Array.from({ length: 2 * GATEWAYS }, get))
    vain = 0
    const callsBefore = await sumOf('castellan_peers_calls_total')
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (got.length < MESSAGES) await get()
    })
    const { verbs } = await stage.library()
    for (let at = 0; at < MESSAGES; at += PER_TICK) {
      const records = Array.from({ length: PER_TICK }, (_, more) => {
        return { topic, partition: (at + more) % GATEWAYS, key: null, value: String(at + more) }
      })
      void verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 30_000 }).outcomes()
      await sleep(10)
    }
    await Promise.all(clients)
    expect(new Set(got).size).to.equal(MESSAGES)
    const results = ['acknowledged', 'delivered', 'returned', 'lost']
    const lent = await Promise.all(results.map(one => sumOf(`castellan_groups_lent_messages_total{result="${one}"}`)))
    const calls = (await sumOf('castellan_peers_calls_total')) - callsBefore
    console.log(JSON.stringify({ got: got.length, vain, lent, calls, perMessage: calls / MESSAGES }))
    expect(got.length, 'none came twice').to.equal(MESSAGES)
  })
})

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
