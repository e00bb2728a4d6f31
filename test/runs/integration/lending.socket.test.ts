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
    await library.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 10_000 }).outcomes()
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

  it('wait in vain for each other where they do not lend', async () => {
    await start(2, { 'consumer.lend': 'false', 'consumer.longPollMs': '500' })
    const got: Got[] = []
    for (let at = 0; at < 4; at++) {
      const answer = poll()
      await produce(String(at), 0)
      got.push(await answer)
    }
    expect(got.map(({ status }) => status)).to.include(408)
  })

  it('have the client of a lent message acknowledge it at any of them', async () => {
    await start(2)
    const got: Got[] = []
    for (let at = 0; at < 8; at++) {
      const answer = poll('&noAck')
      await produce(String(at), at % 4)
      got.push(await answer)
    }
    expect(got.map(({ value }) => value)).to.deep.equal(Array.from({ length: 8 }, (_, at) => String(at)))
    await until(async () => (await sumOf('castellan_groups_loans')) === 0)
    expect(await sumOf('castellan_groups_lent_messages_total{result="delivered"}')).to.be.greaterThan(2)
    for (const { partition, offset } of got) {
      const url = `${apps[asked++ % 2]!.urls.shared}/pixy/topics/${topic}/acks?group=${GROUP}&partition=${partition}&offset=${offset}`
      expect((await fetch(url, { method: 'POST' })).status).to.equal(200)
    }
    await until(async () => (await committed()) === 8)
  })

  /** Messages that the group has acknowledged. */
  const committed = async (): Promise<number> => {
    const offsets = await (await reader()).verbs.groups.offsets(GROUP, topic, 5_000)
    return offsets!.reduce((sum, { committed: position }) => sum + (position?.offset ?? 0), 0)
  }

  it('settle what they have borrowed before they stop, and lend no more', async () => {
    await start(2)
    const [first, second] = apps as [App, App]
    const got: Got[] = []
    for (let at = 0; at < 8; at++) {
      const answer = get(first, '&noAck')
      await produce(String(at), at % 4)
      got.push(await answer)
    }
    expect(got.every(({ status }) => status === 200)).to.equal(true)
    for (const { partition, offset } of got) {
      const url = `${first.urls.shared}/pixy/topics/${topic}/acks?group=${GROUP}&partition=${partition}&offset=${offset}`
      expect((await fetch(url, { method: 'POST' })).status).to.equal(200)
    }
    await first.stop()
    apps = [second]
    await produce('8', 1)
    const last = await get(second)
    expect([last.status, last.value]).to.deep.equal([200, '8'])
    expect(await sumOf('castellan_groups_lent_messages_total{result="lost"}')).to.equal(0)
  })

  const sumOf = async (name: string): Promise<number> => {
    const all = await Promise.all(apps.map(app => metricOf(app.urls.management, name)))
    return all.reduce((sum, one) => sum + one, 0)
  }
})
