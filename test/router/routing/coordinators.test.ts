import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { FetchConsumerOffsetResult } from '../../../src/router/messages/operations.js'
import { CastleRouter, Inbox } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import {
  coordinatorReply,
  listOffsetsReply,
  metadataOf,
  offsetFetchReply,
  ScriptedCluster,
  type ScriptedTopic
} from '../../support/scripted-client.js'

const at = { topic: 'orders', partition: 0 }

describe('router: coordinators of groups', () => {
  let time: FakeTime
  let cluster: ScriptedCluster
  let castle: CastleRouter
  let searches: number[]
  /** What a broker answers to the look for a coordinator: a node, or an error. */
  let answer: { readonly nodeId: number; readonly errorCode?: number }
  beforeEach(() => {
    time = new FakeTime()
    cluster = new ScriptedCluster([1, 2])
    searches = []
    answer = { nodeId: 2 }
    cluster.always(0, 'metadata', () => metadataOf([cluster.nodes[0]!], {}))
    for (const nodeId of [1, 2]) {
      cluster.always(nodeId, 'offsetFetch', offsetFetchReply(0, 7))
      cluster.always(nodeId, 'findCoordinator', call => {
        searches.push(time.now())
        return coordinatorReply(cluster, answer.nodeId, answer.errorCode)(call)
      })
    }
    const settings = { retryBackoffMs: 100, retryBackoffMaxMs: 400, callTimeoutMs: 500, brokerBackoffMs: 10_000 }
    castle = new CastleRouter(cluster, settings, undefined, time.now)
  })
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })
  const ask = (groupId = 'billing', timeoutMs = 20_000): Inbox<'fetchConsumerOffset'> => {
    const inbox = new Inbox<'fetchConsumerOffset'>()
    castle.tell(inbox, { type: 'fetchConsumerOffset', groupId, topicPartition: at, timeoutMs })
    return inbox
  }
  const typesOf = ({ results }: { results: FetchConsumerOffsetResult[] }): string[] => results.map(({ type }) => type)
  const refuse = (nodeId: number, number: number): void =>
    void cluster.on(nodeId, 'offsetFetch', number, offsetFetchReply(errorCodes.NOT_COORDINATOR))

  it('are found by one search for all who ask for the same group, and remembered', async () => {
    const both = [ask(), ask(), ask('audit')]
    await time.pass(100)
    expect(both.map(typesOf)).to.deep.equal([['success'], ['success'], ['success']])
    expect(searches).to.have.length(2)
    ask()
    await time.pass(100)
    expect(searches).to.have.length(2)
  })

  it('may be brokers that no metadata has named', async () => {
    ask()
    await time.pass(100)
    expect(cluster.countOf(2, 'offsetFetch')).to.equal(1)
    expect(castle.router.stats().brokersKnown).to.equal(2)
  })

  it('are searched for again when they moved, at once the first time and then after a growing pause', async () => {
    for (const number of [1, 2, 3, 4, 5]) refuse(2, number)
    const moved = ask()
    await time.pass(2_000, 5)
    expect(typesOf(moved)).to.deep.equal(['success'])
    const pauses = searches.slice(1).map((when, before) => when - searches[before]!)
    expect(pauses).to.have.length(5)
    const expected = [75, 150, 300, 300, 300]
    pauses.forEach((pause, one) => expect(pause, String(pauses)).to.be.within(expected[one]!, expected[one]! + 10))
  })

  it('that cannot be told are told to all who wait for them, and searched for with the next request', async () => {
    answer = { nodeId: 2, errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED }
    const refused = [ask(), ask()]
    await time.pass(50)
    for (const inbox of refused) expect(inbox.results[0]).to.include({ type: 'failed', errorCode: 30 })
    answer = { nodeId: 2 }
    const later = ask()
    await time.pass(500)
    expect(typesOf(later)).to.deep.equal(['success'])
  })

  it('are searched for again when no broker says who it is within twice the time of a call', async () => {
    answer = { nodeId: -1, errorCode: errorCodes.COORDINATOR_NOT_AVAILABLE }
    const waits = ask()
    await time.pass(950)
    answer = { nodeId: 2 }
    expect(typesOf(waits)).to.deep.equal([])
    await time.pass(1_000)
    expect(typesOf(waits)).to.deep.equal(['success'])
  })

  it('that cannot be reached are searched for again: another broker takes over', async () => {
    ask()
    await time.pass(100)
    expect(searches).to.have.length(1)
    cluster.refused.add(2)
    cluster.cut(2, new Error('cut'))
    answer = { nodeId: 1 }
    const moved = ask()
    await time.pass(1_000)
    expect(typesOf(moved)).to.deep.equal(['success'])
    expect(cluster.countOf(1, 'offsetFetch')).to.equal(1)
  })

  it('that cannot be told are none of the business of a topic that is called like the group', async () => {
    answer = { nodeId: 2, errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED }
    const waits = new Inbox<'fetchOffset'>()
    const topicPartition = { topic: 'group:billing', partition: 0 }
    cluster.always(0, 'metadata', () => metadataOf(cluster.nodes, { 'group:billing': { partitions: { 0: {} } } }))
    castle.tell(waits, { type: 'fetchOffset', topicPartition, offsetType: 'latest', timeoutMs: 5_000 })
    await time.pass(20)
    const refused = ask('billing')
    await time.pass(100)
    expect([typesOf(refused), waits.results]).to.deep.equal([['failed'], []])
    expect(castle.router.stats().deferred).to.equal(1)
  })

  it('that nobody waits for any more are no reason to give up a topic that is called like the group', async () => {
    answer = { nodeId: -1, errorCode: errorCodes.COORDINATOR_NOT_AVAILABLE }
    let told: ScriptedTopic = { errorCode: errorCodes.LEADER_NOT_AVAILABLE }
    cluster.always(0, 'metadata', () => metadataOf(cluster.nodes, { billing: told }))
    cluster.always(1, 'listOffsets', listOffsetsReply(cluster, -1, 0, 7))
    const waits = new Inbox<'fetchOffset'>()
    const topicPartition = { topic: 'billing', partition: 0 }
    castle.tell(waits, { type: 'fetchOffset', topicPartition, offsetType: 'latest', timeoutMs: 5_000 })
    const late = ask('billing', 300)
    await time.pass(400)
    expect([typesOf(late), waits.results]).to.deep.equal([['timedOut'], []])
    told = { partitions: { 0: { leaderId: 1 } } }
    await time.pass(2_000, 20)
    expect(waits.results.map(({ type }) => type)).to.deep.equal(['success'])
  })
})
