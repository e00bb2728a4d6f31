import { expect } from 'chai'
import { silentLogger } from '../../src/core/model.js'
import { RecentLines } from '../../src/core/recent-lines.js'
import { RefusalCounts } from '../../src/core/refusals.js'

describe('refusals', () => {
  it('are counted by reason and by setting, whatever the message says', () => {
    let now = 10
    const refusals = new RefusalCounts(() => now)
    const full = { code: 'overloaded', setting: 'delivery.maxBytes' } as const
    refusals.note({ ...full, message: 'the buffer is full (limit 64; delivery.maxBytes)' })
    now = 20
    refusals.note({ ...full, message: 'there is no room' }, 3)
    // Clients choose some names of topics and principals.
    const message = 'the topic (http.maxBodyBytes) may not be written (wal.maxBytes)'
    refusals.note({ code: 'forbidden', setting: 'access.rules', message })
    refusals.note({ code: 'unknownTopic', message })
    expect(
      refusals.all().map(({ reason, setting, count, lastAt, message }) => [reason, setting, count, lastAt, message])
    ).to.deep.equal([
      ['overloaded', 'delivery.maxBytes', 4, 20, 'there is no room'],
      ['forbidden', 'access.rules', 1, 20, message],
      ['unknownTopic', undefined, 1, 20, message]
    ])
  })

  it('are bounded: what is beyond is counted together', () => {
    const refusals = new RefusalCounts(() => 0)
    for (let of = 0; of < 200; of++)
      refusals.note({ code: 'overloaded', setting: `setting-${of}`, message: 'm'.repeat(1_000) })
    const all = refusals.all()
    expect(all).to.have.length(101)
    expect(all[100]).to.include({ reason: 'other', count: 100 })
    expect(all[0]!.message.length).to.be.below(300)
  })
})

describe('the last lines of the log', () => {
  it('are warnings and errors, each as often as it was written, without other fields', () => {
    let now = 0
    const lines = new RecentLines(() => ++now)
    const log = lines.of(silentLogger)
    log.info({}, 'all is well')
    log.warn({ topic: 'orders', partition: 3, key: 'secret' }, 'kafka does not take a batch yet')
    log.error({ worker: 2 }, 'something has ended')
    log.warn({ topic: 'orders', partition: 4 }, 'kafka does not take a batch yet')
    expect(JSON.stringify(lines.all())).not.to.include('secret')
    expect(
      lines.all().map(({ level, message, count, lastAt, topic }) => [level, message, count, lastAt, topic])
    ).to.deep.equal([
      ['error', 'something has ended', 1, 2, undefined],
      ['warn', 'kafka does not take a batch yet', 2, 3, 'orders']
    ])
  })

  it('are bounded, and escaped', () => {
    const lines = new RecentLines(() => 0)
    const log = lines.of(silentLogger)
    for (let line = 0; line < 100; line++) log.warn({}, `line ${line}\u001b[2J${'x'.repeat(1_000)}`)
    expect(lines.all()).to.have.length(50)
    expect(lines.all()[0]!.message).to.match(/^line 50\\u001b\[2J/)
  })
})

describe('requests that were answered 5xx', () => {
  it('are counted by API, status and reason, with the rate of the last seconds, and are bounded', () => {
    let now = 0
    const refusals = new RefusalCounts(() => now)
    for (; now < 5_000; now += 500) refusals.answered('kprf', 500, 'timedOut')
    refusals.answered('__proto__', 503)
    expect(refusals.answers()).to.deep.equal([
      { api: 'kprf', status: 500, reason: 'timedOut', count: 10, lastAt: 4_500, perSecond: 2 },
      { api: '__proto__', status: 503, reason: 'unknown', count: 1, lastAt: 5_000, perSecond: 1 }
    ])
    now = 60_000
    expect(refusals.answers().map(({ perSecond }) => perSecond)).to.deep.equal([0, 0])
    for (let code = 0; code < 200; code++) refusals.answered('kprf', 500, `code-${code}`)
    expect(refusals.answers()).to.have.length(101)
  })

  it('do not count as records, and records not as requests', () => {
    const refusals = new RefusalCounts(() => 0)
    refusals.note({ code: 'overloaded', message: 'full' })
    refusals.note({ code: 'overloaded', message: 'full' }, 3, 'records')
    expect(refusals.all().map(({ what, count }) => [what, count])).to.deep.equal([
      ['requests', 1],
      ['records', 3]
    ])
  })
})
