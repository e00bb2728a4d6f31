import { expect } from 'chai'
import { type FoundRecords, withCaveat } from '../../../src/http/status/record-question.js'
import type { Status } from '../../../src/http/status/status.js'
import { calm, calmTopic } from './calm.js'

const question = { by: 'key', topic: 'orders', key: 'k' } as const
const found = (verdict: FoundRecords['verdict']): FoundRecords => ({
  verdict,
  message: 'm',
  records: [],
  searched: [],
  notSearched: 0
})
const idle: Status = { ...calm, trouble: [] }
const withRow = (row: Partial<typeof calmTopic>): Status => ({
  ...idle,
  topics: { total: 1, rows: [{ ...calmTopic, ...row }] }
})

describe('the note on records that are not in Kafka, in the answer about a key,', () => {
  it('is absent while none waits and none is lost, and says nothing about other topics', () => {
    for (const verdict of ['yes', 'no'] as const) {
      expect(withCaveat(found(verdict), question, idle)).to.deep.equal(found(verdict))
      expect(withCaveat(found(verdict), question, withRow({ topic: 'bills' }))).to.deep.equal(found(verdict))
      expect(withCaveat(found(verdict), question, withRow({ cluster: 'other' }))).to.deep.equal(found(verdict))
    }
  })

  it('says that a newer record may wait, or that the record may still come', () => {
    const status = withRow({ log: { records: 154, bytesInMemory: 0 } })
    expect(withCaveat(found('yes'), question, status).caveat).to.equal(
      '156 records of topic orders wait in the gateway: a newer record with this key may not be in Kafka yet.'
    )
    expect(withCaveat(found('no'), question, status).caveat).to.equal(
      '156 records of topic orders wait in the gateway: the record may still come. Do not send it again yet.'
    )
    const receipt = { by: 'receipt', receipt: 'r' } as const
    expect(withCaveat(found('yes'), receipt, status)).not.to.have.property('caveat')
  })

  it('says why Kafka does not take the topic, and how many records are lost', () => {
    const none = { memory: { records: 0, bytes: 0, oldestAgeMs: 0 } }
    const refused = withRow({ ...none, state: 'refused', refusal: { code: 'notAuthorized', message: 'FAILED (29)' } })
    const loss = {
      cluster: 'default',
      api: 'kprf',
      topic: 'orders',
      reason: 'notAuthorized',
      message: 'FAILED (29)',
      records: 75,
      perSecond: 7,
      firstAgoMs: 9_000,
      lastAgoMs: 5_000
    }
    expect(withCaveat(found('yes'), question, { ...refused, losses: [loss, { ...loss, topic: 'x' }] }).caveat).to.equal(
      'Kafka refuses records of this topic now: FAILED (29). 75 accepted records of topic orders are lost, the last one 5 s ago: a record with this key may be among them.'
    )
    const stuck = withRow({
      ...none,
      state: 'stuck',
      troubled: [{ partition: 0, state: 'x', attempts: 1, leader: -1 }]
    })
    expect(withCaveat(found('yes'), question, stuck).caveat).to.equal(
      'Kafka does not take records of this topic now: a partition has no leader.'
    )
  })

  it('says that more topics wait than are listed', () => {
    const many = { ...idle, topics: { total: 60, rows: [] } }
    expect(withCaveat(found('no'), question, many).caveat).to.include(
      'Records of 60 more topics wait in the gateway; this one may be among them.'
    )
  })
})
