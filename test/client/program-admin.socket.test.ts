import { expect } from 'chai'
import { AdminError, type Castellan, CastellanError, InvalidRequestError } from '../../src/client.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { onBroker } from '../support/stage.js'

const failed = (asked: Promise<unknown>): Promise<AdminError> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => (error instanceof AdminError ? error : Promise.reject(error))
  )

describe('castellan.admin', () => {
  const stage = onBroker(undefined, true)
  let castellan: Castellan
  beforeEach(async () => {
    castellan = await stage.library()
  })

  it('creates a topic with its settings, describes it, and deletes it', async () => {
    const { admin } = castellan
    await admin.createTopic({ name: 'orders', partitions: 2, configs: { 'retention.ms': '1000' } })
    expect((await admin.topics(['orders', 'none'])).get('orders')!.partitions).to.have.length(2)
    await admin.alterConfigs({ topic: 'orders' }, { 'cleanup.policy': 'compact', 'retention.ms': null })
    const configs = (await admin.describeConfigs({ topic: 'orders' }))['orders']!
    expect(configs['cleanup.policy']).to.deep.include({ value: 'compact', isDefault: false })
    expect(configs['retention.ms']).to.include({ isDefault: true })
    await admin.createPartitions('orders', 3)
    expect([...(await admin.topics()).values()].map(({ partitions }) => partitions.length)).to.deep.equal([3])
    await admin.deleteTopic('orders')
    expect([...(await admin.topics()).keys()]).to.deep.equal([])
  })

  it('only checks a change with validateOnly', async () => {
    await castellan.admin.createTopic({ name: 'orders' }, { validateOnly: true })
    expect((await castellan.admin.topics()).size).to.equal(0)
  })

  it('places partitions on the brokers that are named', async () => {
    const [node] = (await castellan.admin.describeCluster()).brokers
    await castellan.admin.createTopic({ name: 'placed', assignments: { 0: [node!.nodeId], 1: [node!.nodeId] } })
    expect((await castellan.admin.topics(['placed'])).get('placed')!.partitions).to.have.length(2)
  })

  it("has Kafka's names for its errors", async () => {
    const { admin } = castellan
    await admin.createTopic({ name: 'orders' })
    expect(await failed(admin.createTopic({ name: 'orders' }))).to.include({
      name: 'AdminError',
      code: 'topicAlreadyExists',
      errorCode: 36,
      retriable: false
    })
    expect(await failed(admin.deleteTopic('none'))).to.include({ code: 'unknownTopicOrPartition' })
    expect(await failed(admin.createPartitions('orders', 1))).to.include({ code: 'invalidPartitions' })
    expect(await failed(admin.deleteGroups('none'))).to.include({ code: 'groupIdNotFound' })
  })

  it('asks for access control lists, which the embedded broker has not', async () => {
    const { admin } = castellan
    const error = await failed(admin.describeAcls({ resourceType: 'TOPIC', resourceName: 'orders' }))
    expect(error).to.include({ name: 'AdminError', code: 'securityDisabled', errorCode: 54, retriable: false })
    expect(error.message).to.equal('SECURITY_DISABLED (54): no authorizer is configured')
  })

  const wrongFilters: readonly (readonly [object, RegExp])[] = [
    [{ type: 'TOPIC' }, /^describeAcls: there is no option type$/],
    [{ principals: 'User:ann' }, /did you mean principal\?$/],
    [{ resourceType: 'topic' }, /^describeAcls: resourceType has to be one of TOPIC, GROUP, .*; did you mean TOPIC\?$/],
    [{ operation: 'ANY' }, /^describeAcls: operation has to be one of ALL, READ, /],
    [{ permission: null }, /^describeAcls: permission has to be one of DENY, ALLOW/]
  ]
  for (const [filter, message] of wrongFilters)
    it(`is told what is wrong with the filter ${JSON.stringify(filter)}`, async () => {
      const error: unknown = await castellan.admin.describeAcls(filter).catch((thrown: unknown) => thrown)
      expect(error).to.be.instanceOf(InvalidRequestError)
      expect(error).to.have.property('message').that.matches(message)
    })

  it('tries all of a list, and tells the error of each name', async () => {
    const { admin } = castellan
    await admin.createTopic([{ name: 'a' }, { name: 'b' }])
    const error = await failed(admin.deleteTopic(['none', 'a', 'not a topic', 'b']))
    expect([...error.errors].map(([name, { code }]) => `${name} ${code}`).sort()).to.deep.equal([
      'none unknownTopicOrPartition',
      'not a topic unknownTopicOrPartition'
    ])
    expect(error.message).to.match(/^2 of 4 failed: /)
    expect((await admin.topics()).size).to.equal(0)
  })

  it('describes a topic with the name of a member that all objects have', async () => {
    const { admin } = castellan
    await admin.createTopic([{ name: '__proto__' }, { name: 'constructor' }])
    const configs = await admin.describeConfigs([{ topic: '__proto__' }, { topic: 'constructor' }, { topic: 'none' }])
    expect(Object.keys(configs).sort()).to.deep.equal(['__proto__', 'constructor'])
    expect(new Map(Object.entries(configs)).get('__proto__')!['retention.ms']).to.include({ isDefault: true })
    expect([...(await admin.topics()).keys()].sort()).to.deep.equal(['__proto__', 'constructor'])
  })

  it('deletes the records before an offset, also where the answer is lost', async () => {
    const { admin } = castellan
    stage.cluster.createTopic('orders', { partitions: 2 })
    const records = [0, 1, 0, 0].map(partition => ({ topic: 'orders', partition, value: 'x' }))
    await castellan.produceOrThrow(records)
    const ends = () => admin.logEnds([0, 1, 2].map(partition => ({ topic: 'orders', partition })))
    expect(await ends()).to.deep.equal([{ start: 0, end: 3 }, { start: 0, end: 1 }, undefined])
    await admin.deleteRecords({ topic: 'orders', partition: 0, offset: 1 })
    stage.cluster.faults.add({ api: 'DeleteRecords' }, { type: 'close', afterWork: true })
    await admin.deleteRecords([{ topic: 'orders', partition: 0, offset: 2 }])
    expect((await ends())[0]).to.deep.equal({ start: 2, end: 3 })
    expect(stage.cluster.requestCount('DeleteRecords')).to.equal(2)
    const error = await failed(
      admin.deleteRecords([
        { topic: 'orders', partition: 0, offset: 9 },
        { topic: 'orders', partition: 1, offset: 1 },
        { topic: 'orders', partition: 7, offset: 1 }
      ])
    )
    expect([...error.errors].map(([name, { code }]) => `${name} ${code}`).sort()).to.deep.equal([
      'orders/0 offsetOutOfRange',
      'orders/7 unknownTopicOrPartition'
    ])
    expect((await ends())[1]).to.deep.equal({ start: 1, end: 1 })
  })

  it('asks the new leader to delete records', async () => {
    stage.cluster.createTopic('orders')
    await castellan.produceOrThrow({ topic: 'orders', partition: 0, value: 'x' })
    const { NOT_LEADER_OR_FOLLOWER: errorCode } = errorCodes
    const fault = stage.cluster.faults.add({ api: 'DeleteRecords' }, { type: 'error', errorCode })
    await castellan.admin.deleteRecords({ topic: 'orders', partition: 0, offset: 1 })
    expect(fault.fired).to.equal(1)
  })

  it('sets, tells and deletes the offsets of a group', async () => {
    const { admin } = castellan
    stage.cluster.createTopic('orders', { partitions: 2 })
    await castellan.produceOrThrow({ topic: 'orders', partition: 1, value: 'x' })
    await admin.setOffsets('billing', [{ topic: 'orders', partition: 1, offset: 1 }])
    const places = [
      { topic: 'orders', partition: 0, committed: undefined, earliest: 0, latest: 0 },
      { topic: 'orders', partition: 1, committed: 1, earliest: 0, latest: 1 }
    ]
    expect(await admin.offsets('billing')).to.deep.equal(places)
    expect(await admin.offsets('billing', 'orders')).to.deep.equal(places)
    expect(await admin.offsets('billing', 'none')).to.deep.equal([])
    expect((await admin.describeGroups(['billing', 'none'])).get('billing')).to.include({ state: 'Empty' })
    expect([...(await admin.describeGroups()).keys()]).to.deep.equal(['billing'])
    stage.cluster.faults.add({ api: 'DeleteGroups' }, { type: 'close', afterWork: true })
    await admin.deleteGroups(['billing'])
    expect(stage.cluster.requestCount('DeleteGroups')).to.equal(1)
    expect(await admin.offsets('billing')).to.deep.equal([])
  })

  it('tells each partition whose offset could not be set', async () => {
    stage.cluster.createTopic('orders')
    const places = [0, 5].map(partition => ({ topic: 'orders', partition, offset: 0 }))
    const error = await failed(castellan.admin.setOffsets('billing', places, { timeoutMs: 2_000 }))
    expect([...error.errors].map(([name, { code }]) => `${name} ${code}`)).to.deep.equal([
      'orders/5 unknownTopicOrPartition'
    ])
    expect((await castellan.admin.offsets('billing'))[0]).to.include({ committed: 0 })
  })

  it('says that a topic does not exist when offsets are set in it, also while the group has members', async () => {
    stage.cluster.createTopic('orders')
    await castellan.produceOrThrow({ topic: 'orders', value: 'x' })
    const messages = castellan.consume({ group: 'billing', topics: 'orders', start: 'earliest' })
    await messages.next()
    const setting = (topic: string, partition: number) =>
      failed(castellan.admin.setOffsets('billing', [{ topic, partition, offset: 0 }], { timeoutMs: 2_000 }))
    expect(await setting('ordres', 0)).to.include({ code: 'unknownTopicOrPartition', errorCode: 3 })
    expect(await setting('orders', 9)).to.include({ code: 'unknownTopicOrPartition', errorCode: 3 })
    await messages.return!()
  })

  it('describes settings of brokers', async () => {
    const { brokers, controllerId } = await castellan.admin.describeCluster()
    expect(brokers.map(({ nodeId }) => nodeId)).to.include(controllerId)
    const configs = await castellan.admin.describeConfigs([{ broker: brokers[0]!.nodeId }])
    expect(Object.keys(configs)).to.deep.equal([String(brokers[0]!.nodeId)])
  })

  it('gives up after its time, and is told what is no time and what is no resource', async () => {
    stage.cluster.faults.add({ api: 'CreateTopics', count: Infinity }, { type: 'dropRequest' })
    const error = await failed(castellan.admin.createTopic({ name: 'orders' }, { timeoutMs: 300 }))
    expect(error).to.include({ code: 'timedOut', errorCode: undefined, retriable: true })
    expect(error).to.be.instanceOf(CastellanError)
    for (const options of [5_000, { timeoutMs: 0 }, { timeoutMs: 'soon' }, null]) {
      const thrown: unknown = await castellan.admin.deleteTopic('orders', options as never).catch((e: unknown) => e)
      expect(thrown, JSON.stringify(options)).to.include({ code: 'invalidRequest' })
    }
    const thrown: unknown = await castellan.admin.describeConfigs('orders' as never).catch((e: unknown) => e)
    expect(thrown).to.include({ code: 'invalidRequest' })
  })

  it('ends a call whose signal is aborted, and begins no further change', async () => {
    const { admin } = castellan
    stage.cluster.createTopic('orders')
    const dropped = stage.cluster.faults.add({ api: 'Metadata', count: Infinity }, { type: 'dropRequest' })
    const unanswered = stage.cluster.faults.add({ api: 'DescribeAcls', count: Infinity }, { type: 'dropRequest' })
    const ends = Array.from({ length: 3 }, () => new AbortController())
    const [one, many, before] = ends.map(({ signal }) => signal)
    const names = Array.from({ length: 400 }, (_, at) => `t${at}`)
    const asked = [
      failed(admin.topics(undefined, { signal: one })),
      failed(admin.logEnds([{ topic: 'orders', partition: 0 }], { signal: one })),
      failed(admin.offsets('g', 'orders', { signal: one })),
      failed(admin.deleteTopic(names, { signal: many })),
      failed(admin.describeAcls({}, { signal: one }))
    ]
    ends[2]!.abort()
    const refused = await failed(admin.createTopic({ name: 'late' }, { signal: before }))
    for (const end of ends) end.abort()
    for (const error of [...(await Promise.all(asked)), refused]) {
      expect(error).to.include({ code: 'aborted', errorCode: undefined, retriable: true })
    }
    const { errors } = await asked[3]!
    expect([...errors.keys()]).to.have.members(names)
    dropped.remove()
    unanswered.remove()
    expect([...(await admin.topics()).keys()]).to.deep.equal(['orders'])
    expect(stage.cluster.requestCount('CreateTopics')).to.equal(0)
    await admin.setOffsets('g', [{ topic: 'orders', partition: 0, offset: 0 }], {
      signal: new AbortController().signal
    })
  })
})
