import { expect } from 'chai'
import * as fc from 'fast-check'
import type { GivenMessage } from '../../../src/consumer/group/given-messages.js'
import type { TransactionEnd, TransactionPosition } from '../../../src/consumer/group/transaction-messages.js'
import { TransactionOffsets } from '../../../src/consumer/group/transaction-offsets.js'
import { run } from './fake-runtime.js'
import { batchOf, GroupStage } from './group-stage.js'

const ACK_MS = 1_000
const TIMES = { heartbeatIntervalMs: 200, revocationMs: 100, commitIntervalMs: 50, maxPendingMessages: 12 }
const COUNT = 60

interface OpenTransaction {
  readonly offsets: TransactionOffsets
  readonly messages: readonly GivenMessage[]
  readonly stop: AbortController
  state: 'open' | 'waiting' | 'refused' | { readonly position: TransactionPosition; readonly generationId: number }
  /** What the coordinator had committed when the position reached it. */
  before: unknown
}

/** One partition of a group, whose process may be killed, and what Kafka has of it. */
class Stage extends GroupStage {
  readonly messages: GivenMessage[] = []
  readonly open: OpenTransaction[] = []
  /** Offsets of messages whose transaction has committed, and of those that were acknowledged. */
  readonly committed = new Set<number>()
  readonly acked = new Set<number>()

  constructor() {
    super(COUNT, { ackTimeoutMs: ACK_MS, ...TIMES })
  }

  override take(maxMessages: number): GivenMessage[] {
    const given = super.take(maxMessages)
    this.messages.push(...given)
    expect(
      given.map(({ offset }) => offset).filter(offset => this.committed.has(offset)),
      'offered though its transaction has committed'
    ).to.deep.equal([])
    return given
  }

  add(messages: readonly GivenMessage[]): void {
    const offsets = new TransactionOffsets()
    try {
      offsets.add(batchOf(messages))
    } catch (error) {
      expect(error).to.include({ code: 'notAssigned' })
      return
    }
    this.open.push({ offsets, messages, stop: new AbortController(), state: 'open', before: undefined })
  }

  async prepare(transaction: OpenTransaction): Promise<void> {
    if (transaction.state !== 'open') return
    transaction.state = 'waiting'
    const prepared = transaction.offsets.prepare(transaction.stop.signal)
    const reached = prepared.then(([positions]) => {
      const { generationId, offsets } = positions!
      // The coordinator refuses what was given out in another generation.
      if (generationId !== this.runtime.generation) return 'refused'
      transaction.before = this.runtime.committed
      return { position: offsets[0]!, generationId }
    })
    void reached.then(
      state => (transaction.state = state as OpenTransaction['state']),
      () => (transaction.state = 'refused')
    )
    await settled()
  }

  async end(transaction: OpenTransaction, wanted: TransactionEnd, isCommitted: boolean): Promise<void> {
    this.open.splice(this.open.indexOf(transaction), 1)
    const { state } = transaction
    const mayCommit = typeof state === 'object'
    const end = mayCommit ? wanted : 'aborted'
    if (mayCommit && (end === 'committed' || (end === 'unknown' && isCommitted))) {
      const isOfMember = state.generationId === this.runtime.generation
      if (isOfMember) expect(this.runtime.committed, 'committed in between').to.equal(transaction.before)
      const { offset, metadata } = state.position
      if (this.runtime.committed === transaction.before) this.runtime.committed = { offset, metadata }
      for (const message of transaction.messages) this.committed.add(message.offset)
    }
    transaction.offsets.end(end)
    transaction.stop.abort()
    await settled()
    this.runtime.pass(1)
  }

  /** The process is killed; the coordinator aborts what it has left open. */
  async restart(): Promise<void> {
    for (const transaction of [...this.open]) await this.end(transaction, 'aborted', false)
    this.kill()
    this.runtime.answers.length = 0
    this.messages.length = 0
    this.live()
  }
}

const settled = (): Promise<void> => new Promise(setImmediate)

type Step = (stage: Stage) => unknown
const some = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 5 })
const picked = <Item>(items: readonly Item[], at: number): Item | undefined => items[at % Math.max(1, items.length)]
const distinct = (stage: Stage, picks: readonly number[]) => [
  ...new Set(picks.map(at => picked(stage.messages.slice(-12), at)).filter(message => message !== undefined))
]
const weighted = (weight: number, arbitrary: fc.Arbitrary<Step>) => ({ weight, arbitrary })
const step: fc.Arbitrary<Step> = fc.oneof(
  weighted(
    6,
    fc.integer({ min: 1, max: 6 }).map(
      (count): Step =>
        stage =>
          stage.take(count)
    )
  ),
  weighted(
    3,
    some.map(
      (picks): Step =>
        stage => {
          for (const message of distinct(stage, picks)) {
            if (!message.isAcked) stage.acked.add(message.offset)
            message.ack()
          }
          stage.runtime.pass(1)
        }
    )
  ),
  weighted(
    2,
    some.map(
      (picks): Step =>
        stage => {
          batchOf(distinct(stage, picks)).release()
          stage.runtime.pass(1)
        }
    )
  ),
  weighted(
    8,
    some.map(
      (picks): Step =>
        stage =>
          stage.add(distinct(stage, picks))
    )
  ),
  weighted(
    8,
    fc.nat(5).map(
      (at): Step =>
        stage => {
          const transaction = picked(stage.open, at)
          return transaction && stage.prepare(transaction)
        }
    )
  ),
  weighted(
    6,
    fc
      .tuple(fc.nat(5), fc.constantFrom<TransactionEnd>('committed', 'committed', 'aborted', 'unknown'), fc.boolean())
      .map(
        ([at, end, isCommitted]): Step =>
          stage => {
            const transaction = picked(stage.open, at)
            return transaction && stage.end(transaction, end, isCommitted)
          }
      )
  ),
  weighted(
    4,
    fc.constantFrom(1, 100, 500, ACK_MS + 1).map(
      (ms): Step =>
        stage =>
          stage.runtime.pass(ms)
    )
  ),
  weighted(
    1,
    fc.constant<Step>(stage => stage.rebalance())
  ),
  weighted(
    2,
    fc.constant<Step>(stage =>
      stage.runtime.answers.push({ kind: 'commitConsumerOffset', result: { type: 'timedOut' } })
    )
  ),
  weighted(
    1,
    fc.constant<Step>(stage => stage.restart())
  )
)

describe('transactions and acknowledgements of a partition, in any order', () => {
  it('offer nothing again that has committed, and all that neither is acknowledged nor has', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), async steps => {
        const stage = new Stage()
        try {
          for (const one of steps) {
            await one(stage)
            await settled()
          }
          await stage.restart()
          const offered = new Set<number>()
          for (let attempt = 0; attempt < COUNT; attempt++) {
            for (const { offset } of stage.take(50)) offered.add(offset)
            batchOf(stage.messages.splice(0)).ack()
            stage.runtime.pass(100)
          }
          for (const offset of run(0, COUNT))
            if (!stage.acked.has(offset) && !stage.committed.has(offset))
              expect(offered.has(offset), `${offset} is lost`).to.equal(true)
        } finally {
          stage.kill()
        }
      }),
      { numRuns: 150 }
    )
  })
})
