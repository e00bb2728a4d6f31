import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/** What makes a run depend on the machine. test/support/decided.ts keeps decided tests from sockets, processes and threads. */
const UNDECIDED: readonly (readonly [string, RegExp])[] = [
  ['waits', /(?<!')\b(setTimeout|setInterval)\b(?!')|\b(sleep|delay)\(/],
  ['asks a real clock', /\bDate\.now\b|\bperformance\.now\b|new Date\(\)/]
]
const OWN_LIMIT = /\.timeout\(/

/** Their timers and clocks are those of a fake clock or of a world. */
const HAS_OWN_TIME = /useFakeTimers|FakeTime\(|\bclock\.tick|inWorld\(\)|new World\(|Stage\(|\bstage\.pass\(/

/** It looks for such words itself. */
const SEARCHERS = ['test/project/decided.test.ts']

/** Helpers that wait in real time, for explored tests. Nothing is added here. */
const SLEEPERS: readonly string[] = [
  'test/apis/kafka-pixy/raw-service.ts',
  // Of tests of the system.
  'test/apis/queues/small-heap.ts',
  'test/cli/child.ts',
  // A program that a test of the system starts as a process of its own.
  'test/client/closed-program.ts',
  'test/http/engine/clients/client.mjs',
  'test/http/engine/proxies.ts',
  'test/producer/durable-stage.ts',
  'test/runs/deploy/lending-gateways.ts',
  'test/runs/deploy/lending-load.ts',
  'test/runs/integration/counting-reader.ts',
  'test/runs/integration/etl-stage.ts',
  'test/runs/integration/foreign-leader.ts',
  'test/runs/integration/lending-clients.ts',
  'test/support/held-bytes.ts',
  'test/support/pixy-stage.ts',
  'test/support/planted-races.ts',
  'test/support/share-session.ts',
  'test/support/slow-machine.mjs'
]

/** Tools and suites that are explored: they have processes, sockets and real time, or a world. */
const EXPLORED =
  /\.(socket|system|kafka|explore)\.test\.ts$|^test\/runs\/(alerts|backlog|fuzz|hostile|kill|real-kafka|registry|simulation|soak)\/|^test\/project\/bench\/|^test\/runs\/integration\/offer-chaos\//

const all = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter(name => /\.m?[jt]s$/.test(name))
  .map(name => join('test', name))
  .filter(file => !SEARCHERS.includes(file))
const decided = all.filter(file => file.endsWith('.test.ts') && !EXPLORED.test(file))
const helpers = all.filter(file => !file.endsWith('.test.ts') && !EXPLORED.test(file))

const linesWith = (file: string, pattern: RegExp): string[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line, at) => (pattern.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : []))

describe('decided tests', () => {
  for (const [what, pattern] of UNDECIDED) {
    it(`are in no file that ${what}`, () => {
      const files = decided.filter(file => !HAS_OWN_TIME.test(readFileSync(file, 'utf8')))
      expect(files.flatMap(file => linesWith(file, pattern))).to.deep.equal([])
    })
  }

  it('have no time limits of their own', () => {
    expect(decided.flatMap(file => linesWith(file, OWN_LIMIT))).to.deep.equal([])
  })

  it('use helpers that do not wait, but for a short list', () => {
    const sleep = /=> setTimeout\(|\b(sleep|delay)\(\d|timers\/promises/
    const found = helpers.filter(file => linesWith(file, sleep).length > 0)
    expect(found.sort()).to.deep.equal(SLEEPERS)
  })
})
