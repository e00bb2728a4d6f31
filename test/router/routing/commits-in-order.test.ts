import { expect } from 'chai'
import fc from 'fast-check'
import { TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import type { CommitConsumerOffsetResult } from '../../../src/router/messages/operations.js'
import { A, CastleRouter, Inbox, metaGood } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import { checkRows } from '../../support/rows.js'
import { coordinatorReply, type Reply, ScriptedCluster } from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

type OffsetCommitCall = Parameters<BrokerClient['offsetCommit']>[0]

/** What becomes of one call; time-outs and cuts either after the broker has stored everything, or before. */
type Outcome =
  | { readonly type: 'code'; readonly errorCode: number }
  | { readonly type: 'timeOut' | 'cut'; readonly isStored: boolean }

const failureOf = (type: 'timeOut' | 'cut'): Error =>
  type === 'timeOut' ? new TimedOutError('OffsetCommit', 5_000) : new UnavailableError('brokerUnreachable', 'cut')

/** Coordinators that store the metadata of the last commit of each group and partition. */
class Coordinators {
  readonly stored = new Map<string, string>()
  nodeId = 1

  /** Does what the outcome says with a call to a node. */
  serve(call: OffsetCommitCall, nodeId: number, outcome: Outcome) {
    const answer = (errorCode: number) => ({
      throttleTimeMs: 0,
      partitions: call.partitions.map(({ topic, partition }) => ({ topic, partition, errorCode }))
    })
    if (nodeId !== this.nodeId) return answer(16)
    if (outcome.type === 'code' ? outcome.errorCode === 0 : outcome.isStored) this.#store(call)
    if (outcome.type !== 'code') throw failureOf(outcome.type)
    return answer(outcome.errorCode)
  }

  #store({ groupId, partitions }: OffsetCommitCall): void {
    for (const { topic, partition, metadata } of partitions) {
      this.stored.set(`${groupId} ${topic}/${partition}`, metadata ?? '')
    }
  }
}

const commit = (offset: number) =>
  ({
    type: 'commitConsumerOffset',
    groupId: 'g',
    topicPartition: A,
    offsetAndMetadata: { offset, metadata: String(offset) },
    rawMetadata: true
  }) as const

const summaryOf = (result: CommitConsumerOffsetResult): string =>
  `${result.offsetAndMetadata.offset} ${result.type}${result.type === 'superseded' ? ` by ${result.supersededBy.offset}` : ''}`

describe('commits never go backwards', () => {
  const outcomes: readonly (readonly [string, Outcome])[] = [
    ...[-1, 2, 7, 9, 14].map(errorCode => [`code ${errorCode}`, { type: 'code', errorCode }] as const),
    ['a time-out after it was stored', { type: 'timeOut', isStored: true }],
    ['a time-out before it was stored', { type: 'timeOut', isStored: false }],
    ['a cut connection', { type: 'cut', isStored: true }]
  ]
  const meetings = outcomes.flatMap(([name, outcome]) => [200, 50].map(later => ({ name, later, outcome })))

  it('a commit that waits behind one on its way is what stays, whatever that one meets', () =>
    checkRows(meetings, async ({ outcome, later }) => {
      const coordinators = new Coordinators()
      const cluster = metaGood(new ScriptedCluster([1])).always(1, 'findCoordinator', findNode1)
      const ok: Outcome = { type: 'code', errorCode: 0 }
      cluster.always(1, 'offsetCommit', call => coordinators.serve(call, 1, ok))
      cluster.on(1, 'offsetCommit', 1, call => coordinators.serve(call, 1, outcome))
      const held = cluster.hold(1, 'offsetCommit', 1)
      const castle = new CastleRouter(cluster)
      const inbox = new Inbox<'commitConsumerOffset'>()
      castle.tell(inbox, commit(100))
      await held.arrived
      castle.tell(inbox, commit(later))
      await turns(5)
      held.release()
      const told = (await inbox.take(2)).map(summaryOf)
      await castle.stop()
      expect(told).to.have.members([`100 superseded by ${later}`, `${later} success`])
      expect(coordinators.stored.get('g perf/1')).to.equal(String(later))
    }))

  it('a commit that failed is not sent again after a later one, which came while it rested', () =>
    checkRows(meetings, async ({ outcome, later }) => {
      const coordinators = new Coordinators()
      const cluster = metaGood(new ScriptedCluster([1])).always(1, 'findCoordinator', findNode1)
      cluster.always(1, 'offsetCommit', call => coordinators.serve(call, 1, { type: 'code', errorCode: 0 }))
      cluster.on(1, 'offsetCommit', 1, call => coordinators.serve(call, 1, outcome))
      const time = new FakeTime()
      try {
        const castle = new CastleRouter(cluster, { retryBackoffMs: 100, brokerBackoffMs: 100 }, undefined, time.now)
        const inbox = new Inbox<'commitConsumerOffset'>()
        castle.tell(inbox, commit(100))
        await time.pass(50)
        castle.tell(inbox, commit(later))
        await time.pass(1_000)
        expect(inbox.results.map(summaryOf)).to.have.members([`100 superseded by ${later}`, `${later} success`])
        await castle.stop()
      } finally {
        time.restore()
      }
      expect(coordinators.stored.get('g perf/1')).to.equal(String(later))
    }))

  it('under any answers, time-outs, cuts and moves: what is stored came no earlier than the last success', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 25 }), fc.array(fate, { minLength: 3 }), runModel),
      { numRuns: 60 }
    )
  })
})

const findNode1: Reply<'findCoordinator'> = () => ({
  throttleTimeMs: 0,
  errorCode: 0,
  errorMessage: null,
  coordinator: { nodeId: 1, host: 'mock-1', port: 8000, rack: null }
})

/** A commit, or a move of the coordinator, after a pause. */
const step = fc.record({
  pauseMs: fc.constantFrom(0, 0, 5, 20, 60),
  moves: fc.boolean().map(Boolean),
  group: fc.constantFrom('g', 'h'),
  partition: fc.constantFrom(1, 2),
  offset: fc.integer({ min: 0, max: 5 }),
  timeoutMs: fc.constantFrom(15, 60, 30_000, 30_000)
})
type Step = (typeof step extends fc.Arbitrary<infer Value> ? Value : never) & object

/** What one call meets, and how long it takes. */
const fate = fc.record({
  latencyMs: fc.constantFrom(0, 5, 25, 70),
  outcome: fc.oneof(
    { weight: 4, arbitrary: fc.constant<Outcome>({ type: 'code', errorCode: 0 }) },
    {
      weight: 4,
      arbitrary: fc.constantFrom(-1, 2, 7, 9, 14, 15, 16, 12).map((errorCode): Outcome => ({ type: 'code', errorCode }))
    },
    {
      weight: 3,
      arbitrary: fc.tuple(fc.constantFrom('timeOut', 'cut'), fc.boolean()).map(
        ([type, isStored]): Outcome => ({
          type,
          isStored
        })
      )
    }
  )
})
type Fate = { readonly latencyMs: number; readonly outcome: Outcome }

async function runModel(steps: readonly Step[], fates: readonly Fate[]): Promise<void> {
  const time = new FakeTime()
  try {
    const coordinators = new Coordinators()
    const cluster = metaGood(new ScriptedCluster([1, 2]))
    let calls = 0
    let isHealthy = false
    for (const nodeId of [1, 2]) {
      cluster.always(nodeId, 'findCoordinator', () => coordinatorReply(cluster, coordinators.nodeId)({ groupId: '' }))
      const serve = async (call: OffsetCommitCall) => {
        const { latencyMs, outcome } = fates[calls++ % fates.length]!
        await new Promise(resolve => setTimeout(resolve, latencyMs))
        return coordinators.serve(call, nodeId, isHealthy ? { type: 'code', errorCode: 0 } : outcome)
      }
      cluster.always(nodeId, 'offsetCommit', serve as unknown as Reply<'offsetCommit'>)
    }
    const settings = { retryBackoffMaxMs: 40, brokerBackoffMs: 5, brokerBackoffMaxMs: 40 }
    const castle = new CastleRouter(cluster, settings, undefined, time.now)
    const inbox = new Inbox<'commitConsumerOffset'>()
    const asked: string[] = []
    for (const { pauseMs, moves, group, partition, offset, timeoutMs } of steps) {
      await time.pass(pauseMs)
      if (moves && offset === 0) coordinators.nodeId = 3 - coordinators.nodeId
      const metadata = String(asked.push(`${group} perf/${partition}`) - 1)
      castle.tell(inbox, {
        type: 'commitConsumerOffset',
        groupId: group,
        topicPartition: { topic: 'perf', partition },
        offsetAndMetadata: { offset, metadata },
        rawMetadata: true,
        timeoutMs
      })
    }
    await time.pass(300)
    isHealthy = true
    await time.pass(5_000, 25)
    check(asked, inbox.results, coordinators.stored)
    expect(castle.router.stats().deferred).to.equal(0)
    await castle.stop()
  } finally {
    time.restore()
  }
}

/** Commits are known by the order in which they were asked for, which they carry as metadata. */
function check(
  asked: readonly string[],
  results: readonly CommitConsumerOffsetResult[],
  stored: ReadonlyMap<string, string>
): void {
  expect(results, 'one answer each').to.have.length(asked.length)
  const at = (result: CommitConsumerOffsetResult): number => Number(result.offsetAndMetadata.metadata)
  for (const line of new Set(asked)) {
    const ofLine = results.filter(result => asked[at(result)] === line)
    const successes = ofLine.filter(({ type }) => type === 'success').map(at)
    expect(successes, 'accepted in the order they came').to.deep.equal([...successes].sort((a, b) => a - b))
    const last = successes.at(-1)
    if (last === undefined) continue
    const isCertain = ofLine.every(result => at(result) <= last || result.type === 'superseded')
    const kept = Number(stored.get(line))
    if (isCertain) expect(kept, 'what was told success last').to.equal(last)
    else expect(kept).to.be.at.least(last)
  }
  for (const result of results) {
    if (result.type !== 'superseded') continue
    const by = Number(result.supersededBy.metadata)
    const isHigher = result.supersededBy.offset >= result.offsetAndMetadata.offset
    expect(by > at(result) || isHigher, `${at(result)} superseded by ${by}`).to.equal(true)
    expect(asked[by]).to.equal(asked[at(result)])
  }
}
