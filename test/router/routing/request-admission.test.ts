import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import type {
  BatchAnswer,
  FollowTopics,
  Produce,
  RouterMessage,
  TopicChanged,
  UnfollowTopics
} from '../../../src/router/messages/operations.js'
import { ownFailure } from '../../../src/router/requests/failures.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { ClusterIdentity } from '../../../src/router/routing/broker-pool.js'
import type { RouterMailbox } from '../../../src/router/routing/messages.js'
import {
  isRouterMessage,
  RequestAdmission,
  type RequestAdmissionOptions
} from '../../../src/router/routing/request-admission.js'
import { toRouterSettings } from '../../../src/router/routing/settings.js'
import { ProcessorStage } from '../processors/stage.js'

interface Told {
  readonly type: string
  readonly code?: string
  readonly message?: string
}

const BUG = ownFailure('shuttingDown', 'a bug', true)

describe('router: messages from outside', () => {
  let stage: ProcessorStage
  let cluster: ClusterIdentity
  let routed: OpenRequest[]
  let followed: string[]
  let produced: Produce[]
  let told: [name: string, answer: Told][]
  /** Routing the request that names it throws. */
  let poison: string | undefined
  beforeEach(() => {
    stage = new ProcessorStage()
    cluster = new ClusterIdentity()
    routed = []
    followed = []
    produced = []
    told = []
    poison = undefined
  })
  const nameOf = ({ request }: OpenRequest): string => (request as unknown as { topic: string }).topic
  const admissionOf = (options: Partial<RequestAdmissionOptions> = {}): RequestAdmission =>
    new RequestAdmission({
      openRequests: stage.openRequests,
      cluster,
      settings: toRouterSettings({ requestTimeoutMs: 7_000, produceWaitMs: 500 }),
      clock: () => stage.now,
      log: silentLogger,
      delivery: { produce: request => void produced.push(request) },
      routing: {
        route: request => {
          if (poison !== undefined && nameOf(request) === poison) throw new Error('a bug')
          routed.push(request)
        },
        notice: ({ type }: FollowTopics | UnfollowTopics | TopicChanged) => void followed.push(type)
      },
      ...options
    })

  const requesterOf = (name: string) => ({ reply: (answer: Told) => void told.push([name, answer]) })
  const message = (fields: object): RouterMessage => fields as RouterMessage
  const fetchOffset = (name: string, more: object = {}) => ({
    type: 'fetchOffset',
    topic: name,
    topicPartition: { topic: 'orders', partition: 0 },
    offsetType: 'latest',
    requester: requesterOf(name),
    ...more
  })
  const commit = (name: string) => ({
    type: 'commitConsumerOffset',
    groupId: 'billing',
    topicPartition: { topic: 'orders', partition: 0 },
    offsetAndMetadata: { offset: 1 },
    requester: requesterOf(name)
  })
  const batch = (name: string, more: object = {}) => ({
    topic: name,
    partition: 0,
    bytes: Buffer.alloc(1),
    answer: (answer: BatchAnswer) => void told.push([name, answer]),
    ...more
  })
  const produce = (name: string, records: unknown = []) => ({
    type: 'produce',
    records,
    topic: name,
    requester: requesterOf(name)
  })
  const answers = () => told.map(([name, { type, code }]) => [name, type, code])

  it('are sent on their way, with the time that the request or the setting gives them', () => {
    const admission = admissionOf()
    admission.take(message(fetchOffset('own', { timeoutMs: 0 })), 10)
    admission.take(message(fetchOffset('default')), 10)
    const group = { type: 'heartbeat', groupId: 'billing', topic: 'setting', requester: requesterOf('setting') }
    admission.take(message({ type: 'requests', requests: [group] }), 10)
    admission.take(message({ type: 'produceBatches', batches: [batch('batch')] }), 10)
    expect(routed.map(request => [nameOf(request), request.deadlineAt])).to.deep.equal([
      ['own', 10],
      ['default', 7_010],
      ['setting', 7_010],
      ['batch', 510]
    ])
  })

  it('carry the cluster that is connected when they are commits, if that is known', () => {
    const admission = admissionOf()
    admission.take(message(commit('before')), 0)
    cluster.see('one')
    admission.take(message(commit('after')), 0)
    const commits = routed as OpenRequest<'commitConsumerOffset'>[]
    expect(commits.map(({ state }) => state.clusterId)).to.deep.equal([undefined, 'one'])
  })

  it('that follow topics are passed on, and produce requests to delivery', () => {
    const admission = admissionOf()
    for (const type of ['followTopics', 'unfollowTopics'] as const) admission.take(message({ type, topics: [] }), 0)
    admission.take(message({ type: 'requests', requests: [produce('a'), fetchOffset('b')] }), 0)
    expect([followed, produced.length, routed.length]).to.deep.equal([['followTopics', 'unfollowTopics'], 1, 1])
    expect(stage.openRequests.accepted, 'delivery has its own book').to.equal(1)
  })

  it('that produce are refused where there is no delivery', () => {
    const admission = admissionOf({ delivery: undefined })
    for (const records of [[{}, {}], 'no list']) admission.take(message(produce('a', records)), 0)
    const outcome = {
      type: 'failed',
      code: 'invalidRequest',
      errorCode: undefined,
      message: 'this router was started without delivery',
      retriable: false,
      persisted: 'no'
    }
    expect(told.map(([, answer]) => answer)).to.deep.equal([
      { operation: 'produce', type: 'completed', outcomes: [outcome, outcome] },
      { operation: 'produce', type: 'completed', outcomes: [outcome] }
    ])
  })

  it('that no broker can be asked are answered, and not routed', () => {
    const admission = admissionOf()
    admission.take(message(fetchOffset('odd', { offsetType: 'last' })), 0)
    admission.failInHand(BUG)
    expect([answers(), routed]).to.deep.equal([[['odd', 'failed', 'invalidRequest']], []])
  })

  describe('with sealed batches', () => {
    const take = (admission: RequestAdmission, sealed: object): void =>
      admission.take(message({ type: 'produceBatches', batches: [sealed] }), 0)
    const recall = (sealed: object): unknown => (sealed as { recall(): unknown }).recall()

    it('are refused when they were sealed for another cluster', () => {
      const admission = admissionOf()
      take(admission, batch('unknown yet', { clusterId: 'two' }))
      cluster.see('one')
      for (const [name, clusterId] of [
        ['same', 'one'],
        ['another', 'two'],
        ['any', undefined]
      ]) {
        take(admission, batch(name!, { clusterId }))
      }
      expect(routed.map(nameOf)).to.deep.equal(['unknown yet', 'same', 'any'])
      expect(told.map(([name, answer]) => [name, answer.type, (answer as { reason?: string }).reason])).to.deep.equal([
        ['another', 'notSent', 'clusterChanged']
      ])
    })

    it('can be called back as long as they have not been sent', () => {
      const [waits, sent] = [batch('waits'), batch('sent')]
      for (const sealed of [waits, sent]) take(admissionOf(), sealed)
      const second = routed[1] as OpenRequest<'produceBatch'>
      second.state.inFlight = true
      expect([recall(waits), recall(sent), recall(waits)]).to.deep.equal([true, false, false])
      expect(answers()).to.deep.equal([['waits', 'notSent', undefined]])
    })

    it('keep their request when they come again after they were appended, as if it were new', () => {
      const admission = admissionOf()
      const sealed = batch('again')
      take(admission, sealed)
      const request = routed[0] as OpenRequest<'produceBatch'>
      request.state.inFlight = true
      request.state.obstacle = 'brokerUnreachable'
      request.attempts = { returns: 1, crashes: 1, unknownAt: 1, unknownTimes: 1, lastError: 'lost' }
      request.answer({ type: 'appended', baseOffset: 0, logAppendTimeMs: -1 })
      request.isOver = true
      expect(stage.openRequests.open).to.equal(0)
      admission.take(message({ type: 'produceBatches', batches: [sealed] }), 9_000)
      expect(routed[1]).to.equal(request)
      expect(request).to.include({ settled: false, isOver: false, acceptedAt: 9_000, deadlineAt: 9_500 })
      expect(request.state).to.deep.equal({ inFlight: false, obstacle: 'noLeader' })
      expect([request.attempts, stage.openRequests.open]).to.deep.equal([undefined, 1])
      expect(recall(sealed)).to.equal(true)
      expect([request.settled, stage.openRequests.open]).to.deep.equal([true, 0])
    })

    it('get another request when the Router may still hold the last one', () => {
      const admission = admissionOf()
      const sealed = batch('again')
      take(admission, sealed)
      expect(recall(sealed)).to.equal(true)
      take(admission, sealed)
      expect(routed[1]).not.to.equal(routed[0])
      expect(routed.map(({ settled }) => settled)).to.deep.equal([true, false])
    })
  })

  describe('that make the Router throw', () => {
    /** As the actor does after a bug. */
    const crash = (admission: RequestAdmission, poisoned: RouterMessage): void => {
      poison = 'b'
      admission.nextMessage()
      expect(() => admission.take(poisoned, 0)).to.throw('a bug')
      admission.failInHand(BUG)
      admission.refuseRest(poisoned, BUG)
    }
    const names = ['a', 'b', 'c', 'd']

    it('have the request in hand and those behind it answered, and none that went on its way', () => {
      crash(admissionOf(), message({ type: 'requests', requests: names.map(name => fetchOffset(name)) }))
      expect(answers()).to.deep.equal(['b', 'c', 'd'].map(name => [name, 'failed', 'shuttingDown']))
      expect(stage.openRequests.open).to.equal(1)
    })

    it('have odd requests, those of delivery and batches before the one in hand answered once', () => {
      const odd = fetchOffset('odd', { offsetType: 'last' })
      const requests = [odd, produce('produce'), fetchOffset('a'), fetchOffset('b'), fetchOffset('c')]
      crash(admissionOf(), message({ type: 'requests', requests }))
      expect(told.map(([name]) => name)).to.deep.equal(['odd', 'b', 'c'])
    })

    it('have batches answered in the same way', () => {
      cluster.see('one')
      const former = batch('former', { clusterId: 'two' })
      crash(admissionOf(), message({ type: 'produceBatches', batches: [former, ...names.map(name => batch(name))] }))
      expect(answers()).to.deep.equal(['former', 'b', 'c', 'd'].map(name => [name, 'notSent', undefined]))
    })

    it('have a single request answered once', () => {
      crash(admissionOf(), message(fetchOffset('b')))
      expect(answers()).to.deep.equal([['b', 'failed', 'shuttingDown']])
    })

    it('begin anew with the next message', () => {
      const admission = admissionOf()
      admission.take(message({ type: 'requests', requests: [fetchOffset('before'), fetchOffset('too')] }), 0)
      crash(admission, message({ type: 'requests', requests: [fetchOffset('b'), fetchOffset('c')] }))
      expect(answers().map(([name]) => name)).to.deep.equal(['b', 'c'])
    })

    it('have those of messages that were not taken yet answered, whatever they carry', () => {
      const admission = admissionOf()
      const accepted = (name: string): OpenRequest =>
        stage.accept(
          'fetchOffset',
          fetchOffset(name) as never,
          { push: () => told.push([name, { type: 'failed' }]) } as never
        ) as OpenRequest
      const open = names.map(accepted)
      const error = new Error('cut')
      const unhandled = [
        { type: 'returned', proxy: undefined, groups: [{ reason: 'notLeader', requests: [open[0]] }] },
        { type: 'unreachable', proxy: undefined, error, requests: [open[1]] },
        { type: 'crashed', proxy: undefined, error, requests: [open[2], open[3]] },
        { type: 'refreshDue' },
        { type: 'followTopics', topics: [], follower: {} },
        message(fetchOffset('e'))
      ]
      for (const one of unhandled) admission.refuseRest(one as unknown as RouterMailbox, BUG)
      expect(told.map(([name]) => name)).to.deep.equal([...names, 'e'])
    })
  })

  it('that come too late are all refused, and one that cannot be understood harms no other', () => {
    const admission = admissionOf()
    const errors: unknown[] = []
    const log = { ...silentLogger, error: (fields: unknown) => void errors.push(fields) }
    admissionOf({ log }).refuse(message({ type: 'requests', requests: [{ type: 'nonsense' }, fetchOffset('a')] }))
    expect(errors).to.have.length(1)
    admission.refuse(message({ type: 'produceBatches', batches: [batch('b')] }))
    admission.refuse(message(produce('c')))
    admission.refuse(message({ type: 'unfollowTopics', topics: [], follower: {} }))
    expect(told.map(([name]) => name)).to.deep.equal(['a', 'b', 'c'])
    expect(told[0]![1]).to.include({ type: 'failed', code: 'shuttingDown', message: 'the router is shutting down' })
  })
})

describe('messages for the Router', () => {
  it('are requests, several of them, and those of followers', () => {
    for (const message of [
      { type: 'fetchData' },
      { type: 'heartbeat' },
      { type: 'produce' },
      { type: 'produceBatches' },
      { type: 'requests', requests: [] },
      { type: 'requests', requests: [{ type: 'fetchData' }, { type: 'produce' }] },
      { type: 'followTopics', topics: [], follower: {} },
      { type: 'unfollowTopics', topics: ['orders'], follower: {} },
      { type: 'closeShareConnection', nodeId: 1, groupId: 'billing', memberId: 's' }
    ]) {
      expect(isRouterMessage(message), JSON.stringify(message)).to.equal(true)
    }
  })

  it('are nothing else, whatever a caller without types sends', () => {
    for (const message of [
      undefined,
      null,
      'fetchData',
      7,
      {},
      { type: 'somethingElse' },
      { type: 'toString' },
      { type: ['fetchData'] },
      { type: 'produceBatch' },
      { type: 'requests' },
      { type: 'requests', requests: [{ type: 'fetchData' }, null] },
      { type: 'requests', requests: { length: 0 } },
      { type: 'followTopics', topics: 'orders', follower: {} },
      { type: 'followTopics', topics: [] },
      { type: 'unfollowTopics', follower: {} },
      { type: 'closeShareConnection', nodeId: 1 }
    ]) {
      expect(isRouterMessage(message), JSON.stringify(message)).to.equal(false)
    }
  })
})
