import { expect } from 'chai'
import { type Attempt, type Delivery, QueueHistory } from './queue-history.js'
import type { LogEnd } from './reader.js'

const LIMIT = 3
const RECORDS: ReadonlyMap<number, string> = new Map([[0, 'a record']])
const log: LogEnd = {
  endOf: () => RECORDS.size,
  livesOf: () => [{ endedAt: Number.POSITIVE_INFINITY, values: RECORDS }]
}

/** A history of the one message that was written. Each token is told a second after the one before, unless it says when. */
class Story {
  readonly history = new QueueHistory()

  given(token: string, toldAt: number, more: Partial<Delivery> = {}): this {
    const delivery = {
      token,
      partition: 0,
      offset: 0,
      deliveryCount: 1,
      lockMs: 10_000,
      gateway: 'left',
      toldAt,
      ...more
    }
    this.history.told(delivery)
    return this
  }

  /** @param outcome absent: it is not answered */
  said(token: string, word: Attempt['word'], sentAt: number, outcome?: string, more: Partial<Attempt> = {}): this {
    const attempt = this.history.asked({ token, word, gateway: more.gateway ?? 'left', sentAt })
    if (outcome !== undefined) Object.assign(attempt, { outcome, answeredAt: sentAt + 5, ...more })
    return this
  }

  rulesWith(locksEndedAt: readonly number[]): readonly string[] {
    const queue = { topic: 'orders', partitions: 1, deliveryLimit: LIMIT, locksEndedAt }
    return this.history.check(queue, log).map(({ rule }) => rule)
  }

  get rules(): readonly string[] {
    return this.rulesWith([])
  }
}

const last = { deliveryCount: LIMIT }

describe('simulation: the history of a queue', () => {
  it('is right where a message is accepted by the one that was told so', () => {
    expect(new Story().given('a', 1_000).said('a', 'accept', 2_000, 'done').rules).to.deep.equal([])
    expect(new Story().given('a', 1_000).said('a', 'reject', 2_000, 'done').rules).to.deep.equal([])
    const again = new Story()
      .given('a', 1_000)
      .said('a', 'accept', 2_000, 'lost')
      .given('b', 9_000, { deliveryCount: 2 })
    expect(again.said('b', 'accept', 9_500, 'done').rules).to.deep.equal([])
  })

  it('has a message missing that nobody was told is settled', () => {
    expect(new Story().rules).to.deep.equal(['missing'])
    for (const outcome of ['lost', 'elsewhere', 'failed'])
      expect(new Story().given('a', 1_000).said('a', 'accept', 2_000, outcome).rules).to.deep.equal(['missing'])
    expect(new Story().given('a', 1_000).said('a', 'release', 2_000, 'done').rules).to.deep.equal(['missing'])
  })

  it('has none missing where an answer is unknown or did not come', () => {
    expect(new Story().given('a', 1_000).said('a', 'accept', 2_000, 'unknown').rules).to.deep.equal([])
    expect(new Story().given('a', 1_000).said('a', 'accept', 2_000).rules).to.deep.equal([])
    expect(new Story().given('a', 1_000).said('a', 'release', 2_000).rules).to.deep.equal(['missing'])
    expect(new Story().given('a', 1_000, last).said('a', 'release', 2_000).rules).to.deep.equal([])
  })

  it('tells of a message at its last delivery, unless the process that gave it has ended', () => {
    expect(new Story().given('a', 1_000, last).rules).to.deep.equal(['archived untold'])
    const logged = new Story().given('a', 1_000, last)
    logged.history.archived(0, 0, 9_000)
    expect(logged.rules).to.deep.equal([])
    const ofRelease = new Story().given('a', 1_000, last).said('a', 'release', 2_000, 'done', { reason: 'archived' })
    expect(ofRelease.rules).to.deep.equal([])
    for (const [gateway, endedAt] of [
      ['left', 500],
      ['right', 2_000]
    ] as const) {
      const other = new Story().given('a', 1_000, last)
      other.history.ended(gateway, endedAt, true)
      expect(other.rules).to.deep.equal(['archived untold'])
    }
    const killed = new Story().given('a', 1_000, last)
    killed.history.ended('left', 2_000, true)
    expect(killed.rules).to.deep.equal([])
  })

  it('forgives a gateway whose lock Kafka has ended too soon', () => {
    const story = () => new Story().given('a', 1_000, last)
    expect(story().rulesWith([2_000])).to.deep.equal([])
    expect(story().rulesWith([500])).to.deep.equal(['archived untold'])
  })

  it('gives no message again that is settled', () => {
    const settled = new Story().given('a', 1_000).said('a', 'accept', 2_000, 'done')
    expect(settled.given('b', 3_000, { deliveryCount: 2 }).rules).to.deep.equal(['given again'])
    const archived = new Story().given('a', 1_000, last).said('a', 'release', 2_000, 'done', { reason: 'archived' })
    expect(archived.given('b', 3_000, last).rules).to.deep.equal(['given again'])
    const released = new Story().given('a', 1_000).said('a', 'release', 2_000, 'done').given('b', 2_500)
    expect(released.said('b', 'accept', 3_000, 'done').rules).to.deep.equal([])
  })

  it('lets no stale token settle', () => {
    const twice = () => new Story().given('a', 1_000).given('b', 9_000, { deliveryCount: 2 })
    for (const word of ['accept', 'reject', 'release', 'renew'] as const)
      expect(twice().said('a', word, 10_000, 'done').said('b', 'accept', 11_000, 'done').rules).to.include(
        'stale token'
      )
    const late = twice().said('a', 'accept', 8_000, 'done', { answeredAt: 10_000 })
    expect(late.rules).to.deep.equal(['stale token'])
  })

  it('forgives a token of another gateway that is told done when the message is settled already', () => {
    const elsewhere = { gateway: 'right', deliveryCount: 2 }
    const story = () => new Story().given('a', 1_000).given('b', 9_000, elsewhere)
    expect(story().said('b', 'accept', 9_500, 'done').said('a', 'accept', 10_000, 'done').rules).to.deep.equal([])
    expect(story().said('a', 'accept', 10_000, 'done').said('b', 'accept', 10_500, 'done').rules).to.include(
      'stale token'
    )
    // Done without asking Kafka.
    const delayed = story().said('a', 'release', 9_500, 'done').said('a', 'renew', 9_600, 'done')
    expect(delayed.said('b', 'accept', 10_500, 'done').rules).to.deep.equal([])
  })

  it('forgives a gateway that has stood still, and tells what it had acquired before', () => {
    const story = (more: Partial<Delivery>) =>
      new Story().given('a', 1_000, { deliveryCount: 2 }).given('b', 9_000, more).said('a', 'accept', 10_000, 'done')
    expect(story({ gateway: 'right' }).rules).to.deep.equal([])
    expect(story({ gateway: 'right', deliveryCount: 3 }).rules).to.deep.equal(['stale token'])
    expect(story({ gateway: 'left' }).rules).to.deep.equal(['stale token'])
    expect(story({ gateway: 'right', lockMs: 0 }).rules).to.deep.equal(['given too late'])
  })

  it('counts no delivery beyond the limit, and gives no token twice', () => {
    const beyond = new Story().given('a', 1_000, { deliveryCount: LIMIT + 1 }).said('a', 'accept', 2_000, 'done')
    expect(beyond.rules).to.deep.equal(['miscounted'])
    const twice = new Story().given('a', 1_000).given('a', 1_050).said('a', 'accept', 2_000, 'done')
    expect(twice.rules).to.deep.equal(['given twice'])
  })

  it('repeats an answer for a minute, unless its process has ended or another word was said', () => {
    const again = (outcome: string, at = 5_000) =>
      new Story().given('a', 1_000).said('a', 'accept', 2_000, 'unknown').said('a', 'accept', at, outcome)
    expect(again('unknown').rules).to.deep.equal([])
    expect(again('lost').rules).to.deep.equal(['not repeated'])
    expect(again('lost', 63_000).rules).to.deep.equal([])
    const ended = again('lost')
    ended.history.ended('left', 3_000, true)
    expect(ended.rules).to.deep.equal([])
    expect(again('lost').said('a', 'reject', 3_000, 'lost').rules).to.deep.equal([])
  })

  it('tells a message as it was written', () => {
    const told = (more: Partial<Delivery>) =>
      new Story().given('a', 1_000, more).said('a', 'accept', 2_000, 'done').rules
    expect(told({ text: 'a record' })).to.deep.equal([])
    expect(told({ text: 'another' })).to.deep.equal(['damaged'])
    expect(told({ offset: 1 })).to.include('invented')
  })
})
