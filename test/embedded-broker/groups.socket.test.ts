import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import type { RawKafka } from '../support/raw-kafka.js'
import { joinAlone, joinGroup, offsetCommit, syncGroup } from '../support/raw-kafka-group-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: groups on the wire', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ minSessionTimeoutMs: 30 })
    cluster.createTopic('orders', { partitions: 1 })
    client = await connect(cluster.nodes[0]!)
  })

  it('joins, syncs and beats', async () => {
    const told = await joinGroup(client, 'billing')
    expect(told.errorCode).to.equal(79)
    const joined = await joinGroup(client, 'billing', told.memberId)
    expect(joined).to.deep.equal({
      errorCode: 0,
      generationId: 1,
      leaderId: told.memberId,
      memberId: told.memberId,
      members: [told.memberId]
    })
    const assignments = new Map([[told.memberId, 'all of it']])
    expect(await syncGroup(client, 'billing', 1, told.memberId, assignments)).to.deep.equal({
      errorCode: 0,
      assignment: 'all of it'
    })
    expect(await heartbeat(client, 'billing', 1, told.memberId)).to.equal(0)
    expect(await heartbeat(client, 'billing', 2, told.memberId)).to.equal(22)
    expect(await heartbeat(client, 'nobody', 1, told.memberId)).to.equal(25)
  })

  for (const version of [0, 1, 2, 3]) {
    it(`joins without a second round in version ${version}`, async () => {
      expect(await joinGroup(client, 'billing', '', { version })).to.include({ errorCode: 0, generationId: 1 })
    })
  }

  it('refuses a group without a name (24) and sessions it finds too short (26)', async () => {
    expect(await joinGroup(client, '')).to.include({ errorCode: 24 })
    expect(await joinGroup(client, 'billing', '', { sessionTimeoutMs: 29 })).to.include({ errorCode: 26 })
  })

  it('drops who is silent for its session', async () => {
    const { memberId } = await joinGroup(client, 'billing', '', { sessionTimeoutMs: 30 })
    const { generationId } = await joinGroup(client, 'billing', memberId, { sessionTimeoutMs: 30 })
    await syncGroup(client, 'billing', generationId, memberId, new Map())
    while ((await describeGroup(client, 'billing')).members.length > 0) await new Promise(setImmediate)
    expect(await heartbeat(client, 'billing', generationId, memberId)).to.equal(25)
  })

  it('takes leaving members one by one, each with its own code', async () => {
    const { memberId } = await joinAlone(client, 'billing')
    const answer = await client.call(13, 3, body => {
      body.string('billing').array([memberId, 'stranger'], id => body.string(id).nullableString(null))
    })
    answer.int32()
    expect(answer.int16()).to.equal(0)
    const left = answer.array(() => [answer.string(), answer.nullableString(), answer.int16()])
    expect(left).to.deep.equal([
      [memberId, null, 0],
      ['stranger', null, 25]
    ])
    expect(await describeGroup(client, 'billing')).to.include({ state: 'Empty' })
  })

  it('describes a group, an empty one, and one that never was', async () => {
    const { memberId } = await joinAlone(client, 'billing')
    expect(await describeGroup(client, 'billing')).to.deep.equal({
      errorCode: 0,
      state: 'Stable',
      protocolType: 'consumer',
      protocol: 'range',
      members: [{ memberId, clientId: 'raw', clientHost: '/127.0.0.1', metadata: 'topics', assignment: 'everything' }]
    })
    await offsetCommit(client, 'alone', 'orders', [[0, 1]])
    expect(await describeGroup(client, 'alone')).to.include({ errorCode: 0, state: 'Empty' })
    expect(await describeGroup(client, 'never')).to.include({ errorCode: 0, state: 'Dead' })
  })

  it('says of a group whose members join neither what they ask for nor what they were assigned', async () => {
    const { memberId } = await joinAlone(client, 'billing')
    const other = await connect(cluster.nodes[0]!)
    const joining = joinGroup(other, 'billing', '', { version: 3 })
    try {
      for (;;) {
        const described = await describeGroup(client, 'billing')
        if (described.state === 'Stable') continue
        expect(described).to.include({
          errorCode: 0,
          state: 'PreparingRebalance',
          protocolType: 'consumer',
          protocol: ''
        })
        expect(described.members.find(member => member.memberId === memberId)).to.include({
          metadata: '',
          assignment: ''
        })
        break
      }
    } finally {
      void joining.catch(() => undefined)
      await other.close()
    }
  })

  it('lists groups with members and groups that only have offsets', async () => {
    await joinAlone(client, 'billing')
    await offsetCommit(client, 'alone', 'orders', [[0, 1]])
    const answer = await client.call(16, 2, () => {})
    answer.int32()
    expect(answer.int16()).to.equal(0)
    expect(answer.array(() => [answer.string(), answer.string()])).to.have.deep.members([
      ['billing', 'consumer'],
      ['alone', '']
    ])
  })

  it('deletes a group without members: 68 with, 69 when there is none', async () => {
    await joinAlone(client, 'billing')
    await offsetCommit(client, 'alone', 'orders', [[0, 1]])
    const groupIds = ['billing', 'alone', 'never']
    const answer = await client.call(42, 1, body => body.array(groupIds, groupId => body.string(groupId)))
    answer.int32()
    expect(answer.array(() => [answer.string(), answer.int16()])).to.deep.equal([
      ['billing', 68],
      ['alone', 0],
      ['never', 69]
    ])
    expect(await describeGroup(client, 'alone')).to.include({ state: 'Dead' })
  })

  it('answers a whole call with a fault that names no topic', async () => {
    const fault = cluster.faults.add({ api: 'JoinGroup' }, { type: 'error', errorCode: 16 })
    expect(await joinGroup(client, 'billing')).to.include({ errorCode: 16 })
    expect(fault.fired).to.equal(1)
  })
})

async function heartbeat(client: RawKafka, groupId: string, generationId: number, memberId: string): Promise<number> {
  const answer = await client.call(12, 3, body =>
    body.string(groupId).int32(generationId).string(memberId).nullableString(null)
  )
  answer.int32()
  return answer.int16()
}

async function describeGroup(client: RawKafka, groupId: string) {
  const answer = await client.call(15, 2, body => body.int32(1).string(groupId))
  answer.int32()
  answer.int32()
  const errorCode = answer.int16()
  answer.string()
  const state = answer.string()
  const protocolType = answer.string()
  const protocol = answer.string()
  const members = answer.array(() => {
    const memberId = answer.string()
    const clientId = answer.string()
    const clientHost = answer.string()
    const [metadata, assignment] = [answer.bytes().toString(), answer.bytes().toString()]
    return { memberId, clientId, clientHost, metadata, assignment }
  })
  return { errorCode, state, protocolType, protocol, members }
}
