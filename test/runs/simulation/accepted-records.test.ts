import { expect } from 'chai'
import { AcceptedRecords } from './accepted-records.js'

const LOST = { type: 'unknown', answered: true, isAssumed: true }
const THERE = { type: 'ok' }

function recordsOf(...sent: readonly (readonly [id: string, producer: string, sentAt: number])[]): AcceptedRecords {
  const records = new AcceptedRecords()
  for (const [id, producer, sentAt] of sent) records.answered({ id, producer, sentAt, isPending: true })
  return records
}

const inKafka =
  (...ids: readonly string[]) =>
  (id: string): boolean =>
    ids.includes(id)

describe('simulation: records that a gateway has accepted', () => {
  it('have to be in Kafka while its process lives', () => {
    expect(recordsOf(['a', 'x', 1]).outcomes(inKafka()).get('a')).to.deep.equal(THERE)
  })

  it('may be lost with the process that took them', () => {
    const records = recordsOf(['a', 'x', 1])
    records.ended(5)
    expect(records.outcomes(inKafka()).get('a')).to.deep.equal(LOST)
  })

  it('have to be in Kafka when they were sent after the end', () => {
    const records = recordsOf(['a', 'x', 6])
    records.ended(5)
    expect(records.outcomes(inKafka()).get('a')).to.deep.equal(THERE)
  })

  it('were in Kafka before the end when a later one of their partition is', () => {
    const records = recordsOf(['a', 'x', 1], ['b', 'y', 2], ['c', 'x', 3])
    records.ended(5)
    const outcomes = records.outcomes(inKafka('c'))
    expect([...outcomes]).to.deep.equal([
      ['a', THERE],
      ['c', THERE],
      ['b', LOST]
    ])
  })

  it('may be lost although the next process has brought a later one to Kafka', () => {
    const records = recordsOf(['a', 'x', 1], ['b', 'x', 6])
    records.ended(5)
    records.ended(9)
    expect(records.outcomes(inKafka('b')).get('a')).to.deep.equal(LOST)
  })

  it('may be lost in no greater number than the process has told', () => {
    const records = recordsOf(['a', 'x', 1], ['b', 'y', 2])
    records.ended(5, 1)
    expect([...records.outcomes(inKafka()).values()]).to.deep.equal([LOST, THERE])
  })

  it('are told apart from those whose outcome was answered', () => {
    const records = recordsOf(['a', 'x', 1])
    records.answered({ id: 'b', producer: 'x', sentAt: 2, isPending: false })
    records.ended(5)
    expect([...records.outcomes(inKafka('b'))]).to.deep.equal([['a', THERE]])
  })
})
