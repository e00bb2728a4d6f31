import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { QueueMessage } from '../../../src/verbs/verbs.js'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { type Direction, HoldingProxy, type ProxiedConnection } from '../../support/holding-proxy.js'
import { freshTopic, isOnRealKafka } from '../../support/target-cluster.js'
import { runningKafka } from '../real-kafka/shared-cluster.js'
import { QueueClient, queuesOf } from './queue-client.js'

const SHARE_ACKNOWLEDGE = 79
/** Where clients find the proxies. */
const PROXIED = '127.0.0.2'
const HELD_MS = 20_000

/** A cluster whose brokers are reached through proxies. */
interface ProxiedCluster {
  readonly ports: readonly number[]
  createTopic(topic: string): Promise<void>
  close(): Promise<void>
}

async function openProxiedCluster(): Promise<ProxiedCluster> {
  if (isOnRealKafka()) {
    const kafka = runningKafka()
    const ports = kafka.ports.map(({ proxied }) => proxied)
    return { ports, createTopic: topic => kafka.createTopic(topic, 1), close: async () => undefined }
  }
  const cluster = await startEmbeddedCluster({ nodes: 3, advertisedHost: PROXIED })
  return {
    ports: cluster.nodes.map(({ port }) => port),
    createTopic: async topic => cluster.createTopic(topic, { partitions: 1, replicationFactor: 3 }),
    close: () => cluster.close()
  }
}

describe('an acknowledgement that is held up between gateway and broker', function () {
  this.timeout(180_000)
  const proxies: HoldingProxy[] = []
  let cluster: ProxiedCluster
  let castellan: Castellan
  let queues: Queues
  let client: QueueClient
  let topic: string
  let group: string

  before(async () => {
    cluster = await openProxiedCluster()
    for (const port of cluster.ports) proxies.push(await HoldingProxy.start({ port }, { host: PROXIED, port }))
    castellan = startCastellan(cluster.ports.map(port => `${PROXIED}:${port}`).join(','))
  })
  beforeEach(async () => {
    queues = queuesOf(castellan)
    topic = freshTopic('late')
    group = `workers-${randomUUID()}`
    client = new QueueClient(queues, topic, group)
    await cluster.createTopic(topic)
  })
  afterEach(() => queues.drain(0))
  after(async () => {
    await castellan?.close()
    for (const proxy of proxies) await proxy.close()
    await cluster?.close()
  })

  const write = async (value: string): Promise<void> => {
    const [outcome] = await castellan.produce([{ topic, partition: 0, key: null, value }])
    expect(outcome!.type).to.equal('delivered')
  }
  const told = (messages: readonly QueueMessage[]): string[] =>
    messages.map(({ record, deliveryCount }) => `${record.value} ${deliveryCount}`)
  const lag = async (): Promise<number | null> => {
    const { partitions } = await queues.describe(topic, group, 20_000)
    return partitions[0]!.lag
  }
  /** From the next acknowledgement on, bytes of its connection stand still in this direction. */
  const holdNext = (direction: Direction): Promise<ProxiedConnection> =>
    new Promise(resolve => {
      for (const proxy of proxies)
        proxy.onBytes = (connection, to, bytes) => {
          if (to !== 'toServer' || bytes.length < 6 || bytes.readInt16BE(4) !== SHARE_ACKNOWLEDGE) return
          for (const other of proxies) other.onBytes = () => undefined
          connection.hold(direction)
          resolve(connection)
        }
    })

  it('until the lock is over and a new session has the message settles nothing of that session', async () => {
    await queues.configure(topic, group, { lockMs: 15_000, deliveryLimit: 10 }, 20_000)
    await write('a')
    const [first] = await client.acquire()
    const held = holdNext('toServer')
    const sentAt = performance.now()
    expect(await client.outcomeOf({ accept: [first!.token] })).to.equal('unknown')
    const [second] = await client.acquire()
    expect(told([second!])).to.deep.equal(['a 2'])
    await pass(HELD_MS - (performance.now() - sentAt))
    ;(await held).release()
    await pass(2_000)
    expect(await client.outcomeOf({ accept: [first!.token] }), 'again').to.equal('unknown')
    expect(await client.outcomeOf({ reject: [first!.token] }), 'otherwise').to.equal('lost')
    // Were it settled, it would not come again.
    expect(await client.outcomeOf({ release: [second!.token] })).to.equal('done')
    const [third] = await client.acquire()
    expect(told([third!])).to.deep.equal(['a 3'])
    expect(await client.outcomeOf({ accept: [second!.token] })).to.equal('lost')
    expect(await client.outcomeOf({ accept: [third!.token] })).to.equal('done')
    expect(await lag()).to.equal(0)
  })

  it('while Kafka keeps the lock settles the message, which is what unknown says', async () => {
    await queues.configure(topic, group, { lockMs: 60_000 }, 20_000)
    await write('a')
    const [first] = await client.acquire()
    const held = holdNext('toServer')
    const sentAt = performance.now()
    expect(await client.outcomeOf({ accept: [first!.token] })).to.equal('unknown')
    expect(await client.acquire({ waitMs: 1_000 })).to.deep.equal([])
    await pass(HELD_MS - (performance.now() - sentAt))
    ;(await held).release()
    await write('b')
    const [next] = await client.acquire()
    expect(told([next!])).to.deep.equal(['b 1'])
    expect(await client.outcomeOf({ accept: [next!.token] })).to.equal('done')
    expect(await lag()).to.equal(0)
  })

  it('on its way back is unknown, and what Kafka has settled does not come again', async () => {
    await queues.configure(topic, group, { lockMs: 15_000 }, 20_000)
    await write('a')
    const [first] = await client.acquire()
    const held = holdNext('toClient')
    const sentAt = performance.now()
    expect(await client.outcomeOf({ accept: [first!.token] })).to.equal('unknown')
    expect(await client.acquire({ waitMs: Math.ceil(HELD_MS - (performance.now() - sentAt)) })).to.deep.equal([])
    ;(await held).release()
    await pass(500)
    expect(await client.outcomeOf({ accept: [first!.token] }), 'again').to.equal('unknown')
    expect(await lag()).to.equal(0)
  })
})
