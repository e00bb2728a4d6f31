import { expect } from 'chai'
import { Downtime } from '../../../../src/apis/kafboy/ekaf/downtime.js'

function setUp(isReady = false) {
  const events: string[] = []
  const kafka = { isReady }
  const downtime = new Downtime({
    isReady: () => kafka.isReady,
    tell: ({ name, topic, records }) => events.push(`${name.slice('ekaf_callback_'.length)} ${topic} ${records}`)
  })
  const isRefused = (records: number, limit: number | undefined, topic = 't'): boolean =>
    downtime.refusalOf(topic, records, limit) !== undefined
  return { downtime, events, kafka, isRefused }
}

describe('ekaf: records of a downtime', () => {
  it('may be as many as the limit, of each topic; beyond it they are refused and the event tells how many wait', () => {
    const { downtime, events, isRefused } = setUp()
    expect([isRefused(3, 3), isRefused(4, 3)]).to.deep.equal([false, true])
    downtime.began('t', 2)
    expect([isRefused(1, 3), isRefused(2, 3), isRefused(3, 3, 'u')]).to.deep.equal([false, true, false])
    expect(events).to.deep.equal([
      'max_downtime_buffer_reached t 0',
      'downtime_saved t 2',
      'max_downtime_buffer_reached t 2'
    ])
    expect(downtime.refusalOf('t', 2, 3)).to.deep.include({ code: 'overloaded', persisted: 'no', retriable: true })
  })

  it('are not limited without a limit, nor while a broker can be reached', () => {
    const { events, kafka, isRefused } = setUp()
    expect(isRefused(1_000_000, undefined)).to.equal(false)
    kafka.isReady = true
    expect(isRefused(4, 3)).to.equal(false)
    expect(events).to.deep.equal([])
  })

  it('make room when their outcomes are known', () => {
    const { downtime, isRefused } = setUp()
    downtime.began('t', 2)
    downtime.began('t', 1)
    downtime.ended('t', 2)
    expect([isRefused(2, 3), isRefused(3, 3)]).to.deep.equal([false, true])
    downtime.ended('t', 1)
    expect(isRefused(3, 3)).to.equal(false)
  })

  it('count with those that came before it', () => {
    const { downtime, kafka, isRefused } = setUp(true)
    downtime.began('t', 2)
    kafka.isReady = false
    expect([isRefused(1, 3), isRefused(2, 3)]).to.deep.equal([false, true])
  })

  it('are told of as replayed once, when the first of them is settled after it', () => {
    const { downtime, events, kafka } = setUp(true)
    downtime.began('t', 1)
    kafka.isReady = false
    downtime.began('t', 2)
    downtime.began('t', 3)
    downtime.ended('t', 1)
    expect(events.splice(0)).to.deep.equal(['downtime_saved t 2', 'downtime_saved t 3'])
    kafka.isReady = true
    downtime.ended('t', 2)
    downtime.ended('t', 3)
    expect(events).to.deep.equal(['downtime_replayed t 5'])
  })

  it('are not told of where there was none', () => {
    const { downtime, events } = setUp(true)
    downtime.began('t', 2)
    downtime.ended('t', 2)
    expect(events).to.deep.equal([])
  })
})
