import { expect } from 'chai'
import { type CastellanError, KafkaError, TimedOutError } from '../../src/core/errors.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { KafkaAdmin } from '../../src/verbs/kafka-admin.js'
import { type EmbeddedStack, startCastellan, startEmbeddedStack } from '../support/castellan.js'

const PATIENCE_MS = 15_000
const options = { timeoutMs: PATIENCE_MS }
const LOST_AFTER_WORK = { type: 'close', afterWork: true } as const

describe('changes of a cluster in trouble', () => {
  let stack: EmbeddedStack
  beforeEach(async () => {
    stack = await startEmbeddedStack({ nodes: 2 })
  })
  afterEach(() => stack.close())

  const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => expect.fail('it succeeded'),
      (error: unknown) => error
    )
  const countOf = (api: 'CreateTopics' | 'DeleteTopics' | 'CreatePartitions'): number => stack.cluster.requestCount(api)

  it('are repeated until another broker is the controller', async () => {
    const { admin } = stack.verbs
    const notController = { type: 'error', errorCode: errorCodes.NOT_CONTROLLER } as const
    for (const api of ['CreateTopics', 'CreatePartitions', 'DeleteTopics'] as const) {
      stack.cluster.faults.add({ api, count: 2 }, notController)
    }
    await admin.createTopic({ name: 'orders', partitions: 1 }, options)
    await admin.createPartitions('orders', 2, options)
    await admin.deleteTopic('orders', PATIENCE_MS)
    expect((['CreateTopics', 'CreatePartitions', 'DeleteTopics'] as const).map(countOf)).to.deep.equal([3, 3, 3])
  })

  it('are made when the cluster shows what an attempt without an answer has done, and are not sent again', async () => {
    const { admin } = stack.verbs
    for (const api of ['CreateTopics', 'CreatePartitions', 'IncrementalAlterConfigs'] as const) {
      stack.cluster.faults.add({ api }, LOST_AFTER_WORK)
    }
    await admin.createTopic({ name: 'orders', partitions: 1, configs: new Map([['retention.ms', '7']]) }, options)
    await admin.createPartitions('orders', 2, options)
    await admin.alterConfigs({ type: 'topic', name: 'orders' }, [{ name: 'retention.ms', value: '5' }], options)
    expect((['CreateTopics', 'CreatePartitions'] as const).map(countOf)).to.deep.equal([1, 1])
    expect(stack.cluster.requestCount('IncrementalAlterConfigs')).to.equal(1)
  })

  it('are made when the cluster shows a topic for which the brokers choose the numbers, also where it was asked in numbers', async () => {
    const { admin } = stack.verbs
    for (const [name, numbers] of [
      ['a', { partitions: -1 }],
      ['b', { partitions: 2, replicationFactor: -1 }],
      ['c', { partitions: -1, replicationFactor: -1 }],
      ['d', { partitions: -1, replicationFactor: -1, assignments: new Map([[0, [2]]]) }]
    ] as const) {
      stack.cluster.faults.add({ api: 'CreateTopics' }, LOST_AFTER_WORK)
      await admin.createTopic({ name, ...numbers }, options)
    }
    expect(countOf('CreateTopics')).to.equal(4)
  })

  it('are not sent again once bytes were written, and are in doubt while the cluster does not show them', async () => {
    const { admin } = stack.verbs
    stack.cluster.createTopic('orders', { partitions: 1 })
    const soon = { timeoutMs: 600 }
    for (const api of ['CreateTopics', 'CreatePartitions', 'IncrementalAlterConfigs'] as const) {
      stack.cluster.faults.add({ api }, { type: 'close', afterWork: false })
    }
    const retention = [{ name: 'retention.ms', value: '5' }]
    for (const unsure of [
      admin.createTopic({ name: 'payments', partitions: 1 }, soon),
      admin.createPartitions('orders', 2, soon),
      admin.alterConfigs({ type: 'topic', name: 'orders' }, retention, soon)
    ]) {
      expect(await errorOf(unsure)).to.be.instanceOf(TimedOutError)
    }
    expect((['CreateTopics', 'CreatePartitions'] as const).map(countOf)).to.deep.equal([1, 1])
    expect(stack.cluster.requestCount('IncrementalAlterConfigs')).to.equal(1)
  })

  it('are in doubt where the cluster has shown them before', async () => {
    const { admin } = stack.verbs
    stack.cluster.createTopic('orders', { partitions: 1 })
    stack.cluster.faults.add({ api: 'CreateTopics' }, { type: 'close', afterWork: false })
    const unsure = admin.createTopic({ name: 'orders', partitions: 1 }, { timeoutMs: 600 })
    expect(await errorOf(unsure)).to.be.instanceOf(TimedOutError)
  })

  it('are asked again where they are only checked', async () => {
    const { admin } = stack.verbs
    stack.cluster.faults.add({ api: 'CreateTopics' }, { type: 'close', afterWork: false })
    await admin.createTopic({ name: 'orders', partitions: 1 }, { ...options, validateOnly: true })
    expect(countOf('CreateTopics')).to.equal(2)
  })

  it('delete a topic by its id again when the answer was lost, and it is gone as requested', async () => {
    const { admin } = stack.verbs
    stack.cluster.createTopic('orders', { partitions: 1 })
    stack.cluster.faults.add({ api: 'DeleteTopics' }, LOST_AFTER_WORK)
    await admin.deleteTopic('orders', PATIENCE_MS)
    expect(countOf('DeleteTopics')).to.equal(2)
    expect([...(await stack.verbs.topics('all', PATIENCE_MS)).keys()]).to.deep.equal([])
  })

  it('have an error of Kafka for each refusal, also where a permission is missing', async () => {
    const { admin, groups } = stack.verbs
    const denied = (errorCode: number) => ({ type: 'error', errorCode }) as const
    const { TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED } = errorCodes
    for (const api of ['CreateTopics', 'DescribeConfigs', 'IncrementalAlterConfigs'] as const) {
      stack.cluster.faults.add({ api, topic: 'orders' }, denied(TOPIC_AUTHORIZATION_FAILED))
    }
    const orders = { type: 'topic', name: 'orders' } as const
    for (const change of [
      () => admin.createTopic({ name: 'orders' }, options),
      () => admin.describeConfigs([orders], PATIENCE_MS),
      () => admin.alterConfigs(orders, [], options)
    ]) {
      const error = await errorOf(change())
      expect(error).to.be.instanceOf(KafkaError).and.to.include({ errorCode: TOPIC_AUTHORIZATION_FAILED })
    }
    stack.cluster.faults.add({ api: 'OffsetFetch' }, denied(GROUP_AUTHORIZATION_FAILED))
    const error = await errorOf(groups.committed('billing', PATIENCE_MS))
    expect(error).to.be.instanceOf(KafkaError).and.to.include({ errorCode: GROUP_AUTHORIZATION_FAILED })
  })

  it('ask no broker for what cannot be asked', async () => {
    const { admin } = stack.verbs
    const codeOf = async (promise: Promise<unknown>) => ((await errorOf(promise)) as CastellanError).code
    expect(await codeOf(admin.createTopic({ name: '' }, options))).to.equal('invalidTopic')
    expect(await codeOf(admin.deleteTopic('', PATIENCE_MS))).to.equal('invalidTopic')
    expect(await codeOf(admin.createTopic({ name: 'a', partitions: 2 ** 40 }, options))).to.equal('invalidRequest')
    expect(await codeOf(admin.createPartitions('a', 1.5, options))).to.equal('invalidRequest')
    const mixed = [{ type: 'topic', name: 'a' }, { type: 'brokers' }] as const
    expect(await codeOf(admin.describeConfigs(mixed, PATIENCE_MS))).to.equal('invalidRequest')
    expect(await codeOf(admin.describeConfigs([{ type: 'broker', nodeId: 9 }], PATIENCE_MS))).to.equal(
      'brokerUnreachable'
    )
    expect((['CreateTopics', 'CreatePartitions'] as const).map(countOf)).to.deep.equal([0, 0])
  })

  it('let records wait for no other topic: an unknown topic in a list has no settings', async () => {
    stack.cluster.createTopic('orders')
    stack.cluster.createTopic('__proto__')
    const names = ['orders', 'none', '__proto__']
    const found = await stack.verbs.admin.describeConfigs(
      names.map(name => ({ type: 'topic', name })),
      PATIENCE_MS
    )
    expect([...found.keys()]).to.have.members(['orders', '__proto__'])
  })
})

describe('the id of a cluster', () => {
  it('is not asked for once it is known', async () => {
    const asked: unknown[] = []
    const router = { path: 'router', tell: (message: unknown) => void asked.push(message), stop: () => undefined }
    const admin = new KafkaAdmin({ router, delivery: { clusterId: 'known' }, clock: () => 0 })
    expect([await admin.clusterId(PATIENCE_MS), asked]).to.deep.equal(['known', []])
  })

  it('is that of the cluster that answers, also after another one has started at the same address', async () => {
    const first = await startEmbeddedCluster({ nodes: 1 })
    const stack = startCastellan(first.bootstrap)
    const { verbs } = stack
    const idOf = () => verbs.admin.clusterId(PATIENCE_MS)
    const described = async () => (await verbs.admin.describeCluster(PATIENCE_MS)).clusterId
    const before = await idOf()
    expect(before).to.equal(await described())
    await first.close()
    const second = await startEmbeddedCluster({ nodes: 1, port: first.nodes[0]!.port })
    try {
      second.createTopic('orders')
      await verbs.topics(['orders'], PATIENCE_MS)
      expect(await idOf()).to.equal(await described())
      expect(await idOf()).to.not.equal(before)
    } finally {
      await stack.close()
      await second.close()
    }
  })
})
