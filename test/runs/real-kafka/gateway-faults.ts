import { setTimeout as sleep } from 'node:timers/promises'
import { type SeededRandom, shuffled } from '../../support/random.js'
import type { Gateway } from '../kill/gateway.js'
import type { KafkaCluster } from './cluster.js'
import { asTarget } from './shared-cluster.js'

/** Locks of queues are 15 s long, and a gateway that stands still for longer has lost all of them, and its place in groups. */
const PAUSE_MS = [16_500, 20_000] as const

export type Fault =
  | 'kill a gateway'
  | 'kill a broker'
  | 'stop a gateway for longer than a lock'
  | 'move leaders'
  | 'restart all gateways, one after another'
export type FaultCounts = Readonly<Partial<Record<Fault, number>>>

interface Scene {
  readonly cluster: KafkaCluster
  readonly topic: string
  readonly gateways: readonly Gateway[]
  readonly random: SeededRandom
  readonly say: (line: string) => void
  readonly problem: (text: string) => void
  /** A fault has healed. In milliseconds of `performance.now()`. */
  readonly healed: (fault: Fault, from: number, to: number) => void
}

/** One fault after another, in the order of a seed; each has healed before the next one. */
export async function causeFaults(
  counts: FaultCounts,
  scene: Scene,
  beforeEach: (part: number) => Promise<void>
): Promise<void> {
  const all = Object.entries(counts).flatMap(([fault, count]) => Array<Fault>(count).fill(fault as Fault))
  for (const [at, fault] of shuffled(all, scene.random.seed).entries()) {
    await beforeEach((at + 1) / all.length)
    await sleep(scene.random.between(500, 2_500))
    const from = performance.now()
    scene.say(`${at + 1} of ${all.length}: ${fault}`)
    await FAULTS[fault](scene)
    scene.healed(fault, from, performance.now())
  }
}

const FAULTS: Readonly<Record<Fault, (scene: Scene) => Promise<void>>> = {
  'kill a gateway': async ({ gateways, random }) => {
    const gateway = random.pick(gateways)
    await gateway.kill()
    await sleep(random.between(0, 2_000))
    await gateway.start()
  },
  'kill a broker': async ({ cluster, topic, random, say }) => {
    const { leaderId } = random.pick(await cluster.partitions(topic))
    say(`${new Date().toISOString()}: node ${leaderId} is killed`)
    await cluster.signal(leaderId, 'SIGKILL')
    await sleep(random.between(500, 5_000))
    await asTarget(cluster).reviveNode(leaderId)
    await cluster.healed(topic)
  },
  'stop a gateway for longer than a lock': ({ gateways, random }) =>
    random.pick(gateways).pause(random.between(...PAUSE_MS)),
  'move leaders': async ({ cluster, topic, random }) => {
    for (let moves = random.between(1, 3); moves > 0; moves--) {
      const partitions = await cluster.partitions(topic)
      const partition = random.between(0, partitions.length - 1)
      const others = cluster.nodeIds.filter(id => id !== partitions[partition]!.leaderId)
      await cluster.moveLeader(topic, partition, random.pick(others))
    }
  },
  'restart all gateways, one after another': async ({ gateways, problem }) => {
    for (const gateway of gateways) {
      const code = await gateway.stop()
      if (code !== 0) problem(`a gateway ended with ${code}:\n${gateway.lastWords()}`)
      await gateway.start()
    }
  }
}
