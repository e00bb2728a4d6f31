import { expect } from 'chai'
import { explain } from '../support/history-checker.js'
import { type TargetCluster, targetCluster } from '../support/target-cluster.js'
import { type KillOptions, problemsOf, runKill } from './run-kill.js'

/** A glance at what `npm run test:kill` does; CI runs a short form of that as well. */
describe('a gateway that is killed under load', function () {
  this.timeout(300_000)
  let cluster: TargetCluster
  before(async () => {
    cluster = await targetCluster()
  })
  after(async () => {
    await cluster?.close()
  })

  const options = (settings: readonly string[] = []): KillOptions => ({
    cluster,
    kills: 2,
    records: 5_000,
    clients: { sync: 8, async: 16, websocket: 8, confluentV2: 4, confluentV3: 4, confluentStream: 2 },
    seed: (Math.random() * 2 ** 31) | 0,
    settings,
    say: () => undefined
  })

  it('arion 26: loses, doubles, reorders and invents nothing that it keeps on disk', async () => {
    const asked = options()
    const result = await runKill(asked)
    expect(problemsOf(result, asked), `seed ${asked.seed}\n${explain(result.verdict)}`).to.deep.equal([])
    expect(result.kills).to.equal(2)
  })

  for (const workers of [1, 2]) {
    it(`has each record once that a client sends again by its key, with ${workers} workers`, async () => {
      const asked = { ...options(), clients: { keyedSync: 8, keyedAsync: 24 }, workers, kills: 3 }
      const result = await runKill(asked)
      expect(problemsOf(result, asked).filter(problem => !problem.startsWith('no kill'))).to.deep.equal([])
    })
  }

  it('is found out when it keeps in memory what it acknowledges', async () => {
    const asked = { ...options(['apis.arion.durability=memory']), drains: false }
    // So that each kill meets records in memory: a fast broker has them all within a millisecond.
    const delay = cluster.faults?.add({ api: 'Produce', count: Infinity }, { type: 'delay', delayMs: 300 })
    const { verdict } = await runKill(asked)
    delay?.remove()
    expect(verdict.violations.some(({ rule }) => rule === 'lost')).to.equal(true)
    const lostModes = new Set(verdict.violations.map(({ what }) => what.split('-')[0]))
    expect([...lostModes]).to.deep.equal(['async'])
  })
})
