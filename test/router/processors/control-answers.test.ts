import { expect } from 'chai'
import { ResponseTooLargeError } from '../../../src/core/errors.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Asked, CALL_TIMEOUT_MS } from './asked.js'

describe('describeGroup', () => {
  const described = (groupId: string, more: object = {}): object => ({
    errorCode: 0,
    groupId,
    state: 'Stable',
    protocolType: 'consumer',
    members: [{ memberId: 'm' }],
    ...more
  })
  let asked: Asked
  beforeEach(() => (asked = new Asked('describeGroup')))

  it('tells the members of each group, one call for all that wait', async () => {
    asked.ask({ groupId: 'billing' })
    asked.ask({ groupId: 'audit' })
    asked.ask({ groupId: 'billing' })
    const back = await asked.settle({ groups: [described('audit', { members: [] }), described('billing')] })
    expect(back).to.deep.equal([])
    expect(asked.sent).to.deep.equal([
      { api: 'describeGroups', call: { groupIds: ['billing', 'audit'], timeoutMs: CALL_TIMEOUT_MS } }
    ])
    const members = asked.told.map(([told]) => [told!.type, told!.protocolType, (told!.members as object[]).length])
    expect(members).to.deep.equal([
      ['success', 'consumer', 1],
      ['success', 'consumer', 0],
      ['success', 'consumer', 1]
    ])
    expect(asked.processor.isEmpty).to.equal(true)
    expect(await asked.next()).to.equal(undefined)
  })

  it('asks for at most 20 groups in one call', async () => {
    for (let group = 0; group < 21; group++) asked.ask({ groupId: `group-${group}` })
    await asked.next()
    expect(asked.processor.isEmpty).to.equal(false)
    await asked.next()
    const sizes = asked.sent.map(({ call }) => (call as { groupIds: string[] }).groupIds.length)
    expect(sizes).to.deep.equal([20, 1])
  })

  it('asks about groups one by one that are too large together, so that one takes none with it', async () => {
    for (const groupId of ['a', 'b', 'c']) asked.ask({ groupId })
    const tooLarge = new ResponseTooLargeError('more than 100000 members')
    const together = await asked.next()
    expect(asked.processor.callFailed(together, tooLarge, true)).to.deep.equal([])
    expect(asked.processor.isEmpty).to.equal(false)
    await asked.settle({ groups: [described('a')] })
    const alone = asked.processor.callFailed(await asked.next(), tooLarge, true)
    expect(alone.map(({ request }) => (request as unknown as { groupId: string }).groupId)).to.deep.equal(['b'])
    await asked.settle({ groups: [described('c')] })
    expect(asked.told.map(told => told.map(({ type }) => type))).to.deep.equal([['success'], [], ['success']])
    const sizes = asked.sent.map(({ call }) => (call as { groupIds: string[] }).groupIds)
    expect(sizes).to.deep.equal([['a', 'b', 'c'], ['a'], ['b'], ['c']])
  })

  it('finds no group that is dead, in the words of brokers old and new', async () => {
    for (const dead of [{ state: 'Dead' }, { errorCode: errorCodes.GROUP_ID_NOT_FOUND, state: '' }]) {
      asked.ask({ groupId: 'billing' })
      expect(await asked.settle({ groups: [described('billing', dead)] })).to.deep.equal([])
      expect(asked.told.at(-1)).to.have.length(1)
      expect(asked.told.at(-1)![0]).to.include({ type: 'notFound' })
    }
  })

  it('asks again where the coordinator moved, loads, or left the group out', async () => {
    const moved = asked.ask({ groupId: 'moved' })
    const loads = asked.ask({ groupId: 'loads' })
    const forgotten = asked.ask({ groupId: 'forgotten' })
    const answers = [
      described('moved', { errorCode: errorCodes.NOT_COORDINATOR }),
      described('loads', { errorCode: errorCodes.COORDINATOR_LOAD_IN_PROGRESS }),
      described('somebody else')
    ]
    expect(await asked.settle({ groups: answers })).to.deep.equal([
      { reason: 'notCoordinator', requests: [moved] },
      { reason: 'retryLater', requests: [loads] },
      { reason: 'retryLater', requests: [forgotten] }
    ])
    expect(asked.told.flat()).to.deep.equal([])
  })
})

describe('describeConsumerGroup', () => {
  const group = {
    errorCode: 0,
    errorMessage: null,
    groupId: 'billing',
    state: 'Stable',
    assignor: 'uniform',
    members: []
  }
  let asked: Asked
  beforeEach(() => (asked = new Asked('describeConsumerGroup')))

  it('is one call for each group, and has what the coordinator answers', async () => {
    asked.ask({ groupId: 'billing' })
    const members = [{ memberId: 'm', instanceId: null, clientId: 'c', clientHost: '/h', partitions: new Map() }]
    expect(await asked.settle({ groups: [{ ...group, members }] })).to.deep.equal([])
    expect(asked.sent).to.deep.equal([
      { api: 'describeConsumerGroups', call: { groupIds: ['billing'], timeoutMs: CALL_TIMEOUT_MS } }
    ])
    expect(asked.told[0]![0]).to.deep.include({ type: 'success', state: 'Stable', assignor: 'uniform', members })
  })

  it('has no group where it is dead', async () => {
    asked.ask({ groupId: 'billing' })
    expect(await asked.settle({ groups: [{ ...group, state: 'Dead' }] })).to.deep.equal([])
    expect(asked.told.at(-1)).to.deep.equal([{ type: 'notFound' }])
  })
})

describe('listGroups', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('listGroups')))

  it('asks once for all who wait, for groups that have members', async () => {
    asked.ask({ nodeId: 1, withMembers: true })
    asked.ask({ nodeId: 1, withMembers: true })
    const groups = [{ groupId: 'billing', protocolType: 'consumer' }]
    expect(await asked.settle({ errorCode: 0, groups })).to.deep.equal([])
    expect(asked.told.map(([told]) => told!.groups)).to.deep.equal([groups, groups])
    const [{ call }] = asked.sent as unknown as [{ call: { states: string[]; timeoutMs: number } }]
    expect(call.timeoutMs).to.equal(CALL_TIMEOUT_MS)
    expect(call.states).to.include.members(['Stable', 'PreparingRebalance', 'CompletingRebalance'])
    expect(call.states).not.to.include.members(['Empty', 'Dead'])
  })

  it('asks for groups without members in a call of its own', async () => {
    for (const withMembers of [true, false, true]) asked.ask({ nodeId: 1, withMembers })
    await asked.settle({ errorCode: 0, groups: [] })
    expect(asked.told.map(told => told.length)).to.deep.equal([1, 0, 1])
    const all = [{ groupId: 'billing', protocolType: '' }]
    await asked.settle({ errorCode: 0, groups: all })
    expect(asked.told[1]![0]!.groups).to.deep.equal(all)
    expect((asked.sent.at(-1) as unknown as { call: { states: string[] } }).call.states).to.deep.equal([])
  })
})

describe('describeConfigs', () => {
  const orders = { type: 'topic', name: 'orders' }
  const config = { name: 'cleanup.policy', value: 'compact' }
  const described = (name: string, errorCode = 0): object => ({
    name,
    errorCode,
    errorMessage: null,
    configs: [config]
  })
  let asked: Asked
  beforeEach(() => (asked = new Asked('describeConfigs')))

  it('tells the settings of topics; one that does not exist is absent', async () => {
    asked.ask({ resources: [orders, { type: 'topic', name: 'invented' }] })
    const resources = [described('orders'), described('invented', errorCodes.UNKNOWN_TOPIC_OR_PARTITION)]
    expect(await asked.settle({ resources })).to.deep.equal([])
    expect(asked.told[0]).to.deep.equal([{ type: 'success', configs: new Map([['orders', [config]]]) }])
  })

  it('makes one call for requests that ask for the same, and another one for other settings', async () => {
    asked.ask({ resources: [orders] })
    asked.ask({ resources: [orders] })
    asked.ask({ resources: [orders], names: ['retention.ms'] })
    await asked.next()
    await asked.next()
    expect(asked.sent.map(({ call }) => call)).to.deep.equal(
      [undefined, ['retention.ms']].map(names => ({
        resources: [orders],
        names,
        withSynonyms: false,
        timeoutMs: CALL_TIMEOUT_MS
      }))
    )
    expect(await asked.next()).to.equal(undefined)
  })
})

describe('initProducerId', () => {
  let asked: Asked
  beforeEach(() => (asked = new Asked('initProducerId')))

  it('gives each requester an id of its own', async () => {
    asked.ask({})
    asked.ask({})
    await asked.settle({ errorCode: 0, producerId: 0n, producerEpoch: 0 })
    await asked.settle({ errorCode: 0, producerId: 8n, producerEpoch: 1 })
    const call = { api: 'initProducerId', call: { timeoutMs: CALL_TIMEOUT_MS } }
    expect(asked.sent).to.deep.equal([call, call])
    expect(asked.told).to.deep.equal([
      [{ type: 'success', producerId: 0n, producerEpoch: 0 }],
      [{ type: 'success', producerId: 8n, producerEpoch: 1 }]
    ])
  })
})

describe('findCoordinator', () => {
  const node = { nodeId: 2, host: 'mock-2', port: 9092, rack: null }
  let asked: Asked
  beforeEach(() => (asked = new Asked('findCoordinator')))

  it('asks once for all who look for the same group, and by itself for a transactional id of its name', async () => {
    asked.ask({ keyType: 'group', groupId: 'billing' })
    asked.ask({ keyType: 'transaction', groupId: 'billing' })
    asked.ask({ keyType: 'group', groupId: 'billing' })
    expect(await asked.settle({ errorCode: 0, coordinator: node })).to.deep.equal([])
    const [sent] = asked.sent
    const call = { keyType: 'group', groupId: 'billing', timeoutMs: CALL_TIMEOUT_MS }
    expect(sent).to.deep.equal({ api: 'findCoordinator', call })
    expect(asked.told.map(({ length }) => length)).to.deep.equal([1, 0, 1])
    expect(asked.told[0]![0]).to.deep.equal({ type: 'success', coordinator: node })
    expect(asked.processor.drain()).to.have.length(1)
    expect(asked.processor.isEmpty).to.equal(true)
  })

  it('takes a port from 1 to 65535 for one that can be reached', async () => {
    for (const port of [0, 1, 65_535, 65_536]) {
      asked.ask({ groupId: `port-${port}` })
      const back = await asked.settle({ errorCode: 0, coordinator: { ...node, port } })
      expect(back, String(port)).to.have.length(port === 1 || port === 65_535 ? 0 : 1)
    }
  })
})
