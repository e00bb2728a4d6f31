import { expect } from 'chai'
import * as fc from 'fast-check'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import { type GivenMessage, GivenMessages } from '../../../src/consumer/group/given-messages.js'
import { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { GroupStage } from './group-stage.js'

const TOPICS = ['orders', 'returns', 'mails']
const HEARTBEAT_MS = 200
const ACK_MS = 1_000

/** Loops over some topics of a group and requests for one, each open until it is answered. */
class Stage extends GroupStage {
  readonly taken: GivenMessage[] = []
  readonly #loops = [TOPICS, TOPICS.slice(1), TOPICS.slice(0, 1)].map(topics => {
    const loop = new LoopDemand({ groupId: 'foo' })
    loop.setTopics(topics)
    return { loop, given: new GivenMessages() }
  })

  constructor(maxPendingMessages: number) {
    const times = { heartbeatIntervalMs: HEARTBEAT_MS, revocationMs: 100, subscriptionTimeoutMs: 1_000_000_000 }
    super(4, { ...times, ackTimeoutMs: ACK_MS, maxPendingMessages })
    this.runtime.batchSize = 3
    for (let at = 0; at < this.#loops.length; at++) this.askAs(at, 1)
    this.runtime.pass(100)
  }

  get isAsking(): boolean {
    return this.#loops.every(({ loop }) => loop.isAsking)
  }

  isAwaited(topic: string): boolean {
    return this.#loops.some(({ loop }) => loop.isAsking && loop.topics.has(topic))
  }

  /** A loop that waits goes on waiting. */
  askAs(at: number, maxMessages: number): void {
    const { loop, given } = this.#loops[at % this.#loops.length]!
    if (loop.isAsking) return
    loop.begin({ maxMessages, maxBytes: 1_000_000 }, result => this.#take(result, given))
    this.consumer.receive({ type: 'ask', request: loop })
  }

  cancel(at: number): void {
    this.#loops[at % this.#loops.length]!.loop.cancel()
  }

  askOnce(at: number): void {
    const asker = { reply: (result: ConsumeManyResult) => this.#take(result, new GivenMessages()) }
    const limits = { maxMessages: 1, maxBytes: 1 }
    const request = this.request(asker, { topic: TOPICS[at % TOPICS.length]!, limits, waitMs: 50 })
    this.runtime.pass(1)
    request.cancel()
  }

  #take(result: ConsumeManyResult, given: GivenMessages): void {
    if (result.type === 'messages') this.taken.push(...given.give(result.messages))
  }

  needMemory(): void {
    this.batches.hold({ dropBatch: () => undefined }, 1_000_000)
  }

  override kill(): void {
    for (const { loop } of this.#loops) loop.close()
    super.kill()
  }
}

type Step = (stage: Stage) => void
const some = <Value>(value: fc.Arbitrary<Value>, step: (stage: Stage, value: Value) => void): fc.Arbitrary<Step> =>
  value.map(one => Object.assign((stage: Stage) => step(stage, one), { toString: () => `${step}(${one})` }))
const at = fc.nat(5)
const step = fc.oneof(
  { weight: 8, arbitrary: some(fc.tuple(at, fc.constantFrom(1, 3)), (stage, [loop, max]) => stage.askAs(loop, max)) },
  { weight: 1, arbitrary: some(at, (stage, loop) => stage.cancel(loop)) },
  { weight: 2, arbitrary: some(at, (stage, topic) => stage.askOnce(topic)) },
  { weight: 6, arbitrary: some(at, (stage, one) => stage.taken.splice(one, 1)[0]?.ack()) },
  { weight: 3, arbitrary: some(at, (stage, one) => stage.taken.splice(one, 1)[0]?.release()) },
  { weight: 3, arbitrary: some(fc.constantFrom(1, 20, ACK_MS + 1), (stage, ms) => stage.runtime.pass(ms)) },
  { weight: 3, arbitrary: some(fc.constant(1), stage => stage.runtime.write(stage.runtime.logEnd)) },
  { weight: 2, arbitrary: some(fc.constant(1), stage => stage.needMemory()) },
  { weight: 1, arbitrary: some(fc.constant(1), stage => stage.rebalance()) }
)

describe('loops of a group that wait, whatever is done meanwhile', () => {
  it('are told of each message that there is for them, without asking again', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 300),
        fc.array(step, { minLength: 10, maxLength: 80, size: 'max' }),
        (max, steps) => {
          const stage = new Stage(max)
          try {
            for (const one of steps) one(stage)
            stage.runtime.pass(ACK_MS + 50)
            for (let round = 0; round < 500 && !(stage.isAsking && stage.taken.length === 0); round++) {
              for (const message of stage.taken.splice(0)) message.ack()
              for (let loop = 0; loop < 3; loop++) stage.askAs(loop, 3)
              stage.runtime.pass(300)
            }
            expect(stage.isAsking, 'nothing is left').to.equal(true)
            stage.runtime.write(stage.runtime.logEnd)
            for (let round = 0; round < 3; round++) {
              stage.runtime.pass(50)
              const left = TOPICS.filter(topic => !stage.taken.some(message => message.topic === topic))
              expect(left.filter(topic => stage.isAwaited(topic))).to.deep.equal([])
              for (let loop = 0; loop < 3; loop++) stage.askAs(loop, 3)
            }
            expect(stage.taken).to.have.length(TOPICS.length)
          } finally {
            stage.kill()
          }
        }
      ),
      { numRuns: 150 }
    )
  })
})
