import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { HttpMetrics } from '../../../src/http/server/request-log.js'

describe('http: metrics of requests', () => {
  it('are counts by API, method and status, and times in seconds', async () => {
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
