import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

/**
 * Lines that each room of src may have: a little more than it has. docs/testing.md says why. Who makes a room smaller
 * lowers its budget.
 */
const BUDGETS: Readonly<Record<string, number>> = {
  apis: 18_450,
  cli: 3_140,
  consumer: 9_680,
  deployment: 3_440,
  core: 5_140,
  'embedded-broker': 7_300,
  verbs: 2_080,
  http: 15_400,
  kafka: 5_810,
  producer: 17_900,
  router: 10_380,
  schemas: 4_000,
  server: 6_060
}

function linesIn(path: string): number {
  if (statSync(path).isFile()) return path.endsWith('.ts') ? readFileSync(path, 'utf8').split('\n').length - 1 : 0
  return readdirSync(path).reduce((sum, name) => sum + linesIn(join(path, name)), 0)
}

describe('the rooms of src', () => {
  it('stay within their budgets of lines', () => {
    const rooms = readdirSync('src').filter(name => statSync(join('src', name)).isDirectory())
    const counts = rooms.map(room => ({ room, lines: linesIn(join('src', room)), budget: BUDGETS[room] ?? 0 }))
    const beyond = counts.filter(({ lines, budget }) => lines > budget)
    expect(beyond.map(({ room, lines, budget }) => `${room}: ${lines} lines of ${budget}`)).to.deep.equal([])
    expect(Object.keys(BUDGETS).filter(room => !rooms.includes(room))).to.deep.equal([])
  })
})
