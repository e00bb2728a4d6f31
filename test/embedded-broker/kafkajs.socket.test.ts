import { expect } from 'chai'
import { CompressionTypes, type ConfigResourceTypes, Kafka, logLevel, Partitioners } from 'kafkajs'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

/** A client nobody here wrote, used as its manual says. */
describe('broker: kafkajs', () => {
  let cluster: EmbeddedCluster
  let kafka: Kafka
  const closing: (() => Promise<void>)[] = []

  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3 })
    kafka = new Kafka({ brokers: cluster.bootstrap.split(','), logLevel: logLevel.NOTHING })
  })
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
    await cluster.close()
  })

  async function producer(options: { idempotent?: boolean } = {}) {
    const made = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options })
    await made.connect()
    closing.push(() => made.disconnect())
    return made
  }
  async function admin() {
    const made = kafka.admin()
    await made.connect()
    closing.push(() => made.disconnect())
    return made
  }

  it('creates a topic, adds partitions to it, describes it and deletes it', async () => {
    const client = await admin()
    const created = await client.createTopics({ topics: [{ topic: 'orders', numPartitions: 2, replicationFactor: 3 }] })
    expect(created).to.equal(true)
    await client.createPartitions({ topicPartitions: [{ topic: 'orders', count: 3 }] })
    const { topics } = await client.fetchTopicMetadata({ topics: ['orders'] })
    expect(topics[0]!.partitions).to.have.length(3)
    expect((await client.describeCluster()).brokers).to.have.length(3)
    await client.deleteTopics({ topics: ['orders'] })
    expect(await client.listTopics()).to.deep.equal([])
  })

  it('administers settings of topics, and tells those of brokers', async () => {
    const client = await admin()
    cluster.createTopic('orders', { partitions: 1 })
    const [TOPIC, BROKER]: [ConfigResourceTypes, ConfigResourceTypes] = [2, 4]
    const settingOf = async (type: ConfigResourceTypes, name: string, setting: string) => {
      const resources = [{ type, name, configNames: [setting] }]
      const described = await client.describeConfigs({ resources, includeSynonyms: true })
      return described.resources[0]!.configEntries[0]
    }
    const configEntries = [{ name: 'retention.bytes', value: '1000' }]
    await client.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC, name: 'orders', configEntries }] })
    const altered = await settingOf(TOPIC, 'orders', 'retention.bytes')
    expect(altered).to.include({ configValue: '1000', configSource: 1, readOnly: false, isSensitive: false })
    expect(altered!.configSynonyms.map(({ configName, configSource }) => [configName, configSource])).to.deep.equal([
      ['retention.bytes', 1],
      ['log.retention.bytes', 5]
    ])
    expect(await settingOf(BROKER, '1', 'message.max.bytes')).to.include({ configSource: 4, readOnly: true })
  })

  for (const [title, options, compression] of [
    ['plain', {}, CompressionTypes.None],
    ['gzip', {}, CompressionTypes.GZIP],
    ['idempotent', { idempotent: true }, CompressionTypes.None]
  ] as const) {
    it(`produces ${title} to a topic that is created on the way, and reads it back`, async () => {
      const sender = await producer(options)
      const messages = ['a', 'b', 'c'].map(value => ({ key: value, value, headers: { from: 'test' } }))
      await sender.send({ topic: 'orders', messages, compression })
      await sender.send({ topic: 'orders', messages, compression })
      const received = await consume(kafka, closing, 'billing', 'orders', 6)
      expect(received.map(({ value }) => value).sort()).to.deep.equal(['a', 'a', 'b', 'b', 'c', 'c'])
      expect(received[0]!.headers).to.deep.equal({ from: 'test' })
    })
  }

  it('shares a topic between two members of a group, and one takes over when the other goes', async () => {
    cluster.createTopic('orders', { partitions: 4 })
    const [one, two] = [member(kafka, 'billing'), member(kafka, 'billing')]
    await one.start()
    await until(one, partitions => partitions === 4)
    await two.start()
    await until(one, partitions => partitions === 2)
    await until(two, partitions => partitions === 2)
    await one.consumer.disconnect()
    await until(two, partitions => partitions === 4)
    await two.consumer.disconnect()
  })

  it('goes on where a group has got to', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    const sender = await producer()
    await sender.send({ topic: 'orders', messages: [{ value: 'first' }] })
    expect(await consume(kafka, closing, 'billing', 'orders', 1)).to.have.length(1)
    for (const close of closing.splice(1)) await close()
    await sender.send({ topic: 'orders', messages: [{ value: 'second' }] })
    const received = await consume(kafka, closing, 'billing', 'orders', 1)
    expect(received.map(({ value }) => value)).to.deep.equal(['second'])
    for (const close of closing.splice(1)) await close()
    const client = await admin()
    const [offsets] = await client.fetchOffsets({ groupId: 'billing', topics: ['orders'] })
    expect(offsets!.partitions.map(({ offset }) => offset)).to.deep.equal(['2'])
    expect((await client.listGroups()).groups.map(({ groupId }) => groupId)).to.deep.equal(['billing'])
    expect((await client.describeGroups(['billing'])).groups[0]).to.include({ errorCode: 0, state: 'Empty' })
    await client.deleteGroups(['billing'])
    expect((await client.listGroups()).groups).to.deep.equal([])
  })

  it('finds the new leader when a node is stopped', async () => {
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 2 })
    const sender = await producer()
    await sender.send({ topic: 'orders', messages: [{ value: 'before' }] })
    await cluster.stopNode(cluster.leaderOf('orders', 0))
    await sender.send({ topic: 'orders', messages: [{ value: 'after' }] })
    expect(cluster.records('orders', 0).map(({ value }) => value?.toString())).to.deep.equal(['before', 'after'])
  })
})

const CONSUMER = {
  sessionTimeout: 10_000,
  heartbeatInterval: 100,
  maxWaitTimeInMs: 50,
  retry: { initialRetryTime: 50 }
}

async function consume(kafka: Kafka, closing: (() => Promise<void>)[], groupId: string, topic: string, count: number) {
  const consumer = kafka.consumer({ groupId, ...CONSUMER })
  closing.push(() => consumer.disconnect())
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const received: { value: string | undefined; headers: Record<string, string> }[] = []
  await new Promise<void>((resolve, reject) => {
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error))
    const eachMessage = async ({ message }: { message: { value: Buffer | null; headers?: object } }) => {
      const headers = Object.fromEntries(
        Object.entries(message.headers ?? {}).map(([key, value]) => [key, String(value)])
      )
      received.push({ value: message.value?.toString(), headers })
      if (received.length === count) resolve()
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  return received
}

function member(kafka: Kafka, groupId: string) {
  const consumer = kafka.consumer({ groupId, ...CONSUMER })
  const joins: number[] = []
  const watchers = new Set<() => void>()
  consumer.on('consumer.group_join', ({ payload }) => {
    joins.push(payload.memberAssignment.orders?.length ?? 0)
    for (const watch of watchers) watch()
  })
  const start = async () => {
    await consumer.connect()
    await consumer.subscribe({ topic: 'orders' })
    await consumer.run({ eachMessage: async () => {} })
  }
  return { consumer, joins, watchers, start }
}

/** Until the member has been assigned what is looked for. */
function until({ joins, watchers }: ReturnType<typeof member>, isIt: (partitions: number) => boolean): Promise<void> {
  return new Promise(resolve => {
    const look = () => {
      const latest = joins.at(-1)
      if (latest === undefined || !isIt(latest)) return
      watchers.delete(look)
      resolve()
    }
    watchers.add(look)
    look()
  })
}
