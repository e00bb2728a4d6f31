import { expect } from 'chai'
import * as fc from 'fast-check'
import {
  type AckResult,
  askerOfOne,
  type ConsumedMessage,
  type ConsumeResult
} from '../../../src/consumer/group/consume-result.js'
import type { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { GroupStage, TICKS_AT_ONCE } from './group-stage.js'
import { RunStage } from './run-stage.js'

const SUBSCRIPTION_MS = 1_000
const ACK_MS = 4_000
const REBALANCE_MS = 20_000
const LONG_MS = SUBSCRIPTION_MS + ACK_MS + REBALANCE_MS

/** A group that commits what is acknowledged after its first commit only when it gives up a topic. */
const newStage = (): GroupStage => {
  const times = { subscriptionTimeoutMs: SUBSCRIPTION_MS, ackTimeoutMs: ACK_MS, rebalanceTimeoutMs: REBALANCE_MS }
  return new GroupStage(1_000, { ...times, commitIntervalMs: 10_000 }, TICKS_AT_ONCE)
}

describe('a group whose clients ask for topics no more', () => {
  describe('while its last commits have no answer', () => {
    let stage: GroupStage
    afterEach(() => stage.kill())

    const giveUp = (...topics: readonly string[]): void => {
      stage = newStage()
      for (const topic of topics) stage.next(topic).ack()
      stage.next(topics[0]).ack()
      stage.runtime.held.add('commitConsumerOffset')
      stage.runtime.pass(SUBSCRIPTION_MS)
      expect([stage.consumer.topicCount, stage.hasEnded]).to.deep.equal([topics.length, false])
    }
    const answerCommits = (): void => {
      stage.runtime.held.clear()
      stage.runtime.pass(200)
    }
    const expectLeft = (): void => {
      expect([stage.consumer.topicCount, stage.ends, stage.runtime.newly('leaveGroup')]).to.deep.equal([0, 1, 1])
    }

    it('leaves when it gives all of them up', () => {
      giveUp('orders', 'audit', 'bills')
      answerCommits()
      expectLeft()
    })

    it('leaves when it gives all of them up because the time for commits is over', () => {
      giveUp('orders', 'audit')
      stage.runtime.pass(REBALANCE_MS)
      expectLeft()
    })

    it('leaves when it gives all of them up during a rebalance', () => {
      giveUp('orders', 'audit')
      stage.rebalance()
      answerCommits()
      expectLeft()
    })

    for (const [title, ...topics] of [
      ['gives its only topic up and keeps another one that is asked for meanwhile', 'orders'],
      ['gives both topics up and keeps a third one that is asked for meanwhile', 'orders', 'bills'],
      ['keeps the topic that is asked for meanwhile', 'orders', 'audit']
    ] as const)
      it(`${title}, as long as it is asked for`, () => {
        giveUp(...topics)
        const asked = stage.ask({ topic: 'audit' })
        answerCommits()
        expect([asked.answer?.type, stage.consumer.view().topics, stage.ends]).to.deep.equal(['message', ['audit'], 0])
        stage.runtime.pass(SUBSCRIPTION_MS + ACK_MS)
        expectLeft()
      })
  })

  describe('while it offers a message of them, whose time runs', () => {
    const times = { subscriptionTimeoutMs: SUBSCRIPTION_MS, ackTimeoutMs: 60_000, rebalanceTimeoutMs: REBALANCE_MS }
    let stage: GroupStage
    afterEach(() => stage.kill())

    it('keeps the only one', () => {
      stage = new GroupStage(1_000, { ...times, commitIntervalMs: 10_000 }, TICKS_AT_ONCE)
      const { runtime } = stage
      stage.next().ack()
      stage.next().ack()
      runtime.held.add('commitConsumerOffset')
      runtime.pass(SUBSCRIPTION_MS)
      const message = stage.next()
      runtime.pass(2 * SUBSCRIPTION_MS)
      runtime.held.clear()
      runtime.pass(200)
      message.ack()
      runtime.pass(REBALANCE_MS)
      expect(runtime.committed).to.deep.equal({ offset: 3, metadata: '' })
    })

    it('keeps one whose last commit waits for those of another', () => {
      stage = new GroupStage(20_000, { ...times, commitIntervalMs: 500 }, TICKS_AT_ONCE)
      const { runtime } = stage
      const acknowledgeAudit = (ms: number): void => {
        for (const until = runtime.now + ms; runtime.now < until; ) {
          const { answer } = stage.ask({ topic: 'audit' })
          if (answer?.type === 'message') answer.message.ack()
          runtime.held.clear()
          runtime.settle()
          runtime.held.add('commitConsumerOffset')
          runtime.pass(50)
        }
      }
      stage.next('bills').ack()
      stage.next('audit').ack()
      runtime.pass(600)
      acknowledgeAudit(SUBSCRIPTION_MS + 100)
      stage.next('bills')
      acknowledgeAudit(REBALANCE_MS / 2 + 500)
      let result: AckResult | undefined
      const message = { topic: 'bills', partition: 0, offset: 1 }
      stage.consumer.receive({ type: 'ack', message, requester: { reply: told => void (result = told) } })
      expect(result).to.deep.equal({ type: 'acked' })
    })
  })

  it('keeps what its loop works through, although the loop asks for nothing meanwhile', async () => {
    const times = { subscriptionTimeoutMs: 1_000, ackTimeoutMs: 4_000 }
    const stage = new RunStage(1_000, offset => String(offset % 2), times)
    const running = stage.start({ concurrency: 2, order: 'key' })
    await stage.pass()
    for (let round = 0; round < 8; round++) {
      await stage.pass(900)
      for (const { message } of [...stage.handling]) await stage.end(message.offset)
    }
    expect(stage.asked).to.equal(1)
    expect([stage.consumer.topicCount, stage.runtime.warnings]).to.deep.equal([1, []])
    stage.stop.abort()
    for (const { message } of [...stage.handling]) await stage.end(message.offset)
    await running
  })

  it('leaves once, whatever has come before', () => {
    const topic = fc.constantFrom('orders', 'audit', 'bills')
    const kind = fc.constantFrom('commitConsumerOffset' as const, 'joinGroup' as const, 'leaveGroup' as const)
    const ms = fc.constantFrom(1, 100, SUBSCRIPTION_MS - 1, SUBSCRIPTION_MS, ACK_MS)
    const step = fc.oneof(
      fc.record({ type: fc.constant('ask' as const), topic }),
      fc.record({ type: fc.constantFrom('ack' as const, 'cancel' as const, 'rebalance' as const) }),
      fc.record({ type: fc.constantFrom('hold' as const, 'answer' as const), kind }),
      fc.record({ type: fc.constant('pass' as const), ms })
    )
    const runs = fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const stage = newStage()
      const { runtime } = stage
      const messages: ConsumedMessage[] = []
      const requests: WaitingRequest[] = []
      const reply = (result: ConsumeResult): void => {
        if (result.type === 'message') messages.push(result.message)
      }
      for (const one of steps) {
        if (stage.hasEnded) break
        if (one.type === 'ask') requests.push(stage.request(askerOfOne({ reply }), { topic: one.topic }))
        else if (one.type === 'ack') messages.shift()?.ack()
        else if (one.type === 'cancel') requests.shift()?.cancel()
        else if (one.type === 'rebalance') stage.rebalance()
        else if (one.type === 'hold') runtime.held.add(one.kind)
        else if (one.type === 'answer') runtime.held.delete(one.kind)
        else if (one.type === 'pass') runtime.pass(one.ms)
      }
      for (const request of requests) request.cancel()
      runtime.held.clear()
      runtime.pass(LONG_MS)
      const wasAsked = steps.some(({ type }) => type === 'ask')
      const state = [stage.ends, stage.consumer.topicCount, runtime.timersLeft]
      stage.kill()
      expect(state).to.deep.equal([Number(wasAsked), 0, 0])
    })
    fc.assert(runs, { numRuns: 300 })
  })
})
