import { expect } from 'chai'
import { executedBy, type FileCalls, functionsIn } from '../../examples/bench/journey/executed.js'

const DIST = 'file:///gateway/dist/'
type Calls = readonly [name: string, start: number, calls: number]
const file = (url: string, ...calls: readonly Calls[]): FileCalls => ({
  url,
  functions: calls.map(([name, start, calls]) => ({ name, start, calls }))
})
const ofDist = (path: string, ...calls: readonly Calls[]): FileCalls => file(`${DIST}${path}`, ...calls)
const packaged = (path: string, ...calls: readonly Calls[]): FileCalls =>
  file(`file:///gateway/node_modules/${path}`, ...calls)

describe('bench journey', () => {
  it('names compiled files by their sources, and adds up windows and threads', () => {
    const work = [ofDist('core/clock.js', ['now', 10, 3], ['wait', 90, 1]), ofDist('core/clock.js', ['now', 10, 4])]
    const { ours, packages } = executedBy(work, [], DIST)
    expect([...ours]).to.deep.equal([
      [
        'src/core/clock.ts',
        [
          { name: 'now', start: 10, calls: 7 },
          { name: 'wait', start: 90, calls: 1 }
        ]
      ]
    ])
    expect(functionsIn(ours)).to.equal(2)
    expect(packages.size).to.equal(0)
  })

  it('leaves out functions that were not called, and files without any that was', () => {
    const work = [ofDist('a.js', ['run', 1, 0], ['end', 5, 2]), ofDist('b.js', ['run', 1, 0])]
    expect([...executedBy(work, [], DIST).ours].map(([name, functions]) => [name, functions.length])).to.deep.equal([
      ['src/a.ts', 1]
    ])
  })

  it('leaves out functions that are called without work at least half as often', () => {
    const work = [ofDist('a.js', ['tick', 1, 20], ['run', 50, 21], ['run', 80, 1])]
    const idle = [ofDist('a.js', ['tick', 1, 4]), ofDist('a.js', ['tick', 1, 6], ['run', 50, 10])]
    const called = executedBy(work, idle, DIST).ours.get('src/a.ts')!
    expect(called.map(({ start }) => start)).to.deep.equal([50, 80])
    expect(executedBy(work, work, DIST).ours.size).to.equal(0)
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
    const { ours, packages } = executedBy(work, [], DIST)
    expect(ours.size).to.equal(0)
    expect([...packages].map(([name, files]) => [name, files.size, functionsIn(files)])).to.deep.equal([
      ['fastify', 2, 3],
      ['@platformatic/kafka', 1, 1],
      ['denque', 1, 1]
    ])
  })
})
