import { expect } from 'chai'
import type { ApiName } from '../../../src/broker/embedded-cluster.js'
import { FaultTable } from '../../../src/broker/faults.js'
import { SeededRandom } from '../../support/random.js'
import { World } from '../world/world.js'
import { someCallsInUse } from './calls-in-use.js'
import { faultKinds, harmlessFaults } from './catalogue.js'
import { diskFaults } from './disk-faults.js'
import type { FaultTargets } from './fault.js'
import { FaultRunner } from './schedule.js'
import { topicFaults } from './topic-faults.js'

const NODES = [1, 2, 3]
const SEEDS = Array.from({ length: 300 }, (_, index) => index + 1)

type Counts = Partial<Record<ApiName, readonly number[]>>

/** @param nodesOf an API: those that have had calls of it */
function targetsWith(nodesOf: Counts, world?: World): FaultTargets & { readonly faults: FaultTable } {
  const faults = new FaultTable()
  const requestCount = (api: ApiName, nodeId: number): number => (nodesOf[api]?.includes(nodeId) ? 1 : 0)
  const brokers = { cluster: { faults, requestCount } }
  return { world, brokers, nodeIds: NODES, processes: [], faults } as unknown as ReturnType<typeof targetsWith>
}

const drawn = (nodesOf: Counts, seed: number, apis: readonly ApiName[]) =>
  someCallsInUse(targetsWith(nodesOf), new SeededRandom(seed), apis)

describe('simulation: faults of the protocol', () => {
  it('harm calls that a harmed node has had, each API and each node of it in some seeds', () => {
    const nodesOf = { Produce: [1, 2, 3], Heartbeat: [2], LeaveGroup: [4] }
    const found = SEEDS.map(seed => drawn(nodesOf, seed, ['Produce', 'Heartbeat', 'LeaveGroup', 'Fetch']))
    const names = found.map(calls => `${calls?.api} at ${calls?.nodeId}`)
    expect([...new Set(names)].sort()).to.deep.equal(['Heartbeat at 2', 'Produce at 1', 'Produce at 2', 'Produce at 3'])
  })

  it('have nothing to harm where nobody has called', () => {
    expect(drawn({ Fetch: [1] }, 1, ['Produce'])).to.equal(undefined)
  })

  it('keep their choice, if it is still there, when fewer APIs have been called, and draw the same afterwards', () => {
    const apis: readonly ApiName[] = ['Produce', 'Fetch', 'Metadata', 'Heartbeat', 'JoinGroup']
    const draw = (nodesOf: Counts, seed: number) => {
      const random = new SeededRandom(seed)
      const calls = someCallsInUse(targetsWith(nodesOf), random, apis)
      return { api: calls?.api, next: random.next() }
    }
    const few: Counts = { Produce: [1, 2, 3], Fetch: [1, 2, 3], Metadata: [1, 2, 3] }
    for (const seed of SEEDS) {
      const withFew = draw(few, seed)
      const withAll = draw({ ...few, Heartbeat: [1, 2, 3], JoinGroup: [1, 2, 3] }, seed)
      expect(withAll.next).to.equal(withFew.next)
      if (few[withAll.api!] !== undefined) expect(withAll.api).to.equal(withFew.api)
    }
  })

  it('wait for their first call and last from then on', async () => {
    await inWorld(async world => {
      const targets = targetsWith({ Produce: NODES }, world)
      const runner = new FaultRunner(targets)
      runner.arm([{ id: 1, kind: 'refuseForGood', atMs: 0, durationMs: 100, seed: 7 }])
      await world.pass(5_000)
      expect(produce(targets.faults)).to.equal(true)
      await world.pass(90)
      expect(runner.met).to.deep.equal(new Set())
      await world.pass(20)
      expect(runner.met).to.deep.equal(new Set([1]))
      expect(produce(targets.faults)).to.equal(false)
    })
  })

  it('are met by no one when no call comes in a long time', async () => {
    await inWorld(async world => {
      const targets = targetsWith({ Produce: NODES }, world)
      const runner = new FaultRunner(targets)
      runner.arm([{ id: 1, kind: 'refuseForGood', atMs: 0, durationMs: 100, seed: 7 }])
      await world.pass(25_000)
      expect(runner.met).to.deep.equal(new Set())
      expect(produce(targets.faults)).to.equal(false)
    })
  })
})

describe('simulation: harmless faults', () => {
  it('destroy nothing: none is of topics, of disks, or one that refuses records for good', () => {
    const others = ['killGateway', 'refuseForGood', 'refuseRecords', 'forgetProducer']
    const destructive = [...Object.keys(topicFaults), ...Object.keys(diskFaults), ...others]
    expect(Object.keys(faultKinds)).to.include.members(destructive)
    expect(harmlessFaults.filter(name => destructive.includes(name))).to.deep.equal([])
  })
})

async function inWorld(action: (world: World) => Promise<void>): Promise<void> {
  const world = new World({ seed: 1 })
  try {
    await action(world)
  } finally {
    world.close()
  }
}

/** Calls to all nodes. @returns whether one of them met a fault */
function produce(faults: FaultTable): boolean {
  const CALLS = 5
  const hits = NODES.flatMap(nodeId =>
    Array.from({ length: CALLS }, () => faults.judge('Produce', nodeId, () => []).before())
  )
  return hits.some(code => code !== 0)
}
