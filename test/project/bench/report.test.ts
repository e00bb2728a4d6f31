import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { parseCommand } from '../../../examples/bench/tools/options.js'
import { parsePsTime, readProcessStats } from '../../../examples/bench/tools/process-stats.js'
import { beyondLimits, median, type Row, toTable, writeJson } from '../../../examples/bench/tools/report.js'

const rows: readonly Row[] = [
  { work: 'floor', value: 41234.4, unit: 'requests/s', p99Ms: 9.41234 },
  { work: 'push-async', value: 39876.6, unit: 'requests/s', ratio: 0.95432, against: 'floor' }
]

describe('bench report', () => {
  it('prints one table without empty columns', () => {
    expect(toTable({ name: 'push', rows })).to.equal(
      [
        'push',
        'work         value  unit        p99 ms  ratio  against',
        'floor       41,234  requests/s    9.41',
        'push-async  39,877  requests/s          0.954  floor',
        ''
      ].join('\n')
    )
  })

  it('prints a dash for a figure that could not be measured', () => {
    const missing = { work: 'size-kafkajs', value: median([]), unit: 'MB', note: 'not measured' }
    expect(toTable({ name: 'start', rows: [missing] })).to.match(/^size-kafkajs +- +MB +not measured$/m)
  })

  it('writes {name, rows} as JSON', () => {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-bench-'))
    try {
      writeJson(join(folder, 'out.json'), { name: 'push', rows })
      expect(JSON.parse(readFileSync(join(folder, 'out.json'), 'utf8'))).to.deep.equal({
        name: 'push',
        rows: [
          { work: 'floor', value: 41234, unit: 'requests/s', p99Ms: 9.41 },
          { work: 'push-async', value: 39877, unit: 'requests/s', ratio: 0.954, against: 'floor' }
        ]
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('names each figure that is beyond its limit, for which the benchmark fails', () => {
    const work = { work: 'idle', unit: '%', mostValue: 5, mostRssMb: 300 }
    const limited = [
      { ...work, value: 5, rssMb: 300 },
      { ...work, value: 5.01, rssMb: 301 },
      { work: 'webhook', value: 1, unit: 'records/s', ratio: 0.7, leastRatio: 0.7 },
      { work: 'webhook', value: 1, unit: 'records/s', ratio: 0.69, leastRatio: 0.7 }
    ]
    expect(beyondLimits([...rows, ...limited])).to.deep.equal([
      'idle: 5.01 %, above the limit of 5',
      'idle: 301 MB, above the limit of 300',
      'webhook: a ratio of 0.69, below the limit of 0.7'
    ])
  })

  it('takes the middle of what was measured', () => {
    expect(median([9, 1, 5])).to.equal(5)
    expect(median([9, 1, 5, 6])).to.equal(5.5)
  })

  it('reads the time ps prints', () => {
    expect(parsePsTime('1:02.50')).to.equal(62_500_000)
    expect(parsePsTime('2-03:04:05')).to.equal((2 * 86_400 + 3 * 3600 + 4 * 60 + 5) * 1e6)
  })

  it('reads CPU time and memory of a process', () => {
    const { cpuMicros, rssBytes } = readProcessStats(process.pid)
    expect(cpuMicros).to.be.above(0)
    expect(rssBytes).to.be.above(1e6)
  })
})

describe('bench command', () => {
  it('reads name and flags in any order', () => {
    expect(parseCommand(['--json=a.json', 'push', '--seconds', '0.5'], ['push'])).to.deep.equal({
      name: 'push',
      json: 'a.json',
      seconds: 0.5,
      rounds: 5,
      only: undefined,
      peer: undefined,
      peerUrl: undefined,
      records: undefined,
      minutes: undefined,
      brokers: undefined,
      list: undefined
    })
    expect(parseCommand(['push', '--only', 'push-sync,push-async'], ['push']).only).to.deep.equal([
      'push-sync',
      'push-async'
    ])
  })

  it('reads what stands for another server as it is', () => {
    const asked = ['peers', '--peer', 'exec other --brokers {brokers}', '--peer-url', 'http://127.0.0.1:1/push?a=b']
    expect(parseCommand(asked, ['peers'])).to.deep.include({ peer: asked[2], peerUrl: asked[4] })
  })

  it('names what it does not understand', () => {
    expect(() => parseCommand(['pusch'], ['push', 'idle'])).to.throw(
      /'pusch' is invalid for argument 'NAME'. Allowed choices are push, idle/
    )
    expect(() => parseCommand(['push', '--sec', '1'], ['push'])).to.throw(/unknown option '--sec'/)
    expect(() => parseCommand(['push', '--seconds', 'x'], ['push'])).to.throw(
      /'x' is invalid. It must be a number above 0/
    )
  })
})
