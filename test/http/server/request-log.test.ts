import { expect } from 'chai'
import { RequestLog } from '../../../src/http/server/request-log.js'
import { type LogLine, recordingLogger } from './stage.js'

const failed = { requestId: 'a', method: 'POST', route: '/push', status: 503, durationMs: 1 }

describe('RequestLog', () => {
  it('has a line for failures and slow requests only', () => {
    const log = new RequestLog(recordingLogger([]), () => 0)
    expect(log.wants(200, 4_999)).to.equal(false)
    expect(log.wants(404, 4_999)).to.equal(false)
    expect(log.wants(200, 5_000)).to.equal(true)
    expect(log.wants(500, 0)).to.equal(true)
  })

  it('writes ten lines in ten seconds, then counts, then tells the count', () => {
    let now = 0
    const lines: LogLine[] = []
    const log = new RequestLog(recordingLogger(lines), () => now)
    for (let i = 0; i < 1_000; i++) log.answered(failed)
    expect(lines).to.have.length(10)
    now = 9_999
    log.answered(failed)
    expect(lines).to.have.length(10)
    now = 10_000
    log.answered(failed)
    expect(lines).to.have.length(12)
    expect(lines[10]!.fields).to.deep.equal({ count: 991 })
    now = 19_999
    for (let i = 0; i < 12; i++) log.answered(failed)
    expect(lines).to.have.length(21)
    now = 20_000
    log.answered(failed)
    expect(lines[21]!.fields).to.deep.equal({ count: 3 })
    now = 30_000
    log.answered(failed)
    expect(lines, 'nothing was left out').to.have.length(24)
  })
})
