import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'

/** A client nobody here wrote that speaks nothing but flexible versions. */
describe('broker: @platformatic/kafka', () => {
  let cluster: EmbeddedCluster
  let base: { readonly clientId: string; readonly bootstrapBrokers: string[]; readonly retries: number }
  const closing: (() => Promise<void>)[] = []

  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3 })
    base = { clientId: 'test', bootstrapBrokers: cluster.bootstrap.split(','), retries: 0 }
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
    await cluster.close()
  })

  function admin() {
    const made = new Admin(base)
    closing.push(() => made.close())
    return made
  }
  function producer(idempotent = true) {
    const made = new Producer({ ...base, serializers: stringSerializers, idempotent, acks: -1 })
    closing.push(() => made.close())
    return made
  }

  it('its admin creates, lists, describes and deletes topics', async () => {
    const client = admin()
    const [created] = await client.createTopics({ topics: ['orders'], partitions: 3, replicas: 2 })
    expect(created).to.deep.include({ name: 'orders', partitions: 3, replicas: 2 })
    expect(created!.configuration['cleanup.policy']).to.equal('delete')
    expect(await client.listTopics()).to.deep.equal(['orders'])
    const { topics, brokers } = await client.metadata({ topics: ['orders'] })
    expect([brokers.size, topics.get('orders')!.id]).to.deep.equal([3, created!.id])
    await client.deleteTopics({ topics: ['orders'] })
    expect(await client.listTopics()).to.deep.equal([])
  })

  it('its producer writes, idempotently and with every codec it has', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    for (const compression of ['none', 'gzip', 'snappy', 'lz4'] as const) {
      await producer().send({
        messages: [{ topic: 'orders', key: 'k', value: compression, headers: { a: 'b' } }],
        compression
      })
    }
    expect(cluster.records('orders', 0).map(({ value }) => String(value))).to.deep.equal([
      'none',
      'gzip',
      'snappy',
      'lz4'
    ])
  })

  it('its consumer joins a group, reads, commits and leaves', async () => {
    cluster.createTopic('orders', { partitions: 2, replicationFactor: 3 })
    const values = ['one', 'two', 'three']
    await producer().send({ messages: values.map(value => ({ topic: 'orders', key: value, value })) })
    const consumer = new Consumer({ ...base, groupId: 'billing', deserializers: stringDeserializers })
    closing.push(async () => consumer.close(true))
    const stream = await consumer.consume({
      topics: ['orders'],
      mode: 'earliest',
      autocommit: false,
      sessionTimeout: 10_000,
      maxWaitTime: 100
    })
    const read: string[] = []
    for await (const message of stream) {
      read.push(message.value!)
      await message.commit()
      if (read.length === values.length) break
    }
    expect(read.toSorted()).to.deep.equal(values.toSorted())
    const groups = await admin().describeGroups({ groups: ['billing'] })
    expect(groups.get('billing')).to.include({ state: 'STABLE', protocolType: 'consumer' })
  })
})
