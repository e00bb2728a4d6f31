import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { GroupInstance } from '../../support/group-instance.js'
import { SeededRandom } from '../../support/random.js'

const PARTITIONS = 8
const RECORDS = 12_000
const SETTINGS = {
  start: 'earliest',
  sessionTimeoutMs: 1_000,
  heartbeatIntervalMs: 100,
  revocationMs: 200,
  ackTimeoutMs: 2_000,
  retryBackoffMs: 50
} as const

/** A process that consumes with several loops until it is ended, politely or not. */
class Consumer {
  readonly instance: GroupInstance
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]

  constructor(instance: GroupInstance, onMessage: (partition: number, offset: number) => void) {
    this.instance = instance
    this.#loops = Array.from({ length: 4 }, async () => {
      for await (const message of instance.castellan.consume({
        group: 'billing',
        topic: 'orders',
        signal: this.#stop.signal
      })) {
        onMessage(message.partition, message.offset)
        message.ack()
      }
    })
  }

  async leave(): Promise<void> {
    await this.instance.stop()
    await Promise.all(this.#loops)
  }

  /** As kill -9: nothing is committed any more, and nobody is told. */
  async kill(): Promise<void> {
    this.#stop.abort()
    const { router, system } = this.instance.castellan
    await router.stop()
    system.stop()
    // A process that is killed takes its timers along.
    await this.instance.castellan.close(0)
  }
}

describe('a group whose processes come, go and die, on brokers that do the same', function () {
  this.timeout(120_000)
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3, minSessionTimeoutMs: 500 })
    cluster.createTopic('orders', { partitions: PARTITIONS, replicationFactor: 3 })
  })
  after(async () => await cluster.close())

  it('processes each record at least once, and commits what it has processed', async () => {
    const source = new SeededRandom(7)
    const random = (): number => source.next()
    const producer = await GroupInstance.start(cluster.bootstrap)
    const seen = Array.from({ length: PARTITIONS }, () => new Set<number>())
    let handled = 0
    const onMessage = (partition: number, offset: number): void => {
      handled++
      seen[partition]!.add(offset)
    }
    const start = async (): Promise<Consumer> =>
      new Consumer(await GroupInstance.start(cluster.bootstrap, SETTINGS), onMessage)
    const consumers = [await start(), await start(), await start()]
    const produced = Array.from({ length: PARTITIONS }, () => 0)
    const produceSome = async (): Promise<void> => {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const values = Array.from({ length: 100 }, (_, at) => `${partition}-${produced[partition]! + at}`)
        await producer.produce('orders', partition, values)
        produced[partition]! += 100
      }
    }
    const events: string[] = []
    while (produced[0]! * PARTITIONS < RECORDS) {
      await produceSome()
      await new Promise(resolve => setTimeout(resolve, 150))
      const at = Math.floor(random() * consumers.length)
      const event = ['kill', 'leave', 'leader', 'broker', 'nothing'][Math.floor(random() * 5)]!
      events.push(event)
      if (event === 'kill' || event === 'leave') {
        const [gone] = consumers.splice(at, 1, await start())
        await gone![event]()
      } else if (event === 'leader') {
        const partition = Math.floor(random() * PARTITIONS)
        cluster.moveLeader('orders', partition, cluster.nodes[Math.floor(random() * 3)]!.nodeId)
      } else if (event === 'broker') {
        const { nodeId } = cluster.nodes[Math.floor(random() * 3)]!
        await cluster.stopNode(nodeId)
        await new Promise(resolve => setTimeout(resolve, 100))
        await cluster.startNode(nodeId)
      }
    }
    const sizes = (): number[] => seen.map(offsets => offsets.size)
    for (const endsAt = Date.now() + 60_000; sizes().join() !== produced.join(); ) {
      if (Date.now() > endsAt) break
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    expect(sizes()).to.deep.equal(produced)
    const total = produced.reduce((sum, count) => sum + count, 0)
    console.log(
      `      ${total} records, ${handled - total} of them again; ${events.length} events: ${events.join(' ')}`
    )
    await Promise.all(consumers.map(consumer => consumer.leave()))
    for (let partition = 0; partition < PARTITIONS; partition++) {
      expect(await producer.committed('billing', 'orders', partition)).to.equal(`${produced[partition]}`)
    }
    await producer.stop()
  })
})
