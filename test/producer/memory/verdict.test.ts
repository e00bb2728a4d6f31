import { expect } from 'chai'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { type HeadFacts, judge } from '../../../src/producer/memory/verdict.js'

const fresh: HeadFacts = {
  topic: 'orders',
  partition: 3,
  recordCount: 4,
  maybeWritten: false,
  isExpired: false,
  isDurable: false,
  isPromised: false
}
const rejected = (errorCode: number) => ({ type: 'rejected', errorCode }) as const
const lost = { type: 'unanswered', error: new Error('connection lost') } as const
const notSent = (
  reason: 'noLeader' | 'unknownTopic' | 'uncreatedTopic' | 'unknownPartition' | 'shuttingDown' | 'overloaded'
) => ({ type: 'notSent', reason, message: 'because' }) as const

describe('verdict on an answer', () => {
  it('takes an acknowledgement, whatever went before', () => {
    const answer = { type: 'appended', baseOffset: 12, logAppendTimeMs: -1 } as const
    const delivered = { type: 'delivered', baseOffset: 12, logAppendTimeMs: -1 }
    expect(judge(fresh, answer)).to.deep.equal(delivered)
    expect(judge({ ...fresh, maybeWritten: true, isExpired: true }, answer)).to.deep.equal(delivered)
  })

  it('takes a duplicate for a success without a known offset', () => {
    expect(judge(fresh, rejected(46))).to.deep.equal({ type: 'delivered', baseOffset: -1, logAppendTimeMs: -1 })
  })

  for (const code of [3, 5, 14, 19, 74, 75, 2]) {
    it(`tries again after ${code}, which certainly wrote nothing`, () => {
      expect(judge(fresh, rejected(code))).to.include({ type: 'retry', maybeWritten: false })
    })
  }

  for (const code of [6, 7, 20, 56, -1, 13, 9_999]) {
    it(`tries again after ${code}, which may have written it`, () => {
      expect(judge(fresh, rejected(code))).to.include({ type: 'retry', maybeWritten: true })
    })
  }

  it('stays uncertain when a 19 follows a 7: that does not mean "not written"', () => {
    expect(judge({ ...fresh, maybeWritten: true }, rejected(19))).to.include({ type: 'retry', maybeWritten: true })
  })

  it('tries again soon when there is a new leader to be found, and later when there is a trouble', () => {
    expect(judge(fresh, rejected(6))).to.include({ soon: true })
    expect(judge(fresh, lost)).to.include({ soon: true, maybeWritten: true })
    expect(judge(fresh, rejected(19))).to.include({ soon: false })
    expect(judge(fresh, notSent('noLeader'))).to.include({ soon: false, maybeWritten: false })
  })

  for (const code of [45, 47, 59]) {
    it(`restarts under the next epoch after ${code}`, () => {
      expect(judge(fresh, rejected(code)).type).to.equal('restart')
    })
  }

  for (const code of [10, 18, 87, 32]) {
    it(`finds out by halves which record is the trouble after ${code}`, () => {
      const lowersLimit = code === 10 || code === 18
      expect(judge(fresh, rejected(code))).to.deep.equal({ type: 'split', renumber: false, lowersLimit })
      const uncertain = judge({ ...fresh, maybeWritten: true }, rejected(code))
      expect(uncertain).to.deep.equal({ type: 'split', renumber: true, lowersLimit })
    })
  }

  it('fails a single record with what Kafka said', () => {
    const codes = [
      [10, 'recordTooLarge'],
      [18, 'recordTooLarge'],
      [17, 'invalidTopic'],
      [29, 'notAuthorized'],
      [87, 'recordRejected'],
      [42, 'kafka']
    ] as const
    for (const [errorCode, code] of codes) {
      const verdict = judge({ ...fresh, recordCount: 1 }, rejected(errorCode))
      expect(verdict).to.deep.include({ type: 'fail', renumber: false })
      expect(verdict).to.have.property('failure').that.deep.includes({ code, errorCode, persisted: 'no' })
    }
  })

  it('says why in the words of the broker, where it has some', () => {
    const words = 'One or more records have been rejected due to 1 record errors in total'
    const answer = { ...rejected(87), words }
    const refused = judge({ ...fresh, recordCount: 1 }, answer)
    expect(refused).to.have.nested.property('failure.message', `INVALID_RECORD (87): ${words}`)
    expect(judge(fresh, { ...rejected(19), words: 'too few' })).to.have.property(
      'reason',
      'NOT_ENOUGH_REPLICAS (19): too few'
    )
    for (const none of ['', undefined])
      expect(judge({ ...fresh, recordCount: 1 }, { ...answer, words: none! })).to.have.nested.property(
        'failure.message',
        'INVALID_RECORD (87): the broker refuses the record'
      )
  })

  it('does not make certain what was uncertain', () => {
    const verdict = judge({ ...fresh, maybeWritten: true }, rejected(29))
    expect(verdict).to.deep.include({ type: 'fail', renumber: true })
    expect(verdict).to.have.nested.property('failure.persisted', 'unknown')
  })

  it('gives up when the time is over, and raises the epoch if the batch may still turn up', () => {
    const certain = judge({ ...fresh, isExpired: true }, rejected(19))
    expect(certain).to.have.property('failure').that.includes({ code: 'timedOut', persisted: 'no' })
    expect(certain).to.include({ renumber: false })
    const uncertain = judge({ ...fresh, isExpired: true }, lost)
    expect(uncertain).to.have.property('failure').that.includes({ code: 'timedOut', persisted: 'unknown' })
    expect(uncertain).to.include({ renumber: true })
  })

  it('believes the Router that a topic is missing: it has been patient', () => {
    expect(judge(fresh, notSent('unknownTopic'))).to.have.nested.property('failure.code', 'unknownTopic')
    expect(judge(fresh, notSent('uncreatedTopic'))).to.have.nested.property('failure.code', 'unknownTopic')
    expect(judge({ ...fresh, isPromised: true }, notSent('uncreatedTopic')).type).to.equal('retry')
    expect(judge(fresh, notSent('unknownPartition'))).to.have.nested.property('failure.code', 'unknownPartition')
    expect(judge(fresh, notSent('noLeader')).type).to.equal('retry')
  })

  it('fails when the Router leaves', () => {
    expect(judge(fresh, notSent('shuttingDown'))).to.have.nested.property('failure.code', 'shuttingDown')
  })

  it('has a verdict for every code, and none of them gives up a batch nobody may have judged', () => {
    for (const code of [...Object.values(errorCodes), -77, 500, 32767]) {
      if (code === 0) continue
      const verdict = judge({ ...fresh, recordCount: 1 }, rejected(code))
      if (verdict.type === 'fail') expect(verdict.failure.persisted, String(code)).to.equal('no')
      if (verdict.type === 'retry') expect(verdict.reason, String(code)).to.contain(String(code))
    }
  })
})
