import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import sinon from 'sinon'
import { HEADER_OBJECT_BYTES } from '../../../src/core/bytes.js'
import { Line } from '../../../src/core/line.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { Poll } from '../../../src/http/api/poll.js'
import type { AcquiredMessage, ConsumeManyResult, GroupVerbs, NoMessage } from '../../../src/verbs/verbs.js'
import { turns } from '../../support/ticks.js'

const message = { key: null, value: Buffer.from('v'), headers: [] } as unknown as AcquiredMessage

const saidBy = (reason: NoMessage | Error): string => {
  if (reason instanceof Error) return reason.message
  return reason.type === 'failed' ? `failed ${reason.code}` : reason.type
}

/** A poll whose gateway and connection the test plays. */
class PollStage {
  readonly told: string[] = []
  /** How often the gateway was asked for messages. */
  asked = 0
  skips: ((messages: readonly AcquiredMessage[]) => boolean) | undefined
  answer = (messages: readonly AcquiredMessage[]): void => void this.told.push(`answered ${messages.length}`)
  readonly response = Object.assign(new EventEmitter(), {
    writableFinished: false,
    destroyed: false,
    endUnread: () => void this.told.push('ended as too slow')
  })
  readonly poll: Poll
  readonly open = new Line<Poll>()
  #reply: (result: ConsumeManyResult) => void = () => undefined
  now = 0
  readonly records = new RecordBudget(1_000, () => this.now)

  constructor(isAutoAck: boolean) {
    const consume = (...asked: readonly unknown[]): (() => void) => {
      this.asked++
      this.#reply = (asked.at(-1) as { reply(result: ConsumeManyResult): void }).reply
      return () => this.told.push('cancelled')
    }
    this.poll = new Poll(
      { response: this.response as unknown as ServerResponse, requestId: 'r' },
      {
        records: this.records,
        groups: { consume } as unknown as GroupVerbs,
        groupId: 'g',
        topic: 't',
        limits: { maxMessages: 5, maxBytes: 100 },
        isAutoAck,
        skips: messages => this.skips?.(messages) ?? false,
        answer: messages => this.answer(messages),
        fail: reason => this.told.push(saidBy(reason))
      }
    )
    this.poll.place = this.open.add(this.poll)
  }

  /** @param count of the messages that the gateway gives */
  give(count: number, one = message): void {
    const done = {
      ack: () => void this.told.push('ack'),
      release: () => void this.told.push('give back'),
      delivered: () => void this.told.push('delivered')
    }
    this.#reply({ type: 'messages', messages: { messages: Array.from({ length: count }, () => one), ...done } })
  }

  /** Sent, failed or abandoned: the poll is open no longer. */
  close(isSent: boolean): string[] {
    this.response.writableFinished = isSent
    this.response.destroyed = !isSent
    expect(this.open.all).to.deep.equal([this.poll])
    this.response.emit('close')
    expect(this.open.all).to.deep.equal([])
    return this.told
  }
}

describe('a client that waits for messages', () => {
  it('acknowledges what was sent, where that is wanted', () => {
    for (const isAutoAck of [true, false]) {
      const stage = new PollStage(isAutoAck)
      stage.give(3)
      expect(stage.close(true)).to.deep.equal(['answered 3', 'cancelled', isAutoAck ? 'ack' : 'delivered'])
    }
  })

  it('gives back what was not sent whole', () => {
    const stage = new PollStage(true)
    stage.give(3)
    expect(stage.close(false)).to.deep.equal(['answered 3', 'cancelled', 'give back'])
  })

  it('gives back what comes when the client has gone away', () => {
    const stage = new PollStage(true)
    stage.close(false)
    stage.give(3)
    expect(stage.told).to.deep.equal(['cancelled', 'give back'])
  })

  it('gives back what comes when it was ended before', () => {
    const stage = new PollStage(true)
    stage.poll.end({ type: 'timedOut' })
    stage.give(3)
    expect(stage.told).to.deep.equal(['cancelled', 'timedOut', 'give back'])
    stage.close(true)
  })

  it('releases what an answer or a skip has failed with, and fails once, whatever is sent then', () => {
    const fails = (): never => {
      throw new Error('a bug')
    }
    for (const part of ['answer', 'skips'] as const) {
      const stage = new PollStage(true)
      stage[part] = fails
      expect(() => stage.give(2)).to.not.throw()
      stage.poll.end({ type: 'timedOut' })
      expect(stage.close(true), part).to.deep.equal(['give back', 'a bug', 'cancelled'])
    }
  })

  it('acknowledges messages that it skips, and waits for others', async () => {
    const stage = new PollStage(false)
    let left = 2
    stage.skips = () => left-- > 0
    stage.give(3)
    stage.give(1)
    expect(stage.told).to.deep.equal(['ack', 'ack'])
    await new Promise(resolve => setImmediate(resolve))
    stage.give(2)
    expect(stage.close(true)).to.deep.equal(['ack', 'ack', 'answered 2', 'cancelled', 'delivered'])
  })

  it('asks no more after it has skipped messages when the client has gone away', async () => {
    const stage = new PollStage(false)
    stage.skips = () => true
    stage.give(3)
    stage.close(false)
    await new Promise(resolve => setImmediate(resolve))
    expect(stage.asked).to.equal(1)
  })

  it('gives back messages for which there is no capacity, and asks again when there is', async () => {
    const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
    const stage = new PollStage(true)
    const all = stage.records.hold(1_000, 'others')
    stage.give(1)
    await nextTick()
    expect([stage.told, stage.asked]).to.deep.equal([['give back'], 1])
    all.release()
    while (stage.asked === 1) await nextTick()
    stage.give(1)
    expect(stage.records.heldBytes).to.be.greaterThan(0)
    expect(stage.close(true)).to.deep.equal(['give back', 'answered 1', 'cancelled', 'ack'])
    expect([stage.records.heldBytes, stage.records.isShort]).to.deep.equal([0, false])
  })

  it('takes its answer slowly only from when that leaves: its messages may be decoded for long', async () => {
    const stage = new PollStage(true)
    stage.give(1)
    const others = stage.records.hold(999, 'others')
    const leave = stage.records.whenFree('b', 500, () => undefined)
    stage.now = 60_000
    stage.records.endSlow()
    expect(stage.told).to.deep.equal(['answered 1'])
    stage.poll.leaves(10)
    expect(stage.records.heldBytes).to.equal(1_010)
    stage.now += 4_999
    stage.records.endSlow()
    expect(stage.told).to.deep.equal(['answered 1'])
    stage.now += 1
    stage.records.endSlow()
    expect(stage.told).to.deep.equal(['answered 1', 'ended as too slow'])
    leave()
    others.release()
    stage.close(false)
    expect([stage.records.heldBytes, await turns(1)]).to.deep.equal([0, undefined])
  })

  it('counts what headers take in memory, not only their bytes', () => {
    const stage = new PollStage(true)
    stage.give(1, { ...message, value: null, headers: [0, 1, 2].map(() => ({ key: '', value: null })) })
    expect(stage.records.heldBytes).to.equal(3 * HEADER_OBJECT_BYTES)
    stage.close(true)
    expect(stage.records.heldBytes).to.equal(0)
  })

  it('fails after 10 s without capacity, however often it was told of some', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const stage = new PollStage(true)
      const all = stage.records.hold(1_000, 'others')
      stage.give(1)
      clock.tick(6_000)
      all.release()
      while (stage.asked === 1) await turns(1)
      const again = stage.records.hold(1_000, 'others')
      stage.give(1)
      clock.tick(3_999)
      expect(stage.told).to.deep.equal(['give back', 'give back'])
      clock.tick(1)
      expect(stage.told).to.deep.equal(['give back', 'give back', 'cancelled', 'failed overloaded'])
      again.release()
      expect([await turns(2), stage.asked, stage.records.isShort]).to.deep.equal([undefined, 2, false])
    } finally {
      clock.restore()
    }
  })

  it('waits for capacity no longer than its client', async () => {
    const stage = new PollStage(true)
    const all = stage.records.hold(1_000, 'others')
    stage.give(1)
    expect(stage.records.isShort).to.equal(true)
    expect(stage.close(false)).to.deep.equal(['give back', 'cancelled'])
    expect(stage.records.isShort).to.equal(false)
    all.release()
  })
})
