import { expect } from 'chai'
import sinon from 'sinon'
import type { InstanceResult } from '../../../src/consumer/instance/instances.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { NO_ANSWER, PeerError, type Peers } from '../../../src/deployment/calls/peers.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { instanceSettings } from '../../support/instances.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { forgetAttempt, Kafka, Network, StagedGateway } from './late-gateways.js'

const WORLDS = 60
const WORLD_MS = 240_000
const CLIENTS = 3
const KAFKA_TIMEOUT_MS = 10_000
const LATE = { type: 'done', outcomes: [kafkaFailure(errorCodes.REQUEST_TIMED_OUT)] }
const settings = { ...instanceSettings, maxWaitMs: 1_000 }
const CHANGES = ['create', 'commit', 'commit', 'commit', 'assign', 'assign', 'remove', 'seek'] as const
const VERBS = [...CHANGES, 'create', 'assignment', 'assignment', 'settingsOf'] as const
type Verb = (typeof VERBS)[number]
type Run = () => void

interface Operation {
  readonly verb: Verb
  readonly name: string
  readonly startedAt: number
  endedAt: number
  /** How it was answered; `gaveUp`: its client has not waited so long. */
  result: string
  /** What the instance is assigned behind it; `none`: there is none. */
  effect?: string | undefined
}

/** A process that can stand still or die. What comes meanwhile comes when it goes on. */
class Gateway {
  isDead = false
  isKafkaAway = false
  readonly under: StagedGateway
  readonly inbox: Run[] = []
  /** Records that Kafka has when it is back. */
  readonly produces: Run[] = []
  isStill = false
  readonly id: string

  constructor(id: string, world: World) {
    this.id = id
    const kafka = { answer: (message: RouterMessage) => world.asksKafka(this, message) }
    const network = { peersOf: (id: string) => world.peersOf(id) }
    this.under = new StagedGateway(id, { kafka, network, system: world.system }, '__castellan_instances', true)
  }

  get isAwake(): boolean {
    return !this.isStill && !this.isDead
  }

  receive(run: Run): void {
    if (this.isStill) this.inbox.push(run)
    else if (!this.isDead) run()
  }
}

/** Three gateways with trouble of each kind, and clients that use two instances at any of them, each waiting as long as it likes. */
class World {
  readonly broken: string[] = []
  readonly system = new ActorSystem()
  readonly #random: SeededRandom
  readonly #clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  readonly #kafka = new Kafka()
  readonly #network = new Network()
  readonly #gateways: Gateway[] = []
  /** Links `FROM>TO` on which what is sent stands still. */
  readonly #held = new Map<string, Run[]>()
  readonly #operations: Operation[] = []
  #isOver = false

  constructor(seed: number, plant: (network: Network) => void) {
    this.#random = new SeededRandom(seed)
    plant(this.#network)
    for (const id of ['a', 'b', 'c']) this.#gateways.push(new Gateway(id, this))
    this.#kafka.onCommit = offset => this.#committed(offset)
  }

  async run(): Promise<readonly string[]> {
    const clients = Promise.all(Array.from({ length: CLIENTS }, () => this.#client()))
    for (let troubleAt = 0; performance.now() < WORLD_MS; await this.#clock.tickAsync(20)) {
      if (performance.now() < troubleAt) continue
      this.#trouble()
      troubleAt = performance.now() + this.#random.between(200, 6_000)
    }
    this.#isOver = true
    await this.#soon(clients)
    for (const link of this.#held.keys()) this.#release(link)
    await this.#clock.tickAsync(120_000)
    for (let round = 0; round < 4; round++)
      for (const gateway of this.#alive) {
        const { verb, result } = await this.#soon(this.#operate(gateway, this.#random.pick(['assignment', 'commit'])))
        if (!['done', 'unknownInstance', 'illegalState', 'overloaded'].includes(result))
          this.#say(`after all trouble ${verb} at ${gateway.id} is ${result}`)
      }
    for (const gateway of this.#gateways) gateway.isDead = false
    await this.#soon(Promise.all(this.#gateways.map(({ under }) => under.instances.stop(0))))
    this.#clock.restore()
    await this.system.stop()
    return this.broken
  }

  asksKafka(gateway: Gateway, message: RouterMessage): undefined {
    if (!('requester' in message)) return
    const requester = message.requester as { reply(result: unknown): void }
    const answer = (result: unknown, ms = this.#random.between(1, 10)): void =>
      void setTimeout(() => gateway.receive(() => requester.reply(result)), ms)
    if (message.type === 'produce') {
      const write = (): void => {
        const result = this.#kafka.answer(message)
        if (!this.#isUnlucky(0.03)) answer(result)
      }
      if (gateway.isKafkaAway) gateway.produces.push(write)
      else write()
      answer(LATE, KAFKA_TIMEOUT_MS)
    } else if (gateway.isKafkaAway) answer({ type: 'timedOut' }, KAFKA_TIMEOUT_MS)
    else {
      const arrive = (): void => {
        const result = gateway.isDead ? undefined : this.#kafka.answer(message)
        const isLost = message.type === 'commitConsumerOffset' && this.#isUnlucky(0.05)
        if (result !== undefined) answer(isLost ? { type: 'timedOut' } : result, isLost ? KAFKA_TIMEOUT_MS : 5)
      }
      this.#later(1, 10, arrive)
    }
  }

  peersOf(id: string): Peers {
    const world = this
    const { handlers, changes } = this.#network
    return {
      ...this.#network.peersOf(id),
      get others() {
        return world.#alive.map(one => one.id).filter(one => one !== id)
      },
      call: (to, name, body, { timeoutMs }) =>
        new Promise((resolve, reject) => {
          const sent = structuredClone(body)
          changes(sent)
          this.#send(id, to, async () => {
            const answer = await handlers.get(to)!.get(name)!(sent, { from: id, timeoutMs })
            this.#send(to, id, () => resolve(structuredClone(answer) as never))
          })
          const giveUp = (): void => {
            const isLate = this.#held.has(`${id}>${to}`) || this.#held.has(`${to}>${id}`) || !this.#gateway(to).isAwake
            if (isLate) reject(new PeerError('away', { name: 'Error', message: 'away', code: NO_ANSWER }))
            else this.#later(50, 3_000, giveUp)
          }
          this.#later(50, 3_000, giveUp)
        })
    }
  }

  #gateway(id: string): Gateway {
    return this.#gateways.find(one => one.id === id)!
  }

  #later(leastMs: number, mostMs: number, run: Run): void {
    setTimeout(run, this.#random.between(leastMs, mostMs))
  }

  get #alive(): readonly Gateway[] {
    return this.#gateways.filter(({ isDead }) => !isDead)
  }

  #say(text: string): void {
    this.broken.push(`seed ${this.#random.seed}, ${Math.round(performance.now())} ms: ${text}`)
  }

  #send(from: string, to: string, run: Run): void {
    const held = this.#held.get(`${from}>${to}`)
    if (held !== undefined) held.push(run)
    else this.#later(1, 15, () => this.#gateway(to).receive(run))
  }

  #release(link: string): void {
    const waiting = this.#held.get(link) ?? []
    this.#held.delete(link)
    const [from, to] = link.split('>') as [string, string]
    for (const run of waiting) this.#later(0, 3_000, () => this.#send(from, to, run))
  }

  #trouble(): void {
    const random = this.#random
    const [one, other] = [random.pick(this.#alive), random.pick(this.#alive)]
    const link = `${one.id}>${other.id}`
    const kind = random.next()
    if (kind < 0.45) {
      const links = random.next() < 0.5 ? [link] : [link, `${other.id}>${one.id}`]
      if (one === other || links.some(link => this.#held.has(link))) return
      for (const link of links) this.#held.set(link, [])
      this.#later(100, 25_000, () => links.forEach(link => this.#release(link)))
    } else if (kind < 0.7) {
      one.isStill = true
      this.#later(100, 20_000, () => {
        one.isStill = false
        for (const run of one.inbox.splice(0)) one.receive(run)
      })
    } else if (kind < 0.9) {
      one.isKafkaAway = true
      this.#later(100, random.next() < 0.3 ? 100_000 : 15_000, () => {
        one.isKafkaAway = false
        for (const write of one.produces.splice(0)) write()
      })
    } else {
      one.isDead = true
      this.#gateways.push(new Gateway(`${one.id.charAt(0)}${this.#gateways.length}`, this))
      for (const gone of this.#network.whenGone) gone(one.id)
    }
  }

  #isUnlucky(chance: number): boolean {
    return !this.#isOver && this.#random.next() < chance
  }

  async #client(): Promise<void> {
    while (!this.#isOver) {
      await new Promise(resolve => setTimeout(resolve, this.#random.between(1, 1_500)))
      const patience = this.#random.pick([1_500, 5_000, 30_000, 120_000])
      await this.#operate(this.#random.pick(this.#alive), this.#random.pick(VERBS), patience)
    }
  }

  async #operate(gateway: Gateway, verb: Verb, patienceMs = 1e9): Promise<Operation> {
    const { verbs } = gateway.under
    const number = this.#operations.length + 1
    const name = this.#random.pick(['one', 'two'])
    let isWanted = true
    const instance = { groupId: 'g', name, isWanted: () => isWanted }
    const assigned = [{ topic: 'orders', partition: number }]
    const effect = { create: '[]', assign: JSON.stringify(assigned), remove: 'none' }[verb as string]
    const operation: Operation = { verb, name, startedAt: performance.now(), endedAt: Infinity, result: '', effect }
    this.#operations.push(operation)
    const ask = (): Promise<InstanceResult<unknown>> => {
      if (verb === 'create') return verbs.create(instance, settings, undefined)
      if (verb === 'assign') return verbs.assign(instance, assigned)
      if (verb === 'seek') return verbs.seek(instance, [{ topic: 'orders', partition: 0, position: 5 }])
      if (verb === 'commit')
        return verbs.commit(instance, [{ topic: 'orders', partition: 0, offset: number, metadata: '' }])
      return verbs[verb](instance)
    }
    const come = new Promise<undefined>(resolve => gateway.receive(() => resolve(undefined)))
    const gaveUp = new Promise<undefined>(resolve => setTimeout(() => resolve(undefined), patienceMs))
    const found = await Promise.race([come.then(ask), gaveUp])
    isWanted = false
    operation.endedAt = performance.now()
    operation.result = found === undefined ? 'gaveUp' : found.type === 'failed' ? found.code : found.type
    const value = found?.type === 'done' ? found.value : undefined
    if (value === false) operation.result = 'exists'
    const possible = this.#possible(operation)
    const isAbsent = operation.result === 'unknownInstance'
    // A change that finds no instance may have been carried out before another one has removed it.
    if (operation.result === 'exists') operation.effect = undefined
    if (isAbsent && !possible.has('none')) this.#say(`${verb} ${number} finds no ${name}, but ${[...possible]}`)
    if (verb === 'assignment' && value !== undefined && !possible.has(JSON.stringify(value)))
      this.#say(`${name} has ${JSON.stringify(value)}, expected ${[...possible].join(' or ')}`)
    return operation
  }

  /** What an operation may find: what was done last before it, and what others do that have not ended before that. */
  #possible({ name, startedAt, endedAt }: Operation): ReadonlySet<string> {
    const all = this.#operations.filter(
      one => one.name === name && one.effect !== undefined && one.startedAt <= endedAt
    )
    const done = all.filter(({ result, endedAt }) => result === 'done' && endedAt < startedAt)
    const found = all.filter(one => !done.some(other => other !== one && other.startedAt > one.endedAt))
    return new Set([...found.map(({ effect }) => effect!), ...(done.length === 0 ? ['none'] : [])])
  }

  #committed(offset: number): void {
    const { name, result, endedAt } = this.#operations[offset - 1]!
    if (result === 'done') this.#say(`commit ${offset} is made after its answer`)
    const isLater = (other: Operation): boolean => other.name === name && other.startedAt > endedAt
    const later = this.#operations.find(
      other => isLater(other) && other.result === 'done' && CHANGES.some(verb => verb === other.verb)
    )
    if (later)
      this.#say(
        `commit ${offset} of ${name}, ${result}, is made after ${later.verb} ${this.#operations.indexOf(later) + 1}`
      )
  }

  async #soon<Result>(asking: Promise<Result>): Promise<Result> {
    let isOver = false
    const over = asking.finally(() => (isOver = true))
    for (let waited = 0; !isOver && waited < 1_000_000; waited += 50) await this.#clock.tickAsync(50)
    return isOver ? over : expect.fail(`seed ${this.#random.seed}: it waits for ever`)
  }
}

async function brokenIn(first: number, worlds: number, plant: (network: Network) => void = () => undefined) {
  const broken: string[] = []
  for (let seed = first; seed < first + worlds; seed++) broken.push(...(await new World(seed, plant).run()))
  return broken
}

describe('instances of gateways that stand still, die, or have no Kafka', function () {
  this.timeout(300_000)

  it('are as their clients were told, in each world', async () => {
    expect(await brokenIn(testSeed(), WORLDS)).to.deep.equal([])
  })

  it('are found not to be where calls do not say what they are meant for, as those of release 0.2.0', async () => {
    expect(await brokenIn(1, 20, network => void (network.changes = forgetAttempt))).not.to.deep.equal([])
  })
})
