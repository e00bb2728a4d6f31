import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { explain, type History } from '../../support/history-checker.js'
import { testSeed } from '../../support/random.js'
import { type TargetCluster, targetCluster } from '../../support/target-cluster.js'
import { type KillOptions, problemsOf, runKill } from './run-kill.js'

/** A glance at what `npm run test:kill` does; CI runs a short form of that as well. */
describe('a gateway that is killed under load', function () {
  this.timeout(600_000)
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
    seed: testSeed(),
    settings,
    say: () => undefined
  })

  it('arion 26: loses, doubles, reorders and invents nothing that it keeps on disk', async () => {
    const asked = options()
    const result = await runKill(asked)
    expect(problemsOf(result, asked), `seed ${asked.seed}\n${explain(result.verdict)}`).to.deep.equal([])
    expect(result.kills).to.equal(2)
  })

  it('has each record once that a client sends again by its key', async () => {
    const asked = { ...options(), clients: { keyedSync: 8, keyedAsync: 24 }, kills: 3 }
    const result = await runKill(asked)
    expect(problemsOf(result, asked).filter(problem => !problem.startsWith('no kill'))).to.deep.equal([])
  })

  it('is found out when it keeps in memory what it acknowledges', async () => {
    const faults = cluster.faults!
    /** What was acknowledged from memory before each kill, while the brokers took nothing. */
    const fromMemory: string[][] = []
    const beforeKill = async (history: History) => {
      const silence = faults.add({ api: 'Produce', count: Infinity }, { type: 'dropRequest' })
      const sentBefore = new Set([...history.sent].map(({ id }) => id))
      for (;;) {
        const sentSince = [...history.sent].filter(({ id }) => !sentBefore.has(id))
        const acknowledged = sentSince.filter(({ id, outcome }) => id.startsWith('async-') && outcome?.type === 'ok')
        if (acknowledged.length >= 100) {
          fromMemory.push(acknowledged.map(({ id }) => id))
          return () => silence.remove()
        }
        await sleep(10)
      }
    }
    const asked = { ...options(['apis.arion.durability=memory']), drains: false, beforeKill }
    const { verdict } = await runKill(asked)
    const told = `seed ${asked.seed}\n${explain(verdict)}`
    const lost = new Set(verdict.violations.filter(({ rule }) => rule === 'lost').map(({ what }) => what))
    expect(
      fromMemory.map(ids => ids.some(id => lost.has(id))),
      told
    ).to.deep.equal([true, true])
    const lostModes = new Set(verdict.violations.map(({ what }) => what.split('-')[0]))
    expect([...lostModes], told).to.deep.equal(['async'])
  })
})
