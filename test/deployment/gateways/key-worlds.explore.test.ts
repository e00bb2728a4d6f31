import { expect } from 'chai'
import sinon from 'sinon'
import { localKeys } from '../../support/local-keys.js'
import { SeededRandom } from '../../support/random.js'
import { type KeyGateway, KeyGateways } from './key-gateways.js'

const NAMES = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const LINES = 'one\ntwo'
const STEPS = 30
const WORLDS = 60
/** Requests that a client sends at the end, when all gateways run, until it has the answer. */
const LAST_REQUESTS = 25

/** What must hold in each world. */
const INVARIANTS = {
  once: 'each record of the request is written once',
  same: 'all requests get the same answer',
  known: 'a client that tries long enough gets the answer'
} as const
type Broken = keyof typeof INVARIANTS

/**
 * Three gateways, one request with a key that comes again and again at any of them, and a network and machines that fail: calls
 * are lost, come late or lose their answers, gateways are killed, or do not reach each other. Everything follows from the seed.
 */
class World {
  readonly #random: SeededRandom
  readonly #clock = sinon.useFakeTimers({
    now: 1_000_000,
    toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance']
  })
  readonly #gateways = new KeyGateways(NAMES)
  readonly #key = this.#gateways.keyOf(NAMES[1])
  readonly #plant: (gateway: KeyGateway) => void
  readonly #answers = new Set<string>()
  #isCalm = false

  /** @param plant breaks each process that starts */
  constructor(seed: number, plant: (gateway: KeyGateway) => void) {
    this.#random = new SeededRandom(seed)
    this.#plant = plant
    this.#gateways.kafka.isUp = false
    const { call } = this.#gateways
    this.#gateways.call = (from, to, name, body) => this.#travel(() => call.call(this.#gateways, from, to, name, body))
  }

  async run(): Promise<readonly Broken[]> {
    const broken: Broken[] = []
    try {
      await this.#startMissing()
      for (let step = 0; step < STEPS; step++) {
        await this.#step()
        await this.#clock.tickAsync(this.#chance(0.3) ? 3_000 : this.#below(400))
        if (this.#chance(0.5)) this.#gateways.kafka.giveUp()
        if (this.#chance(0.3)) await this.#gateways.refresh()
      }
      if (!(await this.#isKnownInTheEnd())) broken.push('known')
      const values = this.#gateways.kafka.accepted.map(text => text.split(' ')[0])
      if (new Set(values).size !== values.length) broken.push('once')
      if (this.#answers.size > 1) broken.push('same')
      return broken
    } finally {
      this.#gateways.close()
      this.#clock.restore()
    }
  }

  #below = (limit: number): number => Math.floor(this.#random.next() * limit)
  #chance = (share: number): boolean => this.#random.next() < share
  #any = (): string => this.#random.pick(NAMES)
  #pause = (durationMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, durationMs))

  /** A call may come late, be lost, or lose its answer. */
  async #travel(send: () => Promise<unknown>): Promise<unknown> {
    const fate = this.#isCalm ? 1 : this.#random.next()
    if (fate < 0.05) setTimeout(() => void send().catch(() => undefined), 7_000 + this.#below(3_000))
    await this.#pause(this.#below(30))
    if (fate >= 0.1) {
      const answer = await send()
      await this.#pause(this.#below(30))
      if (fate >= 0.2) return answer
    }
    await this.#pause(1_000)
    throw new Error('no answer')
  }

  async #step(): Promise<void> {
    const dice = this.#random.next()
    const [one, other] = [this.#any(), this.#any()]
    if (dice < 0.55) void this.#request(one)
    else if (dice < 0.7) this.#gateways.kafka.deliver(() => this.#chance(0.5))
    else if (dice < 0.8) {
      if (this.#gateways.running.has(one)) this.#gateways.kill(one)
    } else if (dice < 0.92) await this.#start(one)
    else if (dice < 0.96) this.#gateways.cut.add(`${one}>${other}`)
    else this.#gateways.cut.clear()
  }

  async #start(name: string): Promise<void> {
    if (this.#gateways.running.has(name)) return
    const gateway = await this.#gateways.create(name)
    this.#plant(gateway)
    await this.#gateways.appear(gateway)
  }

  async #startMissing(): Promise<void> {
    for (const name of NAMES) await this.#start(name)
    await this.#clock.tickAsync(5_000)
    await this.#gateways.refresh()
  }

  /** @returns whether the request has its final answer */
  async #request(name: string): Promise<boolean> {
    const process = this.#gateways.running.get(name)?.process
    const seen = await process?.send(this.#key, LINES)
    if (seen === undefined || process?.isKilled !== false || seen.persisted !== 'yes') return false
    this.#answers.add(seen.body)
    return true
  }

  /** All gateways run, and reach each other. */
  async #isKnownInTheEnd(): Promise<boolean> {
    this.#isCalm = true
    this.#gateways.cut.clear()
    await this.#startMissing()
    await this.#clock.tickAsync(60_000)
    for (let nth = 0; nth < LAST_REQUESTS; nth++) {
      this.#gateways.kafka.deliver()
      const last = this.#request(this.#any())
      for (let part = 0; part < 5; part++) {
        await this.#clock.tickAsync(3_000)
        this.#gateways.kafka.deliver()
        this.#gateways.kafka.giveUp()
        await this.#gateways.refresh()
      }
      if (await last) return true
    }
    return false
  }
}

/** @returns what is broken, with the seed of the world */
async function brokenIn(worlds: number, plant: (gateway: KeyGateway) => void = () => undefined): Promise<string[]> {
  const broken: string[] = []
  for (let seed = 1; seed <= worlds; seed++)
    for (const one of await new World(seed, plant).run()) broken.push(`seed ${seed}: ${INVARIANTS[one]}`)
  return broken
}

describe('a request with a key at gateways that fail', function () {
  this.timeout(120_000)

  it('is carried out once, and answered alike, in each world', async () => {
    expect(await brokenIn(WORLDS)).to.deep.equal([])
  })

  for (const [what, invariant, plant] of [
    ['carries out what another one owns', 'once', ({ owners }: KeyGateway) => (owners.ownerOf = () => undefined)],
    [
      'forgets the records of a key when it is started again',
      'once',
      ({ process: { keys } }: KeyGateway) => {
        const fresh = localKeys({ windowMs: 86_400_000 })
        keys.claim = asked => fresh.claim(asked)
        keys.claimWithin = (asked, waitMs, left) => fresh.claimWithin(asked, waitMs, left)
      }
    ]
  ] as const) {
    it(`is found to be carried out twice where a gateway ${what}`, async () => {
      expect((await brokenIn(WORLDS, plant)).join()).to.contain(INVARIANTS[invariant])
    })
  }
})
