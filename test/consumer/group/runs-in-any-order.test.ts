import { expect } from 'chai'
import * as fc from 'fast-check'
import type { GivenMessage, Message } from '../../../src/consumer/group/given-messages.js'
import type { TransactionEnd } from '../../../src/consumer/group/transaction-messages.js'
import type { TransactionOffsets } from '../../../src/consumer/group/transaction-offsets.js'
import { run } from './fake-runtime.js'
import { RunStage } from './run-stage.js'

const ACK_MS = 1_000
const COUNT = 40
const KEYS = 3
const CONCURRENCY = 4

interface Held {
  readonly transaction: TransactionOffsets
  readonly offsets: readonly number[]
}

/** Handlers of one partition, and what should be: no message begins before those of its lane before it are done. */
class Stage {
  readonly order: 'partition' | 'key'
  readonly run: RunStage
  readonly held: Held[] = []
  /** Messages that were acknowledged by their handler, or whose transaction has committed, at least once. */
  readonly done = new Set<number>()
  /** Messages whose transaction has committed. */
  readonly committed = new Set<number>()
  mistake: string | undefined

  constructor(order: 'partition' | 'key', maxPendingMessages: number) {
    this.order = order
    const settings = { ackTimeoutMs: ACK_MS, revocationMs: 100, maxPendingMessages }
    this.run = new RunStage(COUNT, offset => `k${offset % KEYS}`, settings)
    this.run.onBegun = ({ offset }) => {
      if (this.committed.has(offset)) this.mistake ??= `${offset} begins after it was committed`
      for (const before of this.#laneOf(offset))
        if (before < offset && !this.done.has(before)) this.mistake ??= `${offset} begins before ${before} is done`
      const isAlone = this.run.handling.filter(({ message }) => this.#laneOf(offset).includes(message.offset))
      if (isAlone.length > 0) this.mistake ??= `${offset} begins beside ${isAlone.map(one => one.message.offset)}`
    }
  }

  #laneOf(offset: number): readonly number[] {
    return run(0, COUNT).filter(other => this.order === 'partition' || other % KEYS === offset % KEYS)
  }

  async end(at: number, isReleased: boolean): Promise<void> {
    const { handling } = this.run
    const { message } = handling[at % Math.max(1, handling.length)] ?? {}
    if (message === undefined) return
    if (isReleased) message.release()
    if (!isSettled(message)) this.done.add(message.offset)
    await this.run.end(message.offset)
  }

  hold(ats: readonly number[]): void {
    const { handling } = this.run
    const picked = new Set(ats.map(at => handling[at % Math.max(1, handling.length)]?.message))
    const messages = [...picked].filter(message => message !== undefined)
    if (messages.length === 0) return
    const offsets = messages.map(({ offset }) => offset)
    try {
      this.held.push({ transaction: this.run.hold(...offsets), offsets })
    } catch (error) {
      // Its time is over, it is committed or in another transaction, its partition was lost, or they are of several generations.
      expect(error).to.include({ code: 'notAssigned' })
    }
  }

  async endTransaction(at: number, wanted: TransactionEnd, isCommitted: boolean): Promise<void> {
    const [held] = this.held.splice(at % Math.max(1, this.held.length), 1)
    if (held === undefined) return
    const { transaction, offsets } = held
    const mayCommit = wanted !== 'aborted' && (wanted === 'committed' || isCommitted)
    const hasCommitted = mayCommit && (await this.run.commit(transaction))
    if (hasCommitted)
      for (const offset of offsets) {
        this.done.add(offset)
        this.committed.add(offset)
      }
    transaction.end(wanted === 'committed' && !hasCommitted ? 'aborted' : wanted)
    await this.run.pass()
  }

  check(): void {
    expect(this.mistake).to.equal(undefined)
    expect(this.run.handling.length).to.be.at.most(CONCURRENCY)
  }

  /** All goes well from now on: each message is handled to its end. */
  async finish(): Promise<void> {
    while (this.held.length > 0) await this.endTransaction(0, 'aborted', false)
    for (let rounds = 0; rounds < 1_000 && this.run.runtime.committed!.offset < COUNT; rounds++) {
      await this.end(0, false)
      await this.run.pass(rounds % 20 === 19 ? ACK_MS + 1 : 10)
      this.check()
    }
    expect(this.run.runtime.committed!.offset, 'all are handled').to.equal(COUNT)
    expect([...this.done].sort((one, other) => one - other)).to.deep.equal(run(0, COUNT))
    expect(this.run.parkedBytes.value, 'nothing is kept').to.equal(0)
  }
}

/** True when its handler has released it, or a transaction has taken it: that it resolves acknowledges nothing. */
const isSettled = (message: Message): boolean => (message as GivenMessage).isReleased

type Step = (stage: Stage) => unknown
const named = (name: string, step: Step): Step => Object.assign(step, { toString: () => name })
const weighted = (weight: number, arbitrary: fc.Arbitrary<Step>) => ({ weight, arbitrary })
const step: fc.Arbitrary<Step> = fc.oneof(
  weighted(
    10,
    fc.nat(5).map(at => named(`end(${at})`, stage => stage.end(at, false)))
  ),
  weighted(
    2,
    fc.nat(5).map(at => named(`release(${at})`, stage => stage.end(at, true)))
  ),
  weighted(
    2,
    fc.nat(5).map(at =>
      named(`releaseOnly(${at})`, stage => {
        const { handling } = stage.run
        handling[at % Math.max(1, handling.length)]?.message.release()
      })
    )
  ),
  weighted(
    6,
    fc.array(fc.nat(5), { minLength: 1, maxLength: 3 }).map(ats => named(`hold(${ats})`, stage => stage.hold(ats)))
  ),
  weighted(
    7,
    fc
      .tuple(fc.nat(5), fc.constantFrom<TransactionEnd>('committed', 'committed', 'aborted', 'unknown'), fc.boolean())
      .map(([at, end, is]) => named(`${end}(${at}, ${is})`, stage => stage.endTransaction(at, end, is)))
  ),
  weighted(
    3,
    fc.constantFrom(1, 50, ACK_MS + 1).map(ms => named(`pass(${ms})`, stage => stage.run.pass(ms)))
  ),
  weighted(1, fc.constant(named('rebalance', stage => stage.run.rebalance())))
)

describe('handlers of a partition, in any order of ending, releasing, aborting and revoking', () => {
  it('begin a message when those before it in its lane are done, none after it has committed, and all in the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('key' as const, 'partition' as const),
        fc.constantFrom(3, 300),
        fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
        async (order, maxPending, steps) => {
          const stage = new Stage(order, maxPending)
          try {
            const running = stage.run.start({ concurrency: CONCURRENCY, order })
            await stage.run.pass()
            for (const one of steps) {
              await one(stage)
              stage.check()
            }
            await stage.finish()
            stage.run.stop.abort()
            await running
          } finally {
            stage.run.kill()
          }
        }
      ),
      { numRuns: 100 }
    )
  })
})
