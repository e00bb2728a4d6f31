import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import { counterFamily, durationFamily, gaugeFamily } from '../../../src/core/metrics/family.js'
import { DurationMeter, Histogram, Meter } from '../../../src/core/metrics/meter.js'
import { createPrometheusMetrics, registerFamily } from '../../../src/core/metrics/prometheus.js'
import {
  MAX_DATAGRAM_BYTES,
  registrySource,
  StatsdReporter,
  type StatsdValue,
  statsdLine,
  toDatagrams
} from '../../../src/core/metrics/statsd.js'

const gauge = (name: string, value: number): StatsdValue => ({ name, value, type: 'g' })
const byName = (values: readonly StatsdValue[]): Record<string, number> =>
  Object.fromEntries(values.map(({ name, value }) => [name, value]))

describe('StatsD', () => {
  it('writes lines that every server reads', () => {
    expect(statsdLine({ name: 'a.b', value: 3, type: 'c' })).to.equal('a.b:3|c')
    expect(statsdLine({ name: 'a:b|c@d e\n', value: -0.25, type: 'ms' })).to.equal('a_b_c_d_e_:-0.25|ms')
    expect(statsdLine(gauge('small', 1e-9))).to.equal('small:0|g')
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(statsdLine(gauge('x', value))).to.equal(undefined)
    }
  })

  it('fills datagrams with whole lines, and leaves out a line that fits none', () => {
    const values = Array.from({ length: 500 }, (_, i) => gauge(`some.metric.number.${i}`, i))
    const datagrams = [...toDatagrams([gauge('x'.repeat(2_000), 1), ...values])]
    expect(datagrams.every(datagram => Buffer.byteLength(datagram) <= MAX_DATAGRAM_BYTES)).to.equal(true)
    expect(datagrams.join('\n').split('\n')).to.deep.equal(values.map(value => statsdLine(value)))
    expect(datagrams.length).to.be.below(12)
    expect([...toDatagrams([])]).to.deep.equal([])
  })

  it('tells a registry: gauges as they are, counters and histograms by what came', async () => {
    const { registry } = createPrometheusMetrics()
    const requests = counterFamily('castellan_http_requests_total', 'x')
    const open = gaugeFamily('castellan_http_connections', 'x')
    const seconds = durationFamily('other_seconds', 'x')
    for (const family of [requests, open]) registerFamily(registry, family)
    registerFamily(registry, seconds)
    const source = registrySource(registry)
    const cell = requests.series({ method: 'POST', api: 'k.prf' })
    cell.value = 5
    open.series({}).value = 2
    seconds.series({}).observe(1.5)
    expect(byName([...(await source())])).to.deep.equal({
      'castellan.http_requests_total.k_prf.POST': 5,
      'castellan.http_connections': 2,
      other_seconds_sum: 1.5,
      other_seconds_count: 1
    })
    cell.value = 7
    const later = [...(await source())]
    expect(byName(later)).to.include({ 'castellan.http_requests_total.k_prf.POST': 2, 'castellan.http_connections': 2 })
    expect(later.map(({ type }) => type).sort()).to.deep.equal(['c', 'c', 'c', 'g'])
  })

  it('has rates that follow what happens, the longer ones more slowly', () => {
    const meter = new Meter(0)
    meter.count = 100
    expect(byName(meter.toValues('m', 10_000))).to.deep.include({ 'm.count': 100, 'm.m1_rate': 10, 'm.m15_rate': 10 })
    const idle = byName(meter.toValues('m', 70_000))
    expect(idle['m.m1_rate']).to.be.closeTo(10 * Math.exp(-1), 1e-9)
    expect(idle['m.m15_rate']).to.be.closeTo(10 * Math.exp(-1 / 15), 1e-9)
    expect(idle['m.mean_rate']).to.be.closeTo(100 / 70, 1e-9)
  })

  it('has percentiles of the last measurements', () => {
    const histogram = new Histogram()
    expect(byName(histogram.toValues('h'))).to.include({ 'h.count': 0, 'h.max': 0, 'h.p99': 0 })
    for (let value = 0; value < 5_000; value++) histogram.observe(value)
    const values = byName(histogram.toValues('h'))
    expect(values).to.include({ 'h.count': 5_000, 'h.max': 4_999, 'h.min': 3_976 })
    expect(values['h.p50']).to.be.closeTo(4_488, 2)
    const timer = new DurationMeter(0)
    timer.observe(20)
    expect(byName(timer.toValues('t', 1_000))).to.include({ 't.count': 1, 't.max': 20, 't.stddev': 0, 't.m1_rate': 1 })
  })

  it('goes out by UDP once per interval, and a last time at the end', async () => {
    const server = createSocket('udp4')
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const reporter = new StatsdReporter({ host: '127.0.0.1', port, intervalMs: 20 }, () => undefined)
    let count = 0
    reporter.add(() => [{ name: 'one', value: ++count, type: 'c' }])
    reporter.add(async () => [{ name: 'two', value: 2, type: 'g' }])
    const [first] = (await once(server, 'message')) as [Buffer]
    expect(first.toString()).to.equal('one:1|c\ntwo:2|g')
    const [second] = (await once(server, 'message')) as [Buffer]
    expect(second.toString()).to.equal('one:2|c\ntwo:2|g')
    const before = count
    await reporter.close()
    expect(count).to.equal(before + 1)
    server.close()
  })

  it('says once that a server cannot be found, or that a source throws', async () => {
    const messages: string[] = []
    const target = { host: 'no-such-host.invalid', port: 1, intervalMs: 3_600_000 }
    const reporter = new StatsdReporter(target, (_, message) => messages.push(message))
    reporter.add(() => [gauge('x', 1)])
    await reporter.report()
    reporter.add(() => {
      throw new Error('a bug')
    })
    await reporter.report()
    await reporter.close()
    expect(messages).to.deep.equal(['metrics cannot be sent to the StatsD server no-such-host.invalid:1'])
  })
})
