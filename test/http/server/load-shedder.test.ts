import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { createPrometheusMetrics, type PrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type LoadLimits, LoadShedder } from '../../../src/http/server/load-shedder.js'
import { type LogLine, recordingLogger } from './stage.js'

describe('load shedding of the process', () => {
  let clock: SinonFakeTimers
  /** By so much the event loop is late each time. */
  let delayMs: number
  let lateMs: number
  let heapShare: number
  let lines: LogLine[]
  let shedder: LoadShedder
  let metrics: PrometheusMetrics

  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] })
    delayMs = lateMs = 0
    heapShare = 0.1
    lines = []
    shedder = shedderWith({ maxEventLoopDelayMs: 500, maxHeapShare: 0.9 }, () => heapShare)
  })
  afterEach(() => {
    shedder.close()
    clock.restore()
  })

  const shedderWith = (limits: LoadLimits, heapShareOf?: () => number): LoadShedder => {
    metrics = createPrometheusMetrics()
    const clock = (): number => performance.now() + lateMs
    return new LoadShedder(limits, {
      metrics,
      log: recordingLogger(lines),
      clock,
      ...(heapShareOf && { heapShare: heapShareOf })
    })
  }

  /** Requests come all the time; returns the share of them that was refused. */
  const pass = (seconds: number): number => {
    let refused = 0
    for (let at = 0; at < seconds * 10; at++) {
      lateMs += delayMs
      clock.tick(100)
      for (let more = 0; more < 10; more++) if (shedder.refusal() !== undefined) refused++
    }
    return refused / (seconds * 100)
  }
  const metric = async (name: string): Promise<number> => {
    const text = await metrics.registry.metrics()
    return Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1])
  }

  it('refuses nothing because of a single pause, however long', () => {
    shedder.refusal()
    pass(2)
    lateMs += 5_000
    expect(pass(10)).to.equal(0)
  })

  it('refuses a growing share while the event loop is late all the time, and less and less when it has recovered', () => {
    delayMs = 700
    const shares = Array.from({ length: 8 }, () => pass(0.2))
    expect(shares).to.deep.equal([...shares].sort((a, b) => a - b))
    expect([shares[0]! < 0.5, shares.at(-1)]).to.deep.equal([true, 1])
    delayMs = 10
    expect(pass(2)).to.be.within(0.2, 0.9)
    pass(10)
    expect(pass(5)).to.equal(0)
    expect(lines.map(({ level }) => level)).to.deep.equal(['warn', 'info'])
  })

  it('holds what it does while the delay is between the limit and a half of it', () => {
    delayMs = 700
    pass(2)
    delayMs = 400
    pass(2)
    const [before, after] = [pass(5), pass(5)]
    expect(before).to.be.greaterThan(0)
    expect(after).to.equal(before)
  })

  it('says whether event loop or heap is the cause and which setting decides, and counts', async () => {
    const before = await metric('castellan_http_shed_requests_total')
    heapShare = 0.95
    pass(3)
    expect(shedder.refusal()!.message).to.contain('90 % full (advanced.http.maxHeapShare)')
    heapShare = 0.1
    pass(3)
    delayMs = 700
    pass(5)
    const error = shedder.refusal()!
    expect(error.code).to.equal('overloaded')
    expect(error.message).to.contain('500 ms (advanced.http.maxEventLoopDelayMs)')
    expect(lines.map(({ level }) => level)).to.deep.equal(['warn', 'info', 'warn'])
    expect(await metric('castellan_http_shed_requests_total')).to.be.greaterThan(before)
    expect(await metric('castellan_event_loop_delay_seconds')).to.equal(0.7)
    delayMs = 20
    pass(3)
    expect(await metric('castellan_event_loop_delay_seconds'), 'of each second anew').to.be.closeTo(0.02, 1e-9)
  })

  it('refuses everything while the heap is nearly full, until it is well below the limit', () => {
    heapShare = 0.95
    pass(2)
    expect(pass(1)).to.equal(1)
    heapShare = 0.85
    expect(pass(3)).to.equal(1)
    heapShare = 0.7
    pass(1)
    expect(pass(2)).to.equal(0)
  })

  it('can be switched off', () => {
    shedder.close()
    shedder = shedderWith({ maxEventLoopDelayMs: 0, maxHeapShare: 1 }, () => 1)
    delayMs = 5_000
    expect(pass(10)).to.equal(0)
  })

  it('wakes nobody while no requests come', () => {
    pass(3)
    clock.tick(5_000)
    expect(clock.countTimers()).to.equal(0)
    shedder.refusal()
    expect(clock.countTimers()).to.equal(1)
  })

  it('watches without a gap while requests come', () => {
    shedder.refusal()
    shedder.refusal()
    clock.tick(1_000)
    expect(clock.countTimers()).to.equal(1)
    clock.tick(1_000)
    expect(clock.countTimers(), 'none came within the last second').to.equal(0)
  })

  it('goes on watching without requests until it has recovered: the next request is not refused', () => {
    delayMs = 700
    pass(5)
    delayMs = 0
    clock.tick(20_000)
    expect(shedder.refusal()).to.equal(undefined)
    expect(lines.at(-1)).to.include({ level: 'info' })
    expect(lines.at(-1)!.message).to.contain('recovered')
  })

  it('refuses a quarter more of the requests with each judgement, spread evenly', () => {
    delayMs = 700
    const judgeOnce = (): void => {
      const judgements = lines.length
      shedder.refusal()
      while (lines.length === judgements) {
        lateMs += delayMs
        clock.tick(100)
      }
    }
    judgeOnce()
    // One of those before was refused already or is owed.
    const refused = Array.from({ length: 12 }, () => shedder.refusal() !== undefined)
    expect(refused.filter(Boolean)).to.have.length(3)
    const every = refused.flatMap((isRefused, at) => (isRefused ? [at % 4] : []))
    expect(new Set(every).size, `${refused}`).to.equal(1)
  })

  it('judges when a second is over and it has looked twice, not later', () => {
    delayMs = 700
    shedder.refusal()
    const linesAfter = (): number => {
      lateMs += delayMs
      clock.tick(100)
      return lines.length
    }
    expect([linesAfter(), linesAfter()]).to.deep.equal([0, 1])
  })

  it('judges nothing before a second is over', () => {
    shedder.close()
    shedder = shedderWith({ maxEventLoopDelayMs: 50, maxHeapShare: 1 })
    shedder.refusal()
    for (let at = 0; at < 6; at++) {
      lateMs += 60
      clock.tick(100)
    }
    expect(lines).to.deep.equal([])
    lateMs += 60
    clock.tick(100)
    expect(lines).to.have.length(1)
  })

  it('takes the limits as the last values that are borne', () => {
    delayMs = 500
    expect(pass(10)).to.equal(0)
    heapShare = 0.9
    expect(pass(5)).to.equal(0)
    heapShare = 0.85
    expect(pass(5), 'within the slack, and never full before').to.equal(0)
  })

  it('takes the least of what the heap held within a second: the rest may be garbage', () => {
    let at = 0
    shedder.close()
    shedder = shedderWith({ maxEventLoopDelayMs: 500, maxHeapShare: 0.9 }, () => (++at % 5 === 0 ? 0.2 : 0.99))
    expect(pass(10)).to.equal(0)
  })

  it('measures the heap of this process where nothing else is said', () => {
    const refusedWith = (maxHeapShare: number): number => {
      shedder.close()
      shedder = shedderWith({ maxEventLoopDelayMs: 0, maxHeapShare })
      pass(2)
      return pass(1)
    }
    expect([refusedWith(0.0001), refusedWith(0.9999)]).to.deep.equal([1, 0])
    expect(lines[0]!.message).to.contain('advanced.http.maxHeapShare')
  })
})
