import { expect } from 'chai'
import { executedBy, type FileCalls, functionsIn } from '../../../examples/bench/journey/executed.js'

const DIST = 'file:///gateway/dist/'
type Calls = readonly [name: string, start: number, calls: number]
const file = (url: string, ...calls: readonly Calls[]): FileCalls => ({
  url,
  functions: calls.map(([name, start, calls]) => ({ name, start, calls }))
})
/** As the build writes it: the line above what comes from a source names it. */
const BUILT = `import "./common-1.js";\n\n// src/a.ts\n${' '.repeat(100)}\n// src/core/clock.ts\n${' '.repeat(200)}`
const CLOCK = BUILT.indexOf('// src/core')
const ofDist = (...calls: readonly Calls[]): FileCalls => file(`${DIST}main.js`, ...calls)
const NONE = { calls: [], requests: 0 }
const executed = (calls: readonly FileCalls[], requests = 1) =>
  executedBy([{ many: { calls, requests }, few: NONE }], DIST, () => BUILT)
const packaged = (path: string, ...calls: readonly Calls[]): FileCalls =>
  file(`file:///gateway/node_modules/${path}`, ...calls)

describe('bench journey', () => {
  it('names functions of built files by their sources, and adds up windows and threads', () => {
    const [now, wait] = [CLOCK + 30, CLOCK + 90]
    const work = [ofDist(['now', now, 3], ['wait', wait, 1], ['run', 40, 5]), ofDist(['now', now, 4], ['main', 0, 1])]
    const { ours, packages } = executed(work)
    expect([...ours]).to.deep.equal([
      [
        'src/core/clock.ts',
        [
          { name: 'now', start: now, calls: 7 },
          { name: 'wait', start: wait, calls: 1 }
        ]
      ],
      ['src/a.ts', [{ name: 'run', start: 40, calls: 5 }]]
    ])
    expect(functionsIn(ours)).to.equal(3)
    expect(packages.size).to.equal(0)
  })

  it('leaves out functions that were not called, and files without any that was', () => {
    const work = [ofDist(['run', 50, 0], ['end', 60, 2], ['now', CLOCK + 30, 0])]
    expect([...executed(work).ours].map(([name, functions]) => [name, functions.length])).to.deep.equal([
      ['src/a.ts', 1]
    ])
  })

  it('leaves out functions that timers call, as often where there are fewer requests', () => {
    const many = { requests: 100, calls: [ofDist(['tick', 40, 80], ['run', 50, 70]), ofDist(['run', 50, 70])] }
    const few = { requests: 10, calls: [ofDist(['tick', 40, 70], ['run', 50, 14])] }
    const [called] = executedBy([{ many, few }], DIST, () => BUILT).ours.values()
    expect(called).to.deep.equal([{ name: 'run', start: 50, calls: 140 }])
  })

  it('leaves out functions that only one round calls so often', () => {
    const round = (...calls: readonly Calls[]) => ({ many: { calls: [ofDist(...calls)], requests: 10 }, few: NONE })
    const rounds = [round(['watch', 40, 30], ['run', 50, 10]), round(['run', 50, 10])]
    expect(executedBy(rounds, DIST, () => BUILT).ours.get('src/a.ts')).to.deep.equal([
      { name: 'run', start: 50, calls: 20 }
    ])
  })

  it('leaves out functions that less than every second request calls', () => {
    const work = [ofDist(['run', 50, 10], ['renew', CLOCK + 30, 4]), ofDist(['run', 50, 10], ['take', CLOCK + 60, 9])]
    expect([...executed(work, 20).ours.keys()]).to.deep.equal(['src/a.ts'])
    expect([...executed(work, 18).ours.keys()]).to.deep.equal(['src/a.ts', 'src/core/clock.ts'])
  })

  it('counts files of packages by the innermost package, and nothing else', () => {
    const work = [
      packaged('fastify/lib/route.js', ['routeHandler', 1, 5]),
      packaged('fastify/lib/reply.js', ['send', 1, 5], ['header', 9, 5]),
      packaged('@platformatic/kafka/dist/index.js', ['send', 1, 5]),
      packaged('nact/node_modules/denque/index.js', ['shift', 1, 5]),
      file('file:///gateway/examples/bench/journey/peers.ts', ['startPeer', 1, 5]),
      file('node:net', ['connect', 1, 5])
    ]
    const { ours, packages } = executed(work)
    expect(ours.size).to.equal(0)
    expect([...packages].map(([name, files]) => [name, files.size, functionsIn(files)])).to.deep.equal([
      ['fastify', 2, 3],
      ['@platformatic/kafka', 1, 1],
      ['denque', 1, 1]
    ])
  })
})
