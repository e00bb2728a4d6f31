import { expect } from 'chai'
import type { Delivery, QueueWord } from './queue-events.js'
import { QueueHistory } from './queue-history.js'

describe('the history of a queue on real Kafka', () => {
  let history: QueueHistory
  beforeEach(() => {
    history = new QueueHistory()
    history.written('m')
  })

  const given = (deliveryCount: number, askedAt: number, at = askedAt): Delivery => {
    const told = { message: 'm', token: `token ${deliveryCount}`, gateway: 'left', deliveryCount, askedAt, at }
    history.acquired(told)
    return told
  }
  /** @param outcome absent: there is no answer */
  const tell = ({ token }: Delivery, word: QueueWord, outcome: string | undefined, at: number): void => {
    history.said({ token, word, gateway: 'left', sentAt: at, answeredAt: at, outcome })
  }
  const disturbed = (from: number, to: number, ends: 'nothing' | 'process'): void =>
    history.disturbed({ from, to, unseen: 1, ends })
  const problems = (deadLetters?: readonly string[]): readonly string[] => {
    const end = { deliveryLimit: 10, transitMs: 30_000, locksEndUnheard: false, mostUnseen: 2, deadLetters }
    return history.verdict(end).problems.map(({ rule }) => rule)
  }

  it('is fine where a message is released by one client, and accepted by the next one', () => {
    const first = given(1, 1)
    tell(first, 'release', 'done', 2)
    tell(first, 'accept', 'lost', 6)
    tell(given(2, 3), 'accept', 'done', 4)
    expect(problems()).to.deep.equal([])
  })

  it('is fine where a message is accepted again after an answer that did not come', () => {
    tell(given(1, 1), 'accept', undefined, 2)
    tell(given(2, 3), 'accept', 'done', 4)
    expect(problems()).to.deep.equal([])
  })

  it('names a message that two clients have settled', () => {
    const [first, second] = [given(1, 1, 5), given(2, 2, 5)]
    tell(first, 'accept', 'done', 6)
    tell(second, 'reject', 'done', 7)
    expect(problems()).to.deep.equal(['settled twice'])
  })

  it('names a message that is offered after it was settled', () => {
    tell(given(1, 1), 'accept', 'done', 2)
    given(2, 3)
    expect(problems()).to.deep.equal(['given again'])
  })

  it('names a token that settles a message which another client has got since', () => {
    const stale = given(1, 1)
    given(2, 3)
    tell(stale, 'accept', 'done', 5)
    expect(problems()).to.deep.equal(['stale token'])
  })

  it('names a token that settles its message twice', () => {
    const first = given(1, 1)
    tell(first, 'release', 'done', 2)
    tell(first, 'accept', 'done', 3)
    expect(problems()).to.deep.equal(['another word'])
  })

  it('names messages that are missing: never given, or told to be offered again', () => {
    expect(problems()).to.deep.equal(['missing'])
    tell(given(1, 1), 'accept', 'lost', 2)
    expect(problems()).to.deep.equal(['missing'])
    history.archived('m', Number.POSITIVE_INFINITY, 'its lock has ended')
    expect(problems()).to.deep.equal([])
  })

  it('names deliveries that nobody has seen, where no fault and no client that went away explains them', () => {
    tell(given(3, 10), 'accept', 'done', 11)
    expect(problems()).to.deep.equal(['unexplained deliveries'])
    disturbed(1, 12, 'nothing')
    expect(problems()).to.deep.equal(['unexplained deliveries'])
    disturbed(2, 5, 'process')
    expect(problems()).to.deep.equal(['unexplained deliveries'])
    disturbed(3, 6, 'process')
    expect(problems()).to.deep.equal([])
  })

  it('names dead letters that are missing, and those of messages that were not given up', () => {
    const one = given(1, 1)
    tell(one, 'accept', 'unknown', 2)
    expect(problems([])).to.deep.equal([])
    expect(problems(['m'])).to.deep.equal(['dead letter for no reason'])
    const next = given(2, 3)
    tell(next, 'reject', 'done', 4)
    expect(problems(['m', 'm'])).to.deep.equal([])
    expect(problems([])).to.deep.equal(['no dead letter'])
    disturbed(5, 6, 'process')
    expect(problems([])).to.deep.equal(['no dead letter'])
    disturbed(2, 3, 'process')
    expect(problems([])).to.deep.equal([])
  })
})
