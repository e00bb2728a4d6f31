import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { peerSettings } from '../../support/peer-address.js'
import type { onBroker } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'

const GROUP = 'billing'

export interface Got {
  readonly status: number
  readonly partition?: number
  readonly offset?: number
  readonly value?: string
}

type BrokerStage = ReturnType<typeof onBroker>
type Library = Awaited<ReturnType<BrokerStage['library']>>

/** Clients of one group, of several gateways that know each other. */
export class LendingClients {
  apps: App[] = []
  #topic = ''
  #asked = 0
  #library: Promise<Library> | undefined
  readonly #stage: BrokerStage

  constructor(stage: BrokerStage) {
    this.#stage = stage
  }

  /** Starts gateways. Each has joined, and has begun to read its partitions. */
  async start(count: number, settings: Readonly<Record<string, string>> = {}): Promise<void> {
    this.#asked = 0
    this.#library = undefined
    this.#topic = await this.#stage.topic('orders', 4)
    const addresses = await this.#stage.peers(count)
    this.apps = []
    for (const address of addresses) {
      const app = await this.#stage.app({ 'consumer.longPollMs': '2000', ...peerSettings(addresses), ...settings })
      this.apps.push(app)
      address.target = app.peersAddress
    }
    await until(async () => (await this.sumOf('castellan_peers_gateways')) === count * (count - 1))
    const first = await Promise.all(this.apps.map(app => this.get(app)))
    expect(first.map(({ status }) => status)).to.deep.equal(this.apps.map(() => 408))
  }

  async produce(value: string, partition: number): Promise<void> {
    const { verbs } = await this.#reader()
    const records = [{ topic: this.#topic, partition, key: null, value }]
    await verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 10_000 }).outcomes()
  }

  async get(app: App, query = ''): Promise<Got> {
    const answer = await fetch(`${app.urls.shared}/pixy/topics/${this.#topic}/messages?group=${GROUP}${query}`)
    if (answer.status !== 200) return { status: answer.status }
    const { partition, offset, value } = (await answer.json()) as { partition: number; offset: number; value: string }
    return { status: 200, partition, offset, value: Buffer.from(value, 'base64').toString() }
  }

  /** The next gateway in turn. */
  get inTurn(): App {
    return this.apps[this.#asked++ % this.apps.length]!
  }

  poll(query = ''): Promise<Got> {
    return this.get(this.inTurn, query)
  }

  /** @returns the status of the answer */
  async ack(
    app: App,
    { partition, offset }: Partial<Record<'partition' | 'offset', number | undefined>>
  ): Promise<number> {
    const place = `group=${GROUP}&partition=${partition}&offset=${offset}`
    const url = `${app.urls.shared}/pixy/topics/${this.#topic}/acks?${place}`
    return (await fetch(url, { method: 'POST' })).status
  }

  /** Messages that the group has acknowledged. */
  async committed(): Promise<number> {
    const { verbs } = await this.#reader()
    const offsets = await verbs.groups.offsets(GROUP, this.#topic, 5_000)
    return offsets!.reduce((sum, { committed: position }) => sum + (position?.offset ?? 0), 0)
  }

  /** Of a metric of all gateways. */
  async sumOf(name: string): Promise<number> {
    const all = await Promise.all(this.apps.map(app => metricOf(app.urls.management, name)))
    return all.reduce((sum, one) => sum + one, 0)
  }

  #reader(): Promise<Library> {
    return (this.#library ??= this.#stage.library())
  }
}

export async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 20))
}
