import { expect } from 'chai'
import { type Delivery, QueueHistory, type QueueWord, type Told } from './queue-history.js'

describe('the history of a queue', () => {
  let history: QueueHistory
  beforeEach(() => {
    history = new QueueHistory()
    history.written('m')
  })

  const given = (count: number, askedAt: number, at = askedAt): Delivery => history.given('m', { count, askedAt, at })
  const tell = (to: Delivery, word: QueueWord, outcome: Told['outcome'], at: number, isArchived = false): void => {
    to.told.push({ word, outcome, isArchived, sentAt: at, at })
  }
  const problems = (end: { logged?: string; deadLetters?: readonly string[] } = {}): readonly string[] => {
    const logged = new Map(end.logged === undefined ? [] : [['m', [end.logged]]])
    const { problems: found } = history.verdict({ deliveryLimit: 10, logged, deadLetters: end.deadLetters })
    return found.map(text => text.replace(/: \d.*/, ''))
  }

  it('is fine where a message is released by one client, and accepted by the next one', () => {
    const first = given(1, 1)
    tell(first, 'release', 'done', 2)
    tell(first, 'accept', 'lost', 6)
    tell(given(2, 3), 'accept', 'done', 4)
    expect(problems()).to.deep.equal([])
  })

  it('is fine where a message is accepted again after an answer that did not come', () => {
    tell(given(1, 1), 'accept', 'none', 2)
    tell(given(2, 3), 'accept', 'done', 4)
    expect(problems()).to.deep.equal([])
  })

  it('names a message that two clients have settled', () => {
    const [first, second] = [given(1, 1, 5), given(2, 2, 5)]
    tell(first, 'accept', 'done', 6)
    tell(second, 'reject', 'done', 7)
    expect(problems()).to.deep.equal(['m was settled by several clients'])
  })

  it('names a message that is offered after it was settled', () => {
    tell(given(1, 1), 'accept', 'done', 2)
    given(2, 3)
    expect(problems()).to.deep.equal(['m was offered after it was settled'])
  })

  it('names a token that settles a message which another client has got since', () => {
    const stale = given(1, 1)
    given(2, 3)
    tell(stale, 'accept', 'done', 5)
    expect(problems()).to.deep.equal(['m was settled by a stale token (accept)'])
  })

  it('names a token that settles its message twice', () => {
    const first = given(1, 1)
    tell(first, 'release', 'done', 2)
    tell(first, 'accept', 'done', 3)
    expect(problems()).to.deep.equal(['m was settled twice by one token (accept)'])
  })

  it('names messages that are missing: never given, or told to be offered again', () => {
    expect(problems()).to.deep.equal(['m is missing: '])
    tell(given(1, 1), 'accept', 'lost', 2)
    expect(problems()).to.deep.equal(['m is missing'])
    expect(problems({ logged: 'its lock has ended' })).to.deep.equal([])
  })

  it('names deliveries that nobody has seen, where no fault and no client that went away explains them', () => {
    tell(given(3, 10), 'accept', 'done', 11)
    expect(problems()).to.deep.equal(['m has 2 deliveries that nothing explains'])
    history.unseen({ from: 1, to: 12, isFault: false })
    expect(problems()).to.deep.equal(['m has 2 deliveries that nothing explains'])
    history.unseen({ from: 2, to: 5, isFault: true })
    expect(problems()).to.deep.equal(['m has 2 deliveries that nothing explains'])
    history.unseen({ from: 3, to: 6, isFault: true })
    expect(problems()).to.deep.equal([])
  })

  it('names dead letters that are missing, and those of messages that were not given up', () => {
    const one = given(1, 1)
    tell(one, 'accept', 'unknown', 2)
    expect(problems({ deadLetters: [] })).to.deep.equal([])
    expect(problems({ deadLetters: ['m'] })).to.deep.equal(['m is a dead letter for no reason'])
    const next = given(2, 3)
    tell(next, 'reject', 'done', 4)
    expect(problems({ deadLetters: ['m', 'm'] })).to.deep.equal([])
    expect(problems({ deadLetters: [] })).to.deep.equal(['m is no dead letter'])
    history.unseen({ from: 5, to: 6, isFault: true })
    expect(problems({ deadLetters: [] })).to.deep.equal(['m is no dead letter'])
    history.unseen({ from: 2, to: 3, isFault: true })
    expect(problems({ deadLetters: [] })).to.deep.equal([])
  })
})
