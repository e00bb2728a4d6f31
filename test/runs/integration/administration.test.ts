import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import { KafkaError, TimedOutError } from '../../../src/core/errors.js'
import { isLegalTopicName, type RecordOutcome } from '../../../src/core/model.js'
import { errorCodes, type KafkaErrorName } from '../../../src/kafka/error-codes.js'
import type { AdminVerbs, ConfigEntry, ConfigResource } from '../../../src/verbs/verbs.js'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const PATIENCE_MS = 30_000
const options = { timeoutMs: PATIENCE_MS }
const onlyChecked = { timeoutMs: PATIENCE_MS, validateOnly: true }

/** The name of the code with which Kafka refuses. */
async function refusal(promise: Promise<unknown>): Promise<string | undefined> {
  const error = await promise.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error
  )
  expect(error).to.be.instanceOf(KafkaError)
  const { errorCode, message } = error as KafkaError
  expect(message).to.not.equal('')
  return Object.entries(errorCodes).find(([, code]) => code === errorCode)?.[0] satisfies string | undefined
}
const refused = async (name: KafkaErrorName, promise: Promise<unknown>): Promise<void> => {
  expect(await refusal(promise)).to.equal(name)
}

describe('a cluster is administered', () => {
  inWorld()
  const stage = onCluster()
  let stack: Castellan
  let admin: AdminVerbs
  beforeEach(() => {
    stack = stage.castellan()
    admin = stack.verbs.admin
  })

  const partitionsOf = async (topic: string): Promise<number | undefined> =>
    (await stack.verbs.topics([topic], PATIENCE_MS)).get(topic)?.partitions.length
  const produce = async (topic: string, ...values: string[]): Promise<readonly RecordOutcome[]> => {
    const records = values.map(value => ({ topic, key: 'k', value }))
    return stack.verbs.produce(records, { partitioner: 'murmur2', deadlineMs: PATIENCE_MS }).outcomes()
  }
  const configOf = async (resource: ConfigResource, name: string): Promise<ConfigEntry | undefined> => {
    const [configs] = (await admin.describeConfigs([resource], PATIENCE_MS)).values()
    return configs?.find(config => config.name === name)
  }

  it('describes the cluster with all brokers', async () => {
    const { clusterId, controllerId, brokers } = await admin.describeCluster(PATIENCE_MS)
    expect(clusterId).to.match(/^[\w-]{22}$/)
    expect(brokers.map(({ nodeId }) => nodeId)).to.deep.equal([...stage.cluster.nodeIds].sort())
    expect(stage.cluster.nodeIds).to.include(controllerId)
    expect(brokers.map(({ host, port }) => `${host}:${port}`)).to.have.members(stage.bootstrap.split(','))
  })

  it('creates a topic with its settings, and refuses to create it again', async () => {
    const name = freshTopic('created')
    const configs = new Map([['retention.ms', '1234567']])
    await admin.createTopic({ name, partitions: 2, replicationFactor: 3, configs }, options)
    const found = (await stack.verbs.topics([name], PATIENCE_MS)).get(name)!
    expect(found.partitions.map(({ replicas }) => replicas.length)).to.deep.equal([3, 3])
    expect(await configOf({ type: 'topic', name }, 'retention.ms')).to.deep.include({
      value: '1234567',
      isDefault: false,
      source: 'DYNAMIC_TOPIC_CONFIG'
    })
    await refused('TOPIC_ALREADY_EXISTS', admin.createTopic({ name, partitions: 2 }, options))
    await admin.deleteTopic(name, PATIENCE_MS)
  })

  it('creates a topic with the defaults of the brokers, and with given replicas', async () => {
    const [byDefault, assigned] = [freshTopic('by-default'), freshTopic('assigned')]
    await admin.createTopic({ name: byDefault }, options)
    expect(await partitionsOf(byDefault)).to.be.greaterThan(0)
    const [one, other] = stage.cluster.nodeIds as [number, number]
    const assignments = new Map([
      [1, [one, other]],
      [0, [other, one]]
    ])
    await admin.createTopic({ name: assigned, assignments }, options)
    const { partitions } = (await stack.verbs.topics([assigned], PATIENCE_MS)).get(assigned)!
    expect(partitions.map(({ replicas }) => replicas)).to.deep.equal([
      [other, one],
      [one, other]
    ])
    for (const name of [byDefault, assigned]) await admin.deleteTopic(name, PATIENCE_MS)
  })

  it('says with the code of Kafka why it creates no topic, and only checks when asked to', async () => {
    const name = freshTopic('refused')
    const configs = (setting: string, value: string) => new Map([[setting, value]])
    await admin.createTopic({ name, partitions: 1 }, onlyChecked)
    await refused('INVALID_PARTITIONS', admin.createTopic({ name, partitions: 0 }, options))
    await refused('INVALID_REPLICATION_FACTOR', admin.createTopic({ name, replicationFactor: 100 }, onlyChecked))
    await refused('INVALID_CONFIG', admin.createTopic({ name, configs: configs('no.such', '1') }, options))
    await refused('INVALID_CONFIG', admin.createTopic({ name, configs: configs('retention.ms', 'tank') }, options))
    const [one, other] = stage.cluster.nodeIds as [number, number]
    for (const replicas of [[[4711]], [[one, one]], [[one], [one, other]]]) {
      const assignments = new Map(replicas.entries())
      await refused('INVALID_REPLICA_ASSIGNMENT', admin.createTopic({ name, assignments }, options))
    }
    const illegal = `${name}/1`
    expect(isLegalTopicName(illegal)).to.equal(false)
    await refused('INVALID_TOPIC_EXCEPTION', admin.createTopic({ name: illegal }, options))
    expect(await partitionsOf(name)).to.equal(0)
  })

  it('lets producers write at once to a topic that they were told is missing', async () => {
    const topic = freshTopic('missing')
    await stack.close()
    stack = stage.castellan({ createTopics: false })
    admin = stack.verbs.admin
    const [missing] = await produce(topic, 'a')
    expect(missing).to.deep.include({ type: 'failed', code: 'unknownTopic' })
    await admin.createTopic({ name: topic, partitions: 1 }, options)
    expect((await produce(topic, 'b'))[0]).to.deep.include({ type: 'delivered', offset: 0 })
    await admin.deleteTopic(topic, PATIENCE_MS)
    expect((await produce(topic, 'c'))[0]).to.deep.include({ type: 'failed', code: 'unknownTopic' })
  })

  it('deletes a topic, which can then be created again and is empty', async () => {
    const topic = freshTopic('deleted')
    await admin.createTopic({ name: topic, partitions: 1 }, options)
    await produce(topic, 'a', 'b')
    await admin.deleteTopic(topic, PATIENCE_MS)
    expect(await partitionsOf(topic)).to.equal(0)
    await refused('UNKNOWN_TOPIC_OR_PARTITION', admin.deleteTopic(topic, PATIENCE_MS))
    await admin.createTopic({ name: topic, partitions: 3 }, options)
    expect(await partitionsOf(topic)).to.equal(3)
    expect((await produce(topic, 'c'))[0]).to.deep.include({ type: 'delivered', offset: 0 })
    await admin.deleteTopic(topic, PATIENCE_MS)
  })

  it('adds partitions, which can be written to at once', async () => {
    const topic = freshTopic('grown')
    await admin.createTopic({ name: topic, partitions: 1 }, options)
    await produce(topic, 'a')
    await admin.createPartitions(topic, 3, onlyChecked)
    expect(await partitionsOf(topic)).to.equal(1)
    await admin.createPartitions(topic, 3, options)
    expect(await partitionsOf(topic)).to.equal(3)
    const records = [{ topic, partition: 2, key: null, value: 'b' }]
    const settings = { partitioner: 'murmur2', deadlineMs: PATIENCE_MS } as const
    const [outcome] = await stack.verbs.produce(records, settings).outcomes()
    expect(outcome).to.deep.include({ type: 'delivered', partition: 2 })
    await refused('INVALID_PARTITIONS', admin.createPartitions(topic, 3, options))
    await refused('UNKNOWN_TOPIC_OR_PARTITION', admin.createPartitions(freshTopic('none'), 3, options))
    await admin.deleteTopic(topic, PATIENCE_MS)
  })

  it('describes and changes settings of topics', async () => {
    const name = freshTopic('configured')
    const resource = { type: 'topic', name } as const
    await admin.createTopic({ name, partitions: 1 }, options)
    const before = (await configOf(resource, 'cleanup.policy'))!
    expect(before).to.deep.equal({
      name: 'cleanup.policy',
      value: 'delete',
      isDefault: true,
      isReadOnly: false,
      isSensitive: false,
      source: 'DEFAULT_CONFIG',
      synonyms: [{ name: 'log.cleanup.policy', value: 'delete', source: 'DEFAULT_CONFIG' }]
    })
    const change = [{ name: 'cleanup.policy', value: 'compact' }]
    await admin.alterConfigs(resource, change, onlyChecked)
    expect(await configOf(resource, 'cleanup.policy')).to.deep.equal(before)
    await admin.alterConfigs(resource, [...change, { name: 'retention.ms', value: '1000' }], options)
    expect(await configOf(resource, 'cleanup.policy')).to.deep.include({
      value: 'compact',
      isDefault: false,
      source: 'DYNAMIC_TOPIC_CONFIG',
      synonyms: [
        { name: 'cleanup.policy', value: 'compact', source: 'DYNAMIC_TOPIC_CONFIG' },
        { name: 'log.cleanup.policy', value: 'delete', source: 'DEFAULT_CONFIG' }
      ]
    })
    await admin.alterConfigs(resource, [{ name: 'cleanup.policy', value: null }], options)
    expect(await configOf(resource, 'cleanup.policy')).to.deep.equal(before)
    expect(await configOf(resource, 'retention.ms')).to.deep.include({ value: '1000' })
    await admin.deleteTopic(name, PATIENCE_MS)
  })

  it('changes no setting when one of them is refused', async () => {
    const name = freshTopic('unchanged')
    const resource = { type: 'topic', name } as const
    await admin.createTopic({ name, partitions: 1 }, options)
    const good = { name: 'retention.ms', value: '1000' }
    for (const bad of [
      { name: 'no.such', value: '1' },
      { name: 'segment.bytes', value: 'tank' }
    ]) {
      await refused('INVALID_CONFIG', admin.alterConfigs(resource, [good, bad], options))
    }
    expect(await configOf(resource, 'retention.ms')).to.deep.include({ isDefault: true })
    const gone = { type: 'topic', name: freshTopic('none') } as const
    await refused('UNKNOWN_TOPIC_OR_PARTITION', admin.alterConfigs(gone, [good], options))
    expect([...(await admin.describeConfigs([resource, gone], PATIENCE_MS)).keys()]).to.deep.equal([name])
    await admin.deleteTopic(name, PATIENCE_MS)
  })

  it('describes settings of each broker, and refuses to change one that needs a restart', async () => {
    const brokers = stage.cluster.nodeIds.map(nodeId => ({ type: 'broker', nodeId }) as const)
    const found = await admin.describeConfigs(brokers, PATIENCE_MS)
    expect([...found.keys()]).to.have.members(stage.cluster.nodeIds.map(String))
    for (const configs of found.values()) {
      const names = configs.map(({ name }) => name)
      expect(names).to.deep.equal([...names].sort())
      expect(configs.find(({ name }) => name === 'auto.create.topics.enable')).to.include({ isReadOnly: true })
    }
    const change = [{ name: 'auto.create.topics.enable', value: 'false' }]
    await refused('INVALID_REQUEST', admin.alterConfigs(brokers[0]!, change, options))
    expect([...(await admin.describeConfigs([{ type: 'brokers' }], PATIENCE_MS)).keys()]).to.deep.equal([''])
  })

  it('finds where logs begin and end', async () => {
    const topic = freshTopic('ends')
    await admin.createTopic({ name: topic, partitions: 1, replicationFactor: 3 }, options)
    await produce(topic, 'a', 'b', 'c')
    await stage.cluster.deleteRecords(topic, 0, 1)
    const asked = [0, 7].map(partition => ({ topic, partition }))
    expect(await admin.logEnds(asked, PATIENCE_MS)).to.deep.equal([{ start: 1, end: 3 }, undefined])
    await admin.deleteTopic(topic, PATIENCE_MS)
  })

  it('describes groups without members, and all that they have committed', async () => {
    const [topic, group] = [freshTopic('committed'), freshTopic('group')]
    const { groups } = stack.verbs
    await admin.createTopic({ name: topic, partitions: 2 }, options)
    expect(await groups.describe([group], PATIENCE_MS)).to.deep.equal(new Map())
    expect(await groups.committed(group, PATIENCE_MS)).to.deep.equal([])
    const offsets = new Map([
      [1, { offset: 7, metadata: 'm' }],
      [0, { offset: 0 }]
    ])
    await groups.commit(group, topic, offsets, PATIENCE_MS)
    expect(await groups.committed(group, PATIENCE_MS)).to.deep.equal([
      { topic, partition: 0, offset: 0, metadata: '' },
      { topic, partition: 1, offset: 7, metadata: 'm' }
    ])
    const { coordinatorId, ...described } = (await groups.describe([group], PATIENCE_MS)).get(group)!
    expect(stage.cluster.nodeIds).to.include(coordinatorId)
    expect(described).to.deep.equal({
      groupId: group,
      type: 'classic',
      state: 'Empty',
      assignor: '',
      isSimple: true,
      isMixed: false,
      members: []
    })
    const all = await groups.describe('all', PATIENCE_MS, groupId => groupId === group)
    expect([...all.keys()]).to.deep.equal([group])
    await admin.deleteTopic(topic, PATIENCE_MS)
  })

  it('describes the members of a group that any client has joined', async () => {
    const [topic, groupId] = [freshTopic('read'), freshTopic('readers')]
    await admin.createTopic({ name: topic, partitions: 2 }, options)
    const kafka = new Kafka({
      brokers: stage.bootstrap.split(','),
      clientId: 'any-client',
      logLevel: logLevel.NOTHING
    })
    const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100 })
    const joined = new Promise(resolve => consumer.on(consumer.events.GROUP_JOIN, resolve))
    await consumer.connect()
    await consumer.subscribe({ topic })
    await consumer.run({ eachMessage: async () => undefined })
    await joined
    try {
      const { members, ...group } = (await stack.verbs.groups.describe([groupId], PATIENCE_MS)).get(groupId)!
      expect(group).to.deep.include({ groupId, state: 'Stable', assignor: 'RoundRobinAssigner', isSimple: false })
      expect(members).to.have.length(1)
      expect(members[0]).to.deep.include({
        clientId: 'any-client',
        instanceId: null,
        partitions: new Map([[topic, [0, 1]]])
      })
    } finally {
      await consumer.disconnect()
    }
    const left = (await stack.verbs.groups.describe([groupId], PATIENCE_MS)).get(groupId)
    expect(left ?? { members: [] }).to.deep.include({ members: [] })
    await admin.deleteTopic(topic, PATIENCE_MS)
  })

  it('answers in time when no broker answers', async () => {
    const { admin: unreachable } = stage.keep(startCastellan('127.0.0.1:1'), one => one.close()).verbs
    const asked = [
      unreachable.describeCluster(50),
      unreachable.createTopic({ name: 'never' }, { timeoutMs: 50 }),
      unreachable.describeConfigs([{ type: 'topic', name: 'never' }], 50)
    ]
    for (const one of await Promise.allSettled(asked)) {
      expect(one).to.have.property('status', 'rejected')
      expect((one as PromiseRejectedResult).reason).to.be.instanceOf(TimedOutError)
    }
  })
})
