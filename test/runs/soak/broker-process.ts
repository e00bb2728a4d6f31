import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiName, EmbeddedCluster, Fault, FaultAction } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { SeededRandom } from '../../support/random.js'
import { type FromBroker, soakPartitions, soakTopics, type ToBroker } from './protocol.js'

const apis: readonly ApiName[] = [
  'Produce',
  'Fetch',
  'ListOffsets',
  'Metadata',
  'OffsetCommit',
  'OffsetFetch',
  'FindCoordinator'
]
/** Codes brokers may give at any moment; what each means is the Router's to know. */
const codes = [-1, 3, 5, 6, 7, 14, 15, 16, 19, 56, 74, 75, 200]

const [seed] = process.argv.slice(2).map(Number)
const seeded = new SeededRandom(seed!)
const random = (): number => seeded.next()
const oneOf = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!
const tell = (message: FromBroker): void => void process.send!(message)

const actions: readonly (() => FaultAction)[] = [
  () => ({ type: 'error', errorCode: oneOf(codes) }),
  () => ({ type: 'errorAfter', errorCode: 7 }),
  () => ({ type: 'delay', delayMs: Math.floor(random() * 400) }),
  () => ({ type: 'dropResponse' }),
  () => ({ type: 'close', afterWork: random() < 0.5 }),
  () => ({ type: 'truncate', bytes: Math.floor(random() * 40) }),
  () => ({ type: 'corrupt', mutate: frame => flipByte(frame) })
]

function flipByte(frame: Buffer): Buffer {
  const copy = Buffer.from(frame)
  const at = Math.floor(random() * copy.length)
  copy[at] = copy[at]! ^ 0x40
  return copy
}

class Nemesis {
  readonly fired = new Map<string, number>()
  #healed = false
  readonly #faults: { readonly name: string; readonly fault: Fault }[] = []

  constructor(readonly cluster: EmbeddedCluster) {}

  async run(): Promise<void> {
    while (!this.#healed) {
      await sleep(50 + random() * 250)
      if (this.#healed) return
      const dice = random()
      if (dice < 0.8) this.#addFault()
      else if (dice < 0.95) this.#moveLeader()
      else await this.#bounceNode()
    }
  }

  #addFault(): void {
    const api = oneOf(apis)
    const action = oneOf(actions)()
    const fault = this.cluster.faults.add({ api, count: 1 + Math.floor(random() * 3) }, action)
    this.#faults.push({ name: `${api} ${action.type}`, fault })
    if (this.#faults.length > 200) this.#settle(this.#faults.shift()!)
  }

  #settle({ name, fault }: { readonly name: string; readonly fault: Fault }): void {
    fault.remove()
    if (fault.fired > 0) this.fired.set(name, (this.fired.get(name) ?? 0) + fault.fired)
  }

  #moveLeader(): void {
    this.cluster.moveLeader(oneOf(soakTopics), Math.floor(random() * soakPartitions), 1 + Math.floor(random() * 3))
    this.#count('leader moved')
  }

  async #bounceNode(): Promise<void> {
    const nodeId = 1 + Math.floor(random() * 3)
    await this.cluster.stopNode(nodeId)
    await sleep(random() * 1_500)
    await this.cluster.startNode(nodeId)
    this.#count('node bounced')
  }

  #count(name: string): void {
    this.fired.set(name, (this.fired.get(name) ?? 0) + 1)
  }

  heal(): void {
    this.#healed = true
    for (const fault of this.#faults.splice(0)) this.#settle(fault)
    this.cluster.faults.clear()
  }
}

const cluster = await startEmbeddedCluster({ nodes: 3, retentionBytes: 4 * 1024 * 1024 })
for (const topic of soakTopics) cluster.createTopic(topic, { partitions: soakPartitions, replicationFactor: 3 })
const nemesis = new Nemesis(cluster)
const running = nemesis.run()
process.on('message', (message: ToBroker) => {
  if (message.type === 'end') process.exit(0)
  nemesis.heal()
  void running.then(() => tell({ type: 'healed', faultsFired: Object.fromEntries(nemesis.fired) }))
})
process.on('disconnect', () => process.exit(0))
tell({ type: 'up', bootstrap: cluster.bootstrap })
