import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { peerSettings } from '../../support/peer-address.js'
import { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'
import { type Got, LendingClients, until } from './lending-clients.js'

const GATEWAYS = 4
const CLIENTS = 40
const MESSAGES = 2_000
const PER_TICK = 2

/** A client that asks one gateway after another. */
describe('gateways that lend each other messages, one to the client of another', function () {
  this.timeout(60_000)
  const clients = new LendingClients(onBroker())

  for (const count of [2, 4]) {
    it(`answer one client that asks ${count} of them in turn with each message, once and in order`, async () => {
      await clients.start(count)
      const got: Got[] = []
      for (let at = 0; at < 12; at++) {
        const answer = clients.poll()
        await clients.produce(String(at), at % 4)
        got.push(await answer)
      }
      expect(got.map(({ value }) => value)).to.deep.equal(Array.from({ length: 12 }, (_, at) => String(at)))
      await until(async () => (await clients.sumOf('castellan_groups_loans')) === 0)
      expect(await clients.sumOf('castellan_groups_lent_messages_total{result="lost"}')).to.equal(0)
      expect(await clients.sumOf('castellan_groups_lent_messages_total{result="acknowledged"}')).to.be.greaterThan(3)
    })
  }

  it('wait in vain for each other where they do not lend', async () => {
    await clients.start(2, { 'consumer.lend': 'false', 'consumer.longPollMs': '500' })
    const got: Got[] = []
    for (let at = 0; at < 4; at++) {
      const answer = clients.poll()
      await clients.produce(String(at), 0)
      got.push(await answer)
    }
    expect(got.map(({ status }) => status)).to.include(408)
  })

  it('settle what they have borrowed before they stop, and lend no more', async () => {
    await clients.start(2)
    const [first, second] = clients.apps as [App, App]
    const got: Got[] = []
    for (let at = 0; at < 8; at++) {
      const answer = clients.get(first, '&noAck')
      await clients.produce(String(at), at % 4)
      got.push(await answer)
    }
    expect(got.every(({ status }) => status === 200)).to.equal(true)
    for (const { partition, offset } of got) {
      expect(await clients.ack(first, { partition, offset })).to.equal(200)
    }
    await first.stop()
    clients.apps = [second]
    await clients.produce('8', 1)
    const last = await clients.get(second)
    expect([last.status, last.value]).to.deep.equal([200, '8'])
    expect(await clients.sumOf('castellan_groups_lent_messages_total{result="lost"}')).to.equal(0)
  })
})

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
