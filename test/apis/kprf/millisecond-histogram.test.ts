import { expect } from 'chai'
import { MillisecondHistogram } from '../../../src/apis/kprf/millisecond-histogram.js'

describe('kprf: durations in milliseconds', () => {
  it('are counted in each bucket whose bound they do not exceed, and summed up', () => {
    const histogram = new MillisecondHistogram()
    for (const durationMs of [0, 5, 5.5, 10, 40.1, 80, 80.5]) histogram.observe(durationMs)
    histogram.observe(30, 2)
    const values = histogram.toValues('duration', { topic: 't' })
    expect(values.map(({ labels, value, metricName }) => [metricName, labels, value])).to.deep.equal([
      ['duration_bucket', { topic: 't', le: 5 }, 2],
      ['duration_bucket', { topic: 't', le: 10 }, 4],
      ['duration_bucket', { topic: 't', le: 20 }, 4],
      ['duration_bucket', { topic: 't', le: 40 }, 6],
      ['duration_bucket', { topic: 't', le: 80 }, 8],
      ['duration_bucket', { topic: 't', le: '+Inf' }, 9],
      ['duration_sum', { topic: 't' }, 281.1],
      ['duration_count', { topic: 't' }, 9]
    ])
  })
})
