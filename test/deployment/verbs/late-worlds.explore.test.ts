import { expect } from 'chai'
import sinon from 'sinon'
import type { InstanceName, InstanceResult } from '../../../src/consumer/instance/instances.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { instanceSettings } from '../../support/instances.js'
import { SeededRandom } from '../../support/random.js'
import { forgetAttempt, Kafka, Network, StagedGateway } from './late-gateways.js'

const WORLDS = 150
const STEPS = 25
const settings = { ...instanceSettings, maxWaitMs: 1_000 }
const instance: InstanceName = { groupId: 'g', name: 'one' }
const LINKS = ['a>b', 'a>c', 'b>a', 'b>c', 'c>a', 'c>b'] as const

/**
 * Three gateways, and a client that commits to, assigns, removes and creates one instance, each at any of them and one after
 * another. Calls between them stand still and arrive when the client has gone on, or lose their answers, over several links at
 * once. Everything follows from the seed.
 */
class World {
  readonly broken: string[] = []
  readonly #random: SeededRandom
  readonly #clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  readonly #system = new ActorSystem()
  readonly #kafka = new Kafka()
  readonly #network = new Network()
  readonly #gateways: readonly StagedGateway[]
  /** How the change with each number was answered. */
  readonly #answers = new Map<number, string>()
  #current = 0
  #newestCommit = 0
  /** What the instance is assigned; `undefined`: there is none. */
  #assigned: object[] | undefined
  /** False: the last change of the assignment may count or not. */
  #isSure = true

  constructor(seed: number, plant: (network: Network) => void) {
    this.#random = new SeededRandom(seed)
    plant(this.#network)
    const parts = { kafka: this.#kafka, network: this.#network, system: this.#system }
    this.#gateways = ['a', 'b', 'c'].map(id => new StagedGateway(id, parts, '__castellan_instances'))
    this.#kafka.onCommit = offset => {
      if (offset === this.#current) return
      const isLate = this.#answers.get(offset) === 'done' || offset < this.#newestCommit
      if (isLate) this.broken.push(`seed ${seed}: commit ${offset} is made after ${this.#newestCommit} was answered`)
    }
  }

  async run(): Promise<readonly string[]> {
    await this.#soon(this.#any().verbs.create(instance, settings, undefined))
    this.#assigned = []
    for (let step = 0; step < STEPS; step++) await this.#step()
    while (this.#network.late.length > 0) await this.#arrives()
    this.#network.cut.clear()
    this.#network.deaf.clear()
    if (this.#isSure) {
      const found = await this.#soon(this.#any().verbs.assignment(instance))
      const shown = JSON.stringify(found.type === 'done' ? found.value : undefined)
      const expected = JSON.stringify(this.#assigned)
      if (shown !== expected) this.broken.push(`seed ${this.#random.seed}: ${shown} in place of ${expected}`)
    }
    await this.#soon(Promise.all(this.#gateways.map(({ instances }) => instances.stop(0))))
    this.#clock.restore()
    await this.#system.stop()
    return this.broken
  }

  #any(): StagedGateway {
    return this.#random.pick(this.#gateways)
  }

  async #step(): Promise<void> {
    const what = this.#random.next()
    if (what < 0.25) toggle(this.#network.cut, this.#random.pick(LINKS))
    else if (what < 0.35) toggle(this.#network.deaf, this.#random.pick(LINKS))
    else if (what < 0.5 && this.#network.late.length > 0) await this.#arrives()
    else await this.#change()
  }

  /** One of the calls that were held up. */
  async #arrives(): Promise<void> {
    const { late } = this.#network
    const [one] = late.splice(this.#random.between(0, late.length - 1), 1)
    await this.#soon(one!().catch(() => undefined))
  }

  async #change(): Promise<void> {
    const number = this.#answers.size + 1
    const { verbs } = this.#any()
    const verb =
      this.#assigned === undefined ? 'create' : this.#random.pick(['commit', 'commit', 'assign', 'assign', 'remove'])
    const wanted = [{ topic: 'orders', partition: number }]
    this.#current = number
    let result: InstanceResult<unknown>
    if (verb === 'create') result = await this.#soon(verbs.create(instance, settings, undefined))
    else if (verb === 'remove') result = await this.#soon(verbs.remove(instance))
    else if (verb === 'assign') result = await this.#soon(verbs.assign(instance, wanted))
    else {
      const offset = { topic: 'orders', partition: 0, offset: number, metadata: '' }
      result = await this.#soon(verbs.commit(instance, [offset]))
    }
    this.#current = 0
    this.#answers.set(number, result.type)
    const isDone = result.type === 'done'
    if (verb === 'commit') this.#newestCommit = isDone ? number : this.#newestCommit
    else if (isDone) this.#assigned = verb === 'remove' ? undefined : verb === 'create' ? [] : wanted
    else if (verb !== 'assign') {
      const found = await this.#soon(this.#gateways[1]!.verbs.assignment(instance))
      this.#assigned = found.type === 'done' ? [] : undefined
    }
    if (verb !== 'commit') this.#isSure = isDone
  }

  async #soon<Result>(asking: Promise<Result>): Promise<Result> {
    let isOver = false
    const over = asking.finally(() => (isOver = true))
    over.catch(() => undefined)
    while (!isOver) await this.#clock.tickAsync(10)
    return over
  }
}

function toggle(links: Set<string>, link: string): void {
  if (!links.delete(link)) links.add(link)
}

/** @returns what is broken, with the seed of the world */
async function brokenIn(worlds: number, plant: (network: Network) => void = () => undefined): Promise<string[]> {
  const broken: string[] = []
  for (let seed = 1; seed <= worlds; seed++) broken.push(...(await new World(seed, plant).run()))
  return broken
}

describe('changes of an instance at gateways whose calls arrive late', function () {
  this.timeout(120_000)

  it('are made in the order of their answers, in each world', async () => {
    expect(await brokenIn(WORLDS)).to.deep.equal([])
  })

  it('are found to be made later where calls do not say what they are meant for, as those of release 0.2.0', async () => {
    const broken = await brokenIn(WORLDS, network => void (network.changes = forgetAttempt))
    expect(broken.length).to.be.greaterThan(10)
  })
})
