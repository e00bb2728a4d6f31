import { expect } from 'chai'
import type { ApiName } from '../../../../src/embedded-broker/embedded-cluster.js'
import { FaultTable } from '../../../../src/embedded-broker/faults.js'
import { SeededRandom } from '../../../support/random.js'
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
function targetsWith(
  nodesOf: Counts,
  world = { time: { now: 0 } } as World
): FaultTargets & { readonly faults: FaultTable } {
  const faults = new FaultTable()
  const requestCount = (api: ApiName, nodeId: number): number => (nodesOf[api]?.includes(nodeId) ? 1 : 0)
  const brokers = { order: faults.add.bind(faults), cluster: { requestCount } }
  return { world, brokers, nodeIds: NODES, processes: [], faults } as unknown as ReturnType<typeof targetsWith>
}

const drawn = (nodesOf: Counts, seed: number, apis: readonly ApiName[]) =>
  someCallsInUse(targetsWith(nodesOf), new SeededRandom(seed), apis)

describe('simulation: faults of the protocol', () => {
  it('harm calls that a harmed node has had, each API and each node of it in some seeds', () => {
    const nodesOf = { Produce: [1, 2, 3], Heartbeat: [2], LeaveGroup: [4] }
    const found = SEEDS.map(seed => drawn(nodesOf, seed, ['Produce', 'Heartbeat', 'LeaveGroup', 'Fetch']))
    const names = found.map(calls => `${calls?.api} at ${calls?.nodeIds}`)
    expect([...new Set(names)].sort()).to.deep.equal(['Heartbeat at 2', 'Produce at 1', 'Produce at 2', 'Produce at 3'])
  })

  it('wait at all harmed nodes for a call that is rare', () => {
    const world = { time: { now: 60_000 } } as World
    const calls = someCallsInUse(targetsWith({ Heartbeat: [2] }, world), new SeededRandom(1), ['Heartbeat'])
    expect(calls?.nodeIds).to.have.members(NODES)
  })

  it('harm the first node that has a rare call, and no other', async () => {
    await inWorld(async world => {
      const targets = targetsWith({ Produce: [2] }, world)
      await world.pass(60_000)
      const SKIPPED = 3
      for (const seed of SEEDS) {
        const { stop, isMet, firstMet } = faultKinds.refuseForGood(targets, new SeededRandom(seed), 1_000)
        const hit = (nodeId: number): boolean => targets.faults.judge('Produce', nodeId, () => []).before() !== 0
        expect(Array.from({ length: SKIPPED + 1 }, () => hit(3)).some(Boolean)).to.equal(true)
        await firstMet
        expect(Array.from({ length: SKIPPED + 1 }, () => hit(1)).some(Boolean)).to.equal(false)
        expect(isMet!()).to.equal(true)
        stop!()
        expect(hit(3)).to.equal(false)
      }
    })
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

  it('damage what is fetched once, so that it is right when it is asked for again', async () => {
    await inWorld(async world => {
      const targets = targetsWith({ Fetch: NODES }, world)
      const damaged = (): number => {
        for (const seed of SEEDS.slice(0, 3)) faultKinds.damageRecords(targets, new SeededRandom(seed), 1_000)
        const frames = Array.from({ length: 10 }, () => NODES.map(nodeId => answered(targets.faults, 'Fetch', nodeId)))
        return frames.flat().filter(frame => !frame.equals(ANSWER)).length
      }
      expect(damaged()).to.equal(1)
      expect(damaged()).to.equal(0)
      await world.pass(30_000)
      expect(damaged()).to.equal(1)
    })
  })

  it('garble the length or the correlation id of an answer and nothing else', () => {
    const targets = targetsWith({ Fetch: [1] })
    const garbled = SEEDS.map(seed => {
      const { stop } = faultKinds.answerGarbled(targets, new SeededRandom(seed), 1_000)
      // Some let three calls pass.
      const answers = Array.from({ length: 4 }, () => answered(targets.faults, 'Fetch', 1))
      stop!()
      return answers.at(-1)!
    })
    const places = garbled.map(frame => [0, 4].filter(at => frame.readInt32BE(at) !== ANSWER.readInt32BE(at)).join())
    expect(new Set(places)).to.deep.equal(new Set(['', '0', '4']))
    for (const frame of garbled) expect(frame.subarray(8)).to.deep.equal(ANSWER.subarray(8))
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

const ANSWER = Buffer.from('0000001c000000070102030405060708090a0b0c0d0e0f101112131415161718', 'hex')

/** What the broker sends instead of the right answer. */
function answered(faults: FaultTable, api: ApiName, nodeId: number): Buffer {
  const { transport } = faults.judge(api, nodeId, () => [])
  const frame = Buffer.from(ANSWER)
  return transport?.type === 'corrupt' ? transport.mutate(frame) : frame
}

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
