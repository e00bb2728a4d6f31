import { expect } from 'chai'
import sinon from 'sinon'
import { UnavailableError } from '../../../src/core/errors.js'
import type { BatchAnswer, ResultOf, RouterMessage } from '../../../src/router/messages/operations.js'
import { CastleRouter, Inbox } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import {
  commitReply,
  coordinatorReply,
  fetchReply,
  listOffsetsReply,
  metadataOf,
  ScriptedCluster,
  type ScriptedTopic
} from '../../support/scripted-client.js'

const LATEST = -1
const NOT_CONTROLLER = 41
const MAX_AGE_MS = 100_000
const at = { topic: 'orders', partition: 0 }

describe('router: where requests go', () => {
  let time: FakeTime
  let cluster: ScriptedCluster
  let castle: CastleRouter
  let topics: Record<string, ScriptedTopic>
  beforeEach(async () => {
    time = new FakeTime()
    cluster = new ScriptedCluster([1, 2])
    topics = { orders: { partitions: { 0: { leaderId: 1 } } } }
    cluster.always(0, 'metadata', call => {
      const named = (call.topics ?? []).map(topic => [topic, topics[topic] ?? { errorCode: 3 }] as const)
      return metadataOf(cluster.nodes, Object.fromEntries(named))
    })
    for (const nodeId of [1, 2]) {
      cluster.always(nodeId, 'listGroups', () => ({ throttleTimeMs: 0, errorCode: 0, groups: [] }))
      cluster.always(nodeId, 'listOffsets', listOffsetsReply(cluster, LATEST, 0, 7))
      cluster.always(nodeId, 'initProducerId', () => ({
        throttleTimeMs: 0,
        errorCode: 0,
        producerId: BigInt(nodeId),
        producerEpoch: 0
      }))
    }
    const settings = { connectAtStart: true, metadataMaxAgeMs: MAX_AGE_MS, brokerBackoffMs: 400, retryBackoffMs: 100 }
    castle = new CastleRouter(cluster, settings, [...cluster.nodes], time.now)
    await time.pass(20)
  })
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })

  /** An operation that only other parts of Castellan ask for. */
  const tell = <Result>(request: object): { readonly results: Result[] } => {
    const results: Result[] = []
    const requester = { reply: (result: Result) => void results.push(result) }
    castle.router.ref.tell({ ...request, timeoutMs: 20_000, requester } as unknown as RouterMessage)
    return { results }
  }
  const listGroups = (nodeId: number) => tell<ResultOf<'listGroups'>>({ type: 'listGroups', nodeId })
  const latest = (timeoutMs = 20_000): Inbox<'fetchOffset'> => {
    const inbox = new Inbox<'fetchOffset'>()
    castle.tell(inbox, { type: 'fetchOffset', topicPartition: at, offsetType: 'latest', timeoutMs })
    return inbox
  }
  const typesOf = ({ results }: { readonly results: readonly { readonly type: string }[] }): string[] =>
    results.map(({ type }) => type)
  /** Nobody can connect to it, and what it was asked fails. */
  const lose = (nodeId: number): void => {
    cluster.refused.add(nodeId)
    cluster.cut(nodeId, new UnavailableError('brokerUnreachable', 'cut'))
  }

  describe('for one broker', () => {
    it('are asked of it, and refused where the cluster has no such broker', async () => {
      const [one, none] = [listGroups(2), listGroups(9)]
      await time.pass(20)
      expect([typesOf(one), cluster.countOf(1, 'listGroups'), cluster.countOf(2, 'listGroups')]).to.deep.equal([
        ['success'],
        0,
        1
      ])
      const failure = { type: 'failed', code: 'brokerUnreachable', retriable: true }
      expect(none.results[0]).to.include({ ...failure, message: 'the cluster has no broker 9 now' })
    })

    it('wait for it while it is away, and go there when its pause is over', async () => {
      lose(2)
      const waits = listGroups(2)
      await time.pass(250)
      expect(typesOf(waits)).to.deep.equal([])
      expect(castle.router.stats()).to.include({ deferred: 1, brokersUp: 1, brokersKnown: 2 })
      cluster.refused.clear()
      await time.pass(40)
      expect(typesOf(waits), 'three quarters of 400 ms').to.deep.equal([])
      await time.pass(50)
      expect(typesOf(waits)).to.deep.equal(['success'])
    })
  })

  describe('of a share session', () => {
    const session = { groupId: 'billing', memberId: 's', acknowledgements: [] }
    const fetch = (nodeId: number, epoch: number) =>
      tell<ResultOf<'shareFetch'>>({ type: 'shareFetch', ...session, nodeId, epoch, maxWaitMs: 250, added: [] })
    const close = (nodeId: number): void => castle.router.ref.tell({ type: 'closeShareConnection', ...session, nodeId })
    const answer = { throttleTimeMs: 0, errorCode: 0, errorMessage: null, acquisitionLockMs: 30_000, partitions: [] }
    beforeEach(() => cluster.always(2, 'shareFetch', () => answer))

    it('are not kept for a broker that is away: they fail at once', async () => {
      lose(2)
      listGroups(2)
      await time.pass(20)
      const fetched = fetch(2, 0)
      await time.pass(20)
      expect(fetched.results).to.have.length(1)
      expect(fetched.results[0]).to.include({ type: 'failed', code: 'brokerUnreachable', errorCode: undefined })
      expect(cluster.countOf(2, 'shareFetch')).to.equal(0)
    })

    it('are not sent again when their connection is lost, and the broker stays up', async () => {
      const held = cluster.hold(2, 'shareFetch', 1)
      const lost = fetch(2, 0)
      await time.pass(20)
      cluster.cut(2, new UnavailableError('brokerUnreachable', 'cut'))
      await time.pass(20)
      expect(typesOf(lost)).to.deep.equal(['timedOut'])
      const later = fetch(2, 1)
      await time.pass(1_000)
      expect(typesOf(later)).to.deep.equal(['failed'])
      expect([cluster.countOf(2, 'shareFetch'), castle.router.stats().brokersUp]).to.deep.equal([1, 2])
      held.release()
    })

    it('go on over their connection while the broker is in a pause because of others', async () => {
      fetch(2, 0)
      await time.pass(20)
      cluster.refused.add(2)
      listGroups(2)
      await time.pass(20)
      expect(castle.router.stats().brokersUp).to.equal(1)
      const next = fetch(2, 1)
      const other = tell<ResultOf<'shareFetch'>>({ type: 'shareFetch', ...session, memberId: 't', nodeId: 2, epoch: 0 })
      await time.pass(20)
      expect([typesOf(next), typesOf(other)]).to.deep.equal([['success'], ['failed']])
      expect(cluster.countOf(2, 'shareFetch')).to.equal(2)
    })

    it('end with their connection when it is closed, also while the broker is in a pause', async () => {
      await fetch(2, 0)
      await time.pass(20)
      expect(cluster.connections.filter(name => name === '2 session')).to.have.length(1)
      cluster.refused.add(2)
      listGroups(2)
      await time.pass(20)
      const open = cluster.openConnections
      close(2)
      close(2)
      close(9)
      await time.pass(20)
      expect(cluster.openConnections).to.equal(open - 1)
    })
  })

  describe('for the controller', () => {
    const deletion = { type: 'deleteTopic', topic: 'orders' }
    const answers = (nodeId: number, errorCode: number) =>
      cluster.always(nodeId, 'deleteTopics', () => ({
        throttleTimeMs: 0,
        topics: [{ topic: 'orders', errorCode, errorMessage: null }]
      }))
    const controllerIs = (controllerId: number): void => {
      cluster.always(0, 'metadata', () => ({ ...metadataOf(cluster.nodes, {}), controllerId }))
    }
    const asked = (): number[] => [1, 2].map(nodeId => cluster.countOf(nodeId, 'deleteTopics'))

    it('are asked of the broker that metadata names', async () => {
      for (const nodeId of [1, 2]) answers(nodeId, 0)
      const deleted = tell<ResultOf<'deleteTopic'>>(deletion)
      await time.pass(20)
      expect([typesOf(deleted), asked()]).to.deep.equal([['success'], [1, 0]])
    })

    it('are asked of another broker when that is the controller now', async () => {
      answers(1, NOT_CONTROLLER)
      answers(2, 0)
      controllerIs(2)
      const deleted = tell<ResultOf<'deleteTopic'>>(deletion)
      await time.pass(20)
      expect([typesOf(deleted), asked()]).to.deep.equal([[], [1, 0]])
      await time.pass(200)
      expect([typesOf(deleted), asked()]).to.deep.equal([['success'], [1, 1]])
    })

    it('wait while there is none, and are answered once, in time', async () => {
      answers(1, NOT_CONTROLLER)
      controllerIs(-1)
      const deleted = tell<ResultOf<'deleteTopic'>>(deletion)
      await time.pass(19_900)
      expect([typesOf(deleted), asked()]).to.deep.equal([[], [1, 0]])
      await time.pass(1_000)
      expect(typesOf(deleted)).to.deep.equal(['timedOut'])
    })

    it('wait for it while it is away', async () => {
      answers(1, 0)
      lose(1)
      const deleted = tell<ResultOf<'deleteTopic'>>(deletion)
      await time.pass(250)
      expect([typesOf(deleted), asked()]).to.deep.equal([[], [0, 0]])
      cluster.refused.clear()
      await time.pass(2_000)
      expect([typesOf(deleted), asked()]).to.deep.equal([['success'], [1, 0]])
    })
  })

  it('for any broker go to one that is up, or wait until one is', async () => {
    const idOf = async (passMs: number): Promise<bigint | undefined> => {
      const { results } = tell<ResultOf<'initProducerId'>>({ type: 'initProducerId' })
      await time.pass(passMs)
      const [result] = results
      return result?.type === 'success' ? result.producerId : undefined
    }
    lose(1)
    const ids = [await idOf(200), await idOf(20), await idOf(20)]
    expect(new Set(ids)).to.deep.equal(new Set([2n]))
    lose(2)
    expect(await idOf(200)).to.equal(undefined)
    expect(castle.router.stats()).to.include({ brokersUp: 0, deferred: 1, open: 1 })
    cluster.refused.clear()
    await time.pass(3_000, 50)
    expect(castle.router.stats()).to.include({ deferred: 0, open: 0 })
  })

  it('for names that are known to be missing are answered at once, unless they may be created', async () => {
    const askFor = async (names: readonly string[], allowAutoTopicCreation = false): Promise<number> => {
      const before = cluster.countOf(0, 'metadata')
      const inbox = new Inbox<'fetchTopicMetadata'>()
      castle.tell(inbox, { type: 'fetchTopicMetadata', requestId: 1, topics: names, allowAutoTopicCreation })
      await time.pass(20)
      const [result] = inbox.results
      expect(result?.type === 'success' && [...result.topics.values()].map(({ errorCode }) => errorCode)).to.deep.equal(
        names.map(name => (topics[name] ? 0 : 3))
      )
      expect(result?.type === 'success' && result.brokers.map(({ nodeId }) => nodeId)).to.deep.equal([1, 2])
      return cluster.countOf(0, 'metadata') - before
    }
    const inbox = new Inbox<'fetchOffset'>()
    const nowhere = { topic: 'invented', partition: 0 }
    castle.tell(inbox, { type: 'fetchOffset', topicPartition: nowhere, offsetType: 'latest', timeoutMs: 20_000 })
    await time.pass(1_000)
    expect(typesOf(inbox)).to.deep.equal(['unknownTopicOrPartition'])
    expect(await askFor(['invented'])).to.equal(0)
    expect(await askFor(['invented', 'orders'])).to.equal(1)
    expect(await askFor(['invented'], true)).to.be.at.least(1)
  })

  it('that a broker was lost with tell why when their time is up, and batches tell it as it happens', async () => {
    await latest().take(1)
    lose(1)
    const count = sinon.spy(castle.metrics, 'count')
    const reasons: string[] = []
    const answers: BatchAnswer[] = []
    const batch = {
      ...at,
      bytes: Buffer.alloc(70),
      delayed: (reason: string) => void reasons.push(reason),
      answer: (answer: BatchAnswer) => void answers.push(answer)
    }
    castle.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    const late = latest(1_000)
    await time.pass(1_100)
    expect(late.results[0]).to.include({ type: 'timedOut', reason: 'mock-1 refuses' })
    expect(reasons[0]).to.equal('mock-1 refuses')
    await time.pass(5_000, 50)
    expect(answers[0]).to.include({ type: 'notSent', reason: 'brokerUnreachable' })
    const retries = count.getCalls().filter(({ args }) => args[1] === 'retries')
    expect(retries.length).to.be.at.least(2)
    for (const { args } of retries)
      expect(args.slice(0, 3)).to.deep.equal(['router', 'retries', { reason: 'unreachable' }])
  })

  it('wait for a second at least where a broker refuses the credentials: that could lock the account', async () => {
    await latest().take(1)
    cluster.on(1, 'listOffsets', 2, () => {
      throw new UnavailableError('authenticationFailed', 'wrong password')
    })
    const waits = latest()
    await time.pass(740)
    expect(typesOf(waits)).to.deep.equal([])
    await time.pass(100)
    expect(typesOf(waits)).to.deep.equal(['success'])
  })

  it('that may succeed at the same broker soon rest for a pause that doubles, and the topic is looked up if in doubt', async () => {
    await latest().take(1)
    const lookUps = (): number => cluster.countOf(0, 'metadata')
    const before = lookUps()
    for (const number of [2, 3]) cluster.on(1, 'listOffsets', number, listOffsetsReply(cluster, LATEST, 7))
    const first = latest()
    await time.pass(70)
    expect(cluster.countOf(1, 'listOffsets')).to.equal(2)
    await time.pass(20)
    expect(cluster.countOf(1, 'listOffsets')).to.equal(3)
    await time.pass(130)
    expect(cluster.countOf(1, 'listOffsets')).to.equal(3)
    await time.pass(30)
    expect([typesOf(first), lookUps() - before]).to.deep.equal([['success'], 0])
    cluster.on(1, 'listOffsets', 5, listOffsetsReply(cluster, LATEST, 56))
    const doubtful = latest()
    await time.pass(100)
    expect([typesOf(doubtful), lookUps() - before]).to.deep.equal([['success'], 1])
  })

  it('that go to a broker in any case go by metadata of any age, without waiting for newer', async () => {
    await latest().take(1)
    await time.pass(250_000, 5_000)
    cluster.calls.length = 0
    const answer = latest()
    await time.pass(20)
    expect(typesOf(answer)).to.deep.equal(['success'])
    expect(cluster.calls.map(({ api }) => api)).to.deep.equal(['listOffsets'])
  })

  for (const [olderMs, lookUps] of [
    [0, 0],
    [5, 1]
  ] as const) {
    it(`that read make ${lookUps} look-ups where the metadata is ${olderMs} ms older than allowed`, async () => {
      const lookedUpAt: number[] = []
      cluster.always(1, 'fetch', fetchReply(cluster, { 'orders/0@0': { batches: [fakeBatch(0, [1])] } }))
      cluster.always(0, 'metadata', call => {
        const isLookedUp = call.topics?.includes('orders') === true
        if (isLookedUp) lookedUpAt.push(time.now())
        return metadataOf(cluster.nodes, isLookedUp ? topics : {})
      })
      const read = async (): Promise<void> => {
        const inbox = new Inbox<'fetchData'>()
        castle.tell(inbox, { type: 'fetchData', topicPartition: at, offset: 0, timeoutMs: 20_000 })
        await time.pass(20)
        expect(typesOf(inbox)).to.deep.equal(['success'])
      }
      await read()
      // The topic is in use until then, so it is looked up once more, and then not again.
      await time.pass(170_000, 5_000)
      const leftMs = lookedUpAt.at(-1)! + MAX_AGE_MS + olderMs - time.now()
      await time.pass(leftMs, leftMs)
      expect(time.now() - lookedUpAt.at(-1)!).to.equal(MAX_AGE_MS + olderMs)
      const before = lookedUpAt.length
      await read()
      expect(lookedUpAt.length - before).to.equal(lookUps)
    })
  }

  describe('to a topic that is known, while look-ups miss it,', () => {
    let created: boolean[]
    beforeEach(async () => {
      await latest().take(1)
      created = []
      cluster.always(0, 'metadata', call => {
        created.push(call.allowAutoTopicCreation)
        return metadataOf(cluster.nodes, { orders: { errorCode: 3 } })
      })
    })
    const expectNoneCreated = (): void => {
      expect(created.length).to.be.at.least(3)
      expect(created).not.to.include(true)
    }

    for (const errorCode of [56, 6]) {
      it(`are asked again after ${errorCode} until their time is up, and nobody creates it`, async () => {
        cluster.always(1, 'listOffsets', listOffsetsReply(cluster, LATEST, errorCode))
        const doubtful = latest(3_000)
        await time.pass(3_100, 20)
        expect(typesOf(doubtful)).to.deep.equal(['timedOut'])
        expectNoneCreated()
      })
    }

    it('are answered where their coordinator does not know it, and nobody creates it', async () => {
      cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1))
      cluster.always(2, 'findCoordinator', coordinatorReply(cluster, 1))
      cluster.always(1, 'offsetCommit', commitReply(cluster, 'billing', { 'orders/0=7': 3 }))
      for (let commits = 0; commits < 3; commits++) {
        const inbox = new Inbox<'commitConsumerOffset'>()
        const commit = { groupId: 'billing', topicPartition: at, offsetAndMetadata: { offset: 7 } }
        castle.tell(inbox, { type: 'commitConsumerOffset', ...commit })
        await time.pass(1_000, 20)
        expect(typesOf(inbox)).to.deep.equal(['unknownTopicOrPartition'])
      }
      expectNoneCreated()
    })
  })

  it('follow the metadata however often a broker says that it does not lead', async () => {
    await latest().take(1)
    for (let number = 2; number <= 6; number++)
      cluster.on(1, 'listOffsets', number, listOffsetsReply(cluster, LATEST, 6))
    const waits = latest()
    await time.pass(5_000, 20)
    expect(typesOf(waits)).to.deep.equal(['success'])
  })

  it('for a partition that there is not are told so at once, also while a broker contradicts the number of partitions', async () => {
    topics.orders = { partitions: { 0: { leaderId: 1 }, 1: { leaderId: 1 } } }
    await latest().take(1)
    topics.orders = { partitions: { 0: { leaderId: 1 } } }
    const lookUp = castle.ask({ type: 'fetchTopicMetadata', requestId: 1, topics: ['orders'] })
    await time.pass(20)
    expect((await lookUp).type).to.equal('success')
    const before = cluster.countOf(0, 'metadata')
    const nowhere = new Inbox<'fetchOffset'>()
    const topicPartition = { topic: 'orders', partition: 9 }
    castle.tell(nowhere, { type: 'fetchOffset', topicPartition, offsetType: 'latest', timeoutMs: 20_000 })
    await time.pass(20)
    expect(typesOf(nowhere)).to.deep.equal(['unknownTopicOrPartition'])
    expect(cluster.countOf(0, 'metadata') - before, 'look-ups').to.equal(0)
  })
})
