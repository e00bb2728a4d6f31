import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { metricMeanings } from '../../../src/core/metrics/metric-names.js'

/** Rows of docs/metrics.md: name, type, labels, meaning. */
const rows = [
  ...readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(castellan_\w+)` \| (\w+) \| (.*?) ?\| (.*) \|$/gm)
]

describe('docs/metrics.md', () => {
  it('has every metric the rooms report, in its words', () => {
    for (const [name, meaning] of metricMeanings) {
      const base = `castellan_${name.replace('.', '_')}`
      const row = rows.find(([, exported]) => [base, `${base}_total`, `${base}_seconds`].includes(exported!))
      expect(row?.[4], name).to.equal(meaning)
    }
  })

  it('has no metric of Router, dispatchers, delivery, durable log, groups, queues or peers that is not reported', () => {
    const known = [...metricMeanings.keys()].map(name => `castellan_${name.replace('.', '_')}`)
    const rooms = rows
      .map(([, name]) => name!)
      .filter(name =>
        /^castellan_(router_|kafka_dispatcher_|delivery_|durable_|wal_|groups_|queues_|peers_|http_admission_wait|http_idempoten)/.test(
          name
        )
      )
    expect(
      rooms.filter(name => !known.includes(name) && !known.includes(name.replace(/_(total|seconds)$/, '')))
    ).to.deep.equal([])
    expect(rooms).to.have.length(known.length)
  })

  it('names the type that the ending stands for', () => {
    for (const [, name, type] of rows) {
      const isDuration =
        name!.endsWith('_seconds') && !/_(age|ahead|delay|timestamp|oldest_open|retention|failing)_seconds$/.test(name!)
      const expected = name!.endsWith('_total') ? 'counter' : isDuration ? 'histogram' : 'gauge'
      expect(type, name).to.equal(expected)
    }
  })
})
