import { expect } from 'chai'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { SeededRandom } from '../../support/random.js'
import type { Process } from './key-gateways.js'
import { deliveredAt, type KeyedRequests, setUpKeys } from './keyed-requests.js'

const NAMES = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const VALUES = ['one', 'two']
const STEPS = 30
const WORLDS = 40
/** Requests that a client sends at the end, when all gateways run, until it has the answer. */
const LAST_REQUESTS = 25

/** What must hold in each world. */
const INVARIANTS = {
  once: 'each record of the request is written once',
  alone: 'no two requests are carried out at a time',
  same: 'all requests get the same answer',
  known: 'a client that tries long enough gets the answer'
} as const
type Broken = keyof typeof INVARIANTS

/**
 * Three gateways, one request with a key that comes again and again at any of them, and a network and machines that fail: calls
 * are lost, come late or lose their answers, gateways are killed, take each other for gone, or do not reach each other.
 * Everything follows from the seed.
 */
class World {
  readonly broken = new Set<Broken>()
  readonly #random: SeededRandom
  readonly #setUp = setUpKeys(NAMES)
  readonly #clock = this.#setUp.clock
  readonly #gateways = this.#setUp.gateways
  readonly #requests = this.#setUp.requests
  readonly #asked = this.#gateways.askedOf(NAMES[1])
  readonly #plant: (process: Process) => void
  /** The records that wait for Kafka, by sequence, with the process that has them in its log. */
  readonly #waiting = new Map<number, string>()
  /** The processes that carry the request out. */
  readonly #carrying = new Set<Process>()
  readonly #answers = new Set<string>()
  #isCalm = false

  /** @param plant breaks each process that starts */
  constructor(seed: number, plant: (process: Process) => void) {
    this.#random = new SeededRandom(seed)
    this.#plant = plant
    const { call } = this.#gateways
    this.#gateways.call = (from, to, name, body) => this.#travel(() => call.call(this.#gateways, from, to, name, body))
  }

  async run(): Promise<readonly Broken[]> {
    try {
      await this.#startMissing()
      for (let step = 0; step < STEPS; step++) {
        await this.#step()
        await this.#clock.tickAsync(this.#chance(0.3) ? 3_000 : this.#below(400))
        if (this.#chance(0.3)) this.#gateways.refresh()
      }
      await this.#end()
      if (new Set(this.#requests.written.map(text => text.split(' ')[0])).size !== this.#requests.written.length)
        this.broken.add('once')
      if (this.#answers.size > 1) this.broken.add('same')
      return [...this.broken]
    } finally {
      this.#requests.end()
    }
  }

  #below = (limit: number): number => Math.floor(this.#random.next() * limit)
  #chance = (share: number): boolean => this.#random.next() < share
  #any = (): string => this.#random.pick(NAMES)
  #pause = (durationMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, durationMs))
  #isUp = (process: Process): boolean => this.#gateways.running.get(process.name) === process

  /** A call may come late, be lost, or lose its answer. */
  async #travel(send: () => Promise<unknown>): Promise<unknown> {
    const fate = this.#isCalm ? 1 : this.#random.next()
    if (fate < 0.02) setTimeout(() => void send().catch(() => undefined), 7_000 + this.#below(3_000))
    await this.#pause(this.#below(30))
    if (fate >= 0.05) {
      const answer = await send()
      await this.#pause(this.#below(30))
      if (fate >= 0.08) return answer
    }
    await this.#pause(1_000)
    throw new Error('no answer')
  }

  async #step(): Promise<void> {
    const dice = this.#random.next()
    const [one, other] = [this.#any(), this.#any()]
    const [from, to] = [this.#gateways.running.get(one), this.#gateways.running.get(other)]
    if (dice < 0.55) void this.#request(one)
    else if (dice < 0.7) this.#deliverSome()
    else if (dice < 0.78) from && this.#gateways.kill(one, this.#chance(0.7))
    else if (dice < 0.9) await this.#start(one)
    else if (dice < 0.94) from !== to && from && to && from.peers.whenGone.forEach(listener => listener(to.id))
    else if (dice < 0.97) this.#gateways.cut.add(`${one}>${other}`)
    else this.#gateways.cut.clear()
  }

  async #start(name: string): Promise<void> {
    if (!this.#gateways.running.has(name)) this.#plant(await this.#requests.start(name))
  }

  async #startMissing(): Promise<void> {
    for (const name of NAMES) await this.#start(name)
    await this.#clock.tickAsync(5_000)
  }

  /** @returns whether the request has its final answer */
  async #request(name: string): Promise<boolean> {
    const process = this.#gateways.running.get(name)
    const claim = await process?.keys.claim(this.#asked, this.#below(300))
    if (process === undefined || claim === undefined || !this.#isUp(process)) return false
    if (claim.type === 'answered') this.#answers.add(String(claim.answer.body))
    if (claim.type !== 'claimed') return claim.type === 'answered'
    for (const other of this.#carrying) if (this.#isUp(other)) this.broken.add('alone')
    this.#carrying.add(process)
    if (this.#chance(0.3)) await this.#pause(this.#below(500))
    if (!this.#isUp(process)) return false
    const pending = this.#produce(process, claim.key, this.#chance(0.4) ? 1 : VALUES.length)
    if (this.#chance(0.15)) this.#gateways.kill(name)
    const outcomes = await pending.outcomes()
    if (!this.#isUp(process)) return false
    const isIn = outcomes.length === VALUES.length && outcomes.every(({ type }) => type === 'delivered')
    const persisted = claim.key.told(isIn ? 'yes' : 'pending')
    const body = Buffer.from(JSON.stringify(outcomes))
    this.#carrying.delete(process)
    await new Promise<void>(resolve => claim.key.answered({ status: 200, headers: [], body }, persisted, resolve))
    if (persisted === 'yes') this.#answers.add(String(body))
    return persisted === 'yes'
  }

  /** A request that is killed may have written its first record only. */
  #produce(process: Process, key: Parameters<KeyedRequests['produce']>[1], count: number): PendingProduce {
    const first = this.#requests.sequence
    const pending = this.#requests.produce(process.name, key, VALUES.slice(0, count))
    for (let sequence = first; sequence < this.#requests.sequence; sequence++) this.#waiting.set(sequence, process.name)
    process.own.holder.flush()
    return pending
  }

  /** Kafka acknowledges some of the records that gateways have in their logs. */
  #deliverSome(): void {
    for (const [sequence, name] of this.#waiting) {
      const process = this.#gateways.running.get(name)
      if (process === undefined || this.#chance(0.5)) continue
      this.#waiting.delete(sequence)
      process.own.holder.settled(sequence, deliveredAt(sequence))
      process.own.holder.flush()
    }
  }

  /** All gateways run, and reach each other. */
  async #end(): Promise<void> {
    this.#isCalm = true
    this.#gateways.cut.clear()
    await this.#startMissing()
    await this.#clock.tickAsync(60_000)
    this.#gateways.refresh()
    for (let nth = 0; nth < LAST_REQUESTS; nth++) {
      this.#deliverSome()
      const last = this.#request(this.#any())
      await this.#clock.tickAsync(15_000)
      if (await last) return
      await this.#startMissing()
    }
    this.broken.add('known')
  }
}

/** @returns what is broken, with the seed of the world */
async function brokenIn(worlds: number, plant: (process: Process) => void = () => undefined): Promise<string[]> {
  const broken: string[] = []
  for (let seed = 1; seed <= worlds; seed++)
    for (const one of await new World(seed, plant).run()) broken.push(`seed ${seed}: ${INVARIANTS[one]}`)
  return broken
}

describe('a request with a key in worlds of gateways that fail', () => {
  it(`keeps in ${WORLDS} worlds that ${Object.values(INVARIANTS).join(', that ')}`, async () => {
    expect(await brokenIn(WORLDS)).to.deep.equal([])
  })

  it('is written twice where gateways do not say which records they have', async () => {
    const broken = await brokenIn(WORLDS, ({ peers }) =>
      peers.handlers.set('key records', async () => ({ isUnderWay: false, view: undefined }))
    )
    expect(broken.join()).to.include(INVARIANTS.once)
  })
})
