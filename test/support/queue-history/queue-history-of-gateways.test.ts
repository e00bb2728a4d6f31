import { expect } from 'chai'
import type { Attempt, Delivery } from './queue-events.js'
import { QueueHistory } from './queue-history.js'

const LIMIT = 3

/** A history of the one message that was written, at two gateways whose locks may end unheard. */
class Story {
  readonly history = new QueueHistory()

  constructor() {
    this.history.written('0@0', 'a record')
  }

  given(token: string, at: number, more: Partial<Delivery> = {}): this {
    const told = { message: '0@0', token, deliveryCount: 1, lockMs: 10_000, gateway: 'left', askedAt: 0, at, ...more }
    this.history.acquired(told)
    return this
  }

  /** @param outcome absent: it is not answered */
  said(token: string, word: Attempt['word'], sentAt: number, outcome?: string, more: Partial<Attempt> = {}): this {
    const answeredAt = outcome === undefined ? Number.POSITIVE_INFINITY : sentAt + 5
    this.history.said({ token, word, gateway: 'left', sentAt, answeredAt, outcome, ...more })
    return this
  }

  ended(gateway: string, at: number): this {
    this.history.disturbed({ from: at, to: at, unseen: Number.POSITIVE_INFINITY, ends: 'process', gateway })
    return this
  }

  locksEnded(at: number): this {
    this.history.disturbed({ from: at, to: at, unseen: 0, ends: 'locks' })
    return this
  }

  get rules(): readonly string[] {
    const { problems } = this.history.verdict({ deliveryLimit: LIMIT, transitMs: 100, locksEndUnheard: true })
    return problems.map(({ rule }) => rule)
  }
}

const last = { deliveryCount: LIMIT }

describe('the history of a queue whose locks may end unheard', () => {
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
    logged.history.archived('0@0', 9_000, 'its lock has ended')
    expect(logged.rules).to.deep.equal([])
    const ofRelease = new Story().given('a', 1_000, last).said('a', 'release', 2_000, 'done', { reason: 'archived' })
    expect(ofRelease.rules).to.deep.equal([])
    for (const [gateway, endedAt] of [
      ['left', 500],
      ['right', 2_000]
    ] as const) {
      const other = new Story().given('a', 1_000, last).ended(gateway, endedAt)
      expect(other.rules).to.deep.equal(['archived untold'])
    }
    expect(new Story().given('a', 1_000, last).ended('left', 2_000).rules).to.deep.equal([])
  })

  it('forgives a gateway whose lock Kafka has ended too soon', () => {
    const story = () => new Story().given('a', 1_000, last)
    expect(story().locksEnded(2_000).rules).to.deep.equal([])
    expect(story().locksEnded(500).rules).to.deep.equal(['archived untold'])
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
    for (const word of ['release', 'renew'] as const) {
      const unasked = story().said('a', word, 9_500, 'done').said('b', 'accept', 10_500, 'done')
      expect(unasked.rules).to.deep.equal([])
    }
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
    expect(again('lost').ended('left', 3_000).rules).to.deep.equal([])
    expect(again('lost').said('a', 'reject', 3_000, 'lost').rules).to.deep.equal([])
  })

  it('tells a message as it was written', () => {
    const told = (more: Partial<Delivery>) =>
      new Story().given('a', 1_000, more).said('a', 'accept', 2_000, 'done').rules
    expect(told({ text: 'a record' })).to.deep.equal([])
    expect(told({ text: 'another' })).to.deep.equal(['damaged'])
    expect(told({ message: '0@1' })).to.include('invented')
  })
})
