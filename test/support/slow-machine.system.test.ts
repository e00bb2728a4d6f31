import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { expect } from 'chai'

const RACES = [
  'answers before the record is stored',
  'renews its lease by a timer',
  'listens when the event may be over'
]
const SEEDS = 10

/** Returns which of the planted races are lost. */
async function lostRaces(environment: NodeJS.ProcessEnv): Promise<string[]> {
  const mocha = ['node_modules/mocha/bin/mocha.js', '--reporter', 'json', 'test/support/planted-races.ts']
  const child = spawn(process.execPath, mocha, { env: { ...process.env, ...environment } })
  const report = JSON.parse(await text(child.stdout)) as { failures: { title: string }[]; stats: { tests: number } }
  expect(report.stats.tests).to.equal(RACES.length)
  return RACES.filter(race => report.failures.some(({ title }) => title.startsWith(race)))
}

describe('a slow machine', () => {
  it('finds an early answer, a late timer and a late listener within ten seeds', async () => {
    const preload = `--import ${pathToFileURL('test/support/slow-machine.mjs')}`
    const found = new Set<string>()
    for (let seed = 1; seed <= SEEDS && found.size < RACES.length; seed++) {
      const lost = await lostRaces({ NODE_OPTIONS: preload, SLOW_MACHINE: String(seed) })
      for (const race of lost) found.add(race)
    }
    expect([...found]).to.have.members(RACES)
  })
})
