import { expect } from 'chai'
import { TimedOutError } from '../../../src/core/errors.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import type { RouterSettingsOverrides } from '../../../src/router/routing/settings.js'
import { A, CastleRouter, Inbox, metaGood } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import {
  coordinatorReply,
  listOffsetsReply,
  offsetFetchReply,
  type Reply,
  ScriptedCluster
} from '../../support/scripted-client.js'

const CALL_TIMEOUT_MS = 5_000

describe('a group that is stuck', () => {
  let time: FakeTime
  let cluster: ScriptedCluster
  let castle: CastleRouter
  /** Groups whose calls are never answered. */
  let stuck: Set<string>
  let sent: string[]
  let inFlight: number
  let mostInFlight: number
  beforeEach(() => {
    time = new FakeTime()
    stuck = new Set()
    sent = []
    inFlight = mostInFlight = 0
    cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1))
    cluster.always(1, 'listOffsets', listOffsetsReply(cluster, -1, 0, 7))
    const commit = whenLetThrough((call: Parameters<BrokerClient['offsetCommit']>[0]) => ({
      throttleTimeMs: 0,
      partitions: call.partitions.map(({ topic, partition }) => ({ topic, partition, errorCode: 0 }))
    }))
    cluster.always(1, 'offsetCommit', commit as unknown as Reply<'offsetCommit'>)
    const fetch = whenLetThrough((call: Parameters<BrokerClient['offsetFetch']>[0]) => offsetFetchReply(0, 5)(call))
    cluster.always(1, 'offsetFetch', fetch as unknown as Reply<'offsetFetch'>)
  })
  afterEach(async () => {
    const stopped = castle.stop()
    await time.pass(10)
    await stopped
    time.restore()
  })

  const start = (settings: RouterSettingsOverrides = {}): void => {
    castle = new CastleRouter(cluster, settings, undefined, time.now)
  }

  function whenLetThrough<Call extends { groupId: string }, Response>(answer: (call: Call) => Response) {
    return async (call: Call): Promise<Response> => {
      sent.push(call.groupId)
      if (!stuck.has(call.groupId)) return answer(call)
      mostInFlight = Math.max(mostInFlight, ++inFlight)
      await new Promise(resolve => setTimeout(resolve, CALL_TIMEOUT_MS))
      inFlight--
      throw new TimedOutError('OffsetCommit', CALL_TIMEOUT_MS)
    }
  }

  const commit = (groupId: string, offset = 1): string[] => {
    const inbox = new Inbox<'commitConsumerOffset'>()
    const told: string[] = []
    inbox.reply = result => void told.push(result.type)
    castle.tell(inbox, { type: 'commitConsumerOffset', groupId, topicPartition: A, offsetAndMetadata: { offset } })
    return told
  }
  const look = (groupId: string): string[] => {
    const inbox = new Inbox<'fetchConsumerOffset'>()
    const told: string[] = []
    inbox.reply = result => void told.push(result.type)
    castle.tell(inbox, { type: 'fetchConsumerOffset', groupId, topicPartition: A })
    return told
  }
  const latest = (): string[] => {
    const inbox = new Inbox<'fetchOffset'>()
    const told: string[] = []
    inbox.reply = result => void told.push(result.type)
    castle.tell(inbox, { type: 'fetchOffset', topicPartition: A, offsetType: 'latest' })
    return told
  }
  const groupConnections = (): string[] => cluster.connections.filter(name => name.includes('group'))

  it('never keeps cluster calls waiting, and other groups for 200 ms once', async () => {
    stuck.add('stuck')
    start()
    const held = commit('stuck')
    await time.pass(20)
    const offset = latest()
    const other = commit('other')
    await time.pass(10)
    expect(offset).to.deep.equal(['success'])
    expect(other, 'one group at a time, as long as they are quick').to.deep.equal([])
    await time.pass(200)
    expect(other).to.deep.equal(['success'])
    for (let round = 0; round < 100; round++) {
      const [wrote, read] = [commit(`other ${round % 7}`), look(`other ${round % 7}`)]
      await time.pass(5)
      expect([wrote, read]).to.deep.equal([['success'], ['success']])
    }
    expect(groupConnections()).to.deep.equal(['1 group', '1 group-2'])
    expect(held).to.deep.equal([])
  })

  it('keeps its connection for itself: its own calls go one at a time, in their order', async () => {
    stuck.add('stuck')
    start()
    commit('stuck')
    await time.pass(300)
    look('stuck')
    await time.pass(300)
    expect(sent).to.deep.equal(['stuck'])
    stuck.clear()
    await time.pass(CALL_TIMEOUT_MS)
    expect(sent.filter(groupId => groupId === 'stuck').length).to.be.greaterThan(1)
  })

  it('is known for it afterwards: nobody waits for it again', async () => {
    stuck.add('stuck')
    start()
    commit('stuck')
    await time.pass(CALL_TIMEOUT_MS + 1_500)
    expect(sent).to.deep.equal(['stuck', 'stuck'])
    const other = commit('other')
    await time.pass(5)
    expect(other).to.deep.equal(['success'])
    expect(groupConnections()).to.deep.equal(['1 group', '1 group-2'])
  })

  it('is one of many: connections are bounded, and the first of them stays for those that are quick', async () => {
    start({ maxGroupConnections: 3 })
    const names = Array.from({ length: 10 }, (_, at) => `stuck ${at}`)
    for (const name of names) {
      stuck.add(name)
      commit(name)
    }
    // Each may hold the first connection once, until its call has timed out.
    await time.pass(60_000, 50)
    expect(mostInFlight).to.equal(3)
    sent.length = 0
    for (let round = 0; round < 200; round++) {
      const other = commit('other', round)
      await time.pass(50)
      expect(other).to.deep.equal(['success'])
    }
    expect(new Set(groupConnections())).to.deep.equal(new Set(['1 group', '1 group-2', '1 group-3']))
  })

  it('is not held against a broker that answers others', async () => {
    stuck.add('stuck')
    start()
    const told = commit('stuck')
    for (let round = 0; round < 40; round++) {
      commit('other', round)
      latest()
      await time.pass(500, 20)
      expect(castle.router.stats().brokersUp).to.equal(1)
    }
    expect(castle.metrics.of('retries')).to.be.greaterThan(2)
    stuck.clear()
    await time.pass(CALL_TIMEOUT_MS + 2_000, 20)
    expect(told).to.deep.equal(['success'])
  })

  it('is held against one that answers nobody', async () => {
    stuck.add('stuck')
    start({ brokerBackoffMs: 400 })
    commit('stuck')
    let wasDown = false
    for (let passed = 0; passed < 12_000; passed += 100) {
      await time.pass(100, 20)
      wasDown ||= castle.router.stats().brokersUp === 0
    }
    expect(wasDown).to.equal(true)
  })

  it('cannot take more than half of the capacity', async () => {
    stuck.add('stuck')
    start({ maxWaitingRequests: 10 })
    commit('stuck')
    await time.pass(300)
    const looks = Array.from({ length: 20 }, () => look('stuck'))
    await time.pass(5)
    expect(looks.filter(told => told[0] === 'failed')).to.have.length(16)
    const other = look('other')
    await time.pass(5)
    expect(other).to.deep.equal(['success'])
  })

  it('becomes quick again with its first quick call', async () => {
    stuck.add('stuck')
    start()
    const told = commit('stuck')
    await time.pass(300)
    stuck.clear()
    await time.pass(CALL_TIMEOUT_MS + 500)
    expect(told).to.deep.equal(['success'])
    const again = commit('stuck', 2)
    await time.pass(5)
    expect(again).to.deep.equal(['success'])
    stuck.add('another')
    commit('another')
    await time.pass(5)
    stuck.add('a third')
    const waiting = commit('stuck', 3)
    await time.pass(100)
    expect(waiting, 'it shares the first connection with everybody').to.deep.equal([])
    await time.pass(150)
    expect(waiting).to.deep.equal(['success'])
  })
})
