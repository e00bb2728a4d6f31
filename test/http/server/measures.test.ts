import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { BodyBudget } from '../../../src/http/server/client-addresses.js'
import { HttpMetrics } from '../../../src/http/server/request-log.js'

describe('http: room for bodies', () => {
  it('is granted to the last byte, and given back', () => {
    const gauge = { value: 0 }
    const budget = new BodyBudget(100, gauge as never)
    expect([budget.take(60, 0), budget.take(40, 0), budget.take(1, 0)]).to.deep.equal([true, true, false])
    expect(gauge.value).to.equal(100)
    expect(budget.error.message).to.contain('100 bytes').and.to.contain('http.maxBodiesInFlightBytes')
    budget.give(40)
    expect(gauge.value).to.equal(60)
    expect([budget.hasCapacity(41, 0), budget.hasCapacity(40, 0)]).to.deep.equal([false, true])
  })

  it('is there for a single body of any size, and only as long as it is the only one', () => {
    const budget = new BodyBudget(100, { value: 0 } as never)
    expect([budget.take(80, 0), budget.take(80, 80)]).to.deep.equal([true, true])
    expect(budget.take(1, 0)).to.equal(false)
    budget.give(160)
    budget.take(1, 0)
    expect(budget.take(100, 0)).to.equal(false)
  })
})

describe('http: metrics of requests', () => {
  it('tell counts by API, method and status, and times in seconds', async () => {
    const prometheus = createPrometheusMetrics()
    const metrics = new HttpMetrics(prometheus)
    metrics.answered('kprf', 'POST', 200, 500, 250)
    metrics.answered('kprf', 'POST', 200, 1_500, undefined)
    metrics.answered('kprf', 'POST', 'aborted', 0, undefined)
    metrics.answered('kprf', 'GET', 200, 0, undefined)
    metrics.answered('kprf', 'POST', 'aborted', 0, undefined)
    metrics.answered('arion', 'POST', 200, 0, undefined)
    metrics.answered('kprf', 'POST', 200, 0, undefined)
    const text = await prometheus.registry.metrics()
    const sampleOf = (name: string, ...labels: string[]): number => {
      const lines = text
        .split('\n')
        .filter(line => line.startsWith(name) && labels.every(label => line.includes(label)))
      expect(lines, `${name} ${labels}`).to.have.length(1)
      return Number(lines[0]!.split(' ').at(-1))
    }
    const requests = (...labels: string[]): number => sampleOf('castellan_http_requests_total', ...labels)
    expect(requests('api="kprf"', 'method="POST"', 'status="200"')).to.equal(3)
    expect(requests('api="kprf"', 'method="GET"')).to.equal(1)
    expect(requests('status="aborted"')).to.equal(2)
    expect(requests('api="arion"')).to.equal(1)
    const [durations, bodies] = [...text.matchAll(/^(\S+_seconds)_sum\{api="kprf"(?:,method="POST")?\} (\S+)$/gm)]
      .map(([, name, sum]) => [name, Number(sum)])
      .sort((a, b) => Number(b[1]) - Number(a[1]))
    expect([durations![1], bodies![1]]).to.deep.equal([2, 0.25])
    expect(sampleOf(`${bodies![0]}_count`, 'api="kprf"')).to.equal(1)
  })
})
