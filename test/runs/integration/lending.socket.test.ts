import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { peerSettings } from '../../support/peer-address.js'
import { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'

const GROUP = 'billing'

interface Got {
  readonly status: number
  readonly partition?: number
  readonly offset?: number
  readonly value?: string
}

/** Clients of several gateways that know each other, which ask one gateway after another. */
describe('gateways that lend each other messages', function () {
  this.timeout(60_000)
  const stage = onBroker()
  let apps: App[]
  let topic: string
  let asked: number

  beforeEach(() => {
    asked = 0
  })

  async function start(count: number, settings: Readonly<Record<string, string>> = {}): Promise<void> {
    topic = await stage.topic('orders', 4)
    const addresses = await stage.peers(count)
    apps = []
    for (const address of addresses) {
      const app = await stage.app({ 'consumer.longPollMs': '2000', ...peerSettings(addresses), ...settings })
      apps.push(app)
      address.target = app.peersAddress
    }
    await until(async () => {
      const counts = await Promise.all(apps.map(app => metricOf(app.urls.management, 'castellan_peers_gateways')))
      return counts.every(known => known === count - 1)
    })
    // Each has joined, and has begun to read its partitions.
    const first = await Promise.all(apps.map(app => get(app)))
    expect(first.map(({ status }) => status)).to.deep.equal(apps.map(() => 408))
  }

  const produce = async (value: string, partition: number): Promise<void> => {
    const records = [{ topic, partition, key: null, value }]
    const library = await reader()
    await library.gateway.produce(records, { partitioner: 'murmur2', deadlineMs: 10_000 }).outcomes()
  }
  let library: Awaited<ReturnType<typeof stage.library>> | undefined
  const reader = async () => (library ??= await stage.library())
  afterEach(() => {
    library = undefined
  })

  async function get(app: App, query = ''): Promise<Got> {
    const answer = await fetch(`${app.urls.shared}/pixy/topics/${topic}/messages?group=${GROUP}${query}`)
    if (answer.status !== 200) return { status: answer.status }
    const { partition, offset, value } = (await answer.json()) as { partition: number; offset: number; value: string }
    return { status: 200, partition, offset, value: Buffer.from(value, 'base64').toString() }
  }

  /** The next gateway in turn is asked. */
  const poll = (query = ''): Promise<Got> => get(apps[asked++ % apps.length]!, query)

  async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
    while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 20))
  }

  for (const count of [2, 4]) {
    it(`answer one client that asks ${count} of them in turn with each message, once and in order`, async () => {
      await start(count)
      const got: Got[] = []
      for (let at = 0; at < 12; at++) {
        const answer = poll()
        await produce(String(at), at % 4)
        got.push(await answer)
      }
      expect(got.map(({ value }) => value)).to.deep.equal(Array.from({ length: 12 }, (_, at) => String(at)))
      await until(async () => (await sumOf('castellan_groups_loans')) === 0)
      expect(await sumOf('castellan_groups_lent_messages_total{result="lost"}')).to.equal(0)
      expect(await sumOf('castellan_groups_lent_messages_total{result="acknowledged"}')).to.be.greaterThan(3)
    })
  }

  const sumOf = async (name: string): Promise<number> => {
    const all = await Promise.all(apps.map(app => metricOf(app.urls.management, name)))
    return all.reduce((sum, one) => sum + one, 0)
  }
})
