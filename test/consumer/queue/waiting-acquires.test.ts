import { expect } from 'chai'
import { HeldCounts } from '../../../src/consumer/queue/held-counts.js'
import { HeldMessage } from '../../../src/consumer/queue/held-messages.js'
import { WaitingAcquire } from '../../../src/consumer/queue/waiting-acquire.js'
import { WaitingAcquires } from '../../../src/consumer/queue/waiting-acquires.js'
import { HEADER_OBJECT_BYTES } from '../../../src/core/bytes.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import { fakeRecord } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { WIDE_LIMITS } from '../../support/queue-limits.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { lockOf } from './lock-of.js'

const noop = (): void => {}
const CLIENTS = ['ann', 'bob', 'cid']
const LIMIT = 5
const STEPS = 400
/** Moments are kept to ten milliseconds. */
const TICK_MS = 10

/** Acquires of some clients in two queues that do anything, and what they want, counted anew at each step. */
class Run {
  readonly #time = new FakeTime()
  readonly #random: SeededRandom
  readonly #deadlines = new Deadlines(this.#time.now)
  readonly #counts = new HeldCounts({ ...WIDE_LIMITS, maxHeldPerClient: LIMIT })
  readonly #records = new RecordBudget(1e9, this.#time.now)
  readonly #shared = {
    now: this.#time.now,
    deadlines: this.#deadlines,
    counts: this.#counts,
    records: this.#records
  }
  readonly #queues = [0, 1].map(at => new WaitingAcquires(this.#shared, () => this.#toldFree.add(at)))
  readonly #waiting = this.#queues.map(() => new Set<WaitingAcquire>())
  readonly #held: HeldMessage[] = []
  readonly #toldFree = new Set<number>()
  #given = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  async run(): Promise<number> {
    for (let step = 0; step < STEPS; step++) {
      const at = this.#random.between(0, 1)
      const had = this.#queues.map((_, queue) => this.#demanded(queue).messages > 0)
      this.#toldFree.clear()
      const luck = this.#random.next()
      if (luck < 0.35) this.#add(at)
      else if (luck < 0.65) this.#give(at)
      else if (luck < 0.8) this.#settle()
      else if (luck < 0.9) this.#remove(at)
      else await this.#time.pass(this.#random.pick([20, 60, 300]), 20)
      this.#check(step, had, luck >= 0.65 && luck < 0.8)
    }
    return this.#given
  }

  end(): void {
    for (const [at, waiting] of this.#waiting.entries()) for (const one of waiting) this.#queues[at]!.remove(one)
    for (const held of this.#held) {
      this.#counts.move(held, undefined)
      this.#counts.remove()
    }
    this.#deadlines.stop()
    this.#time.restore()
  }

  #add(at: number): void {
    const options = {
      count: this.#random.between(1, 4),
      waitMs: this.#random.pick([0, 100, 1_000]),
      maxBytes: this.#random.between(1, 40),
      lockMs: undefined,
      start: undefined,
      client: this.#random.pick(CLIENTS),
      mayAlter: true
    }
    const due = (one: WaitingAcquire): void => {
      if (one.stopAsking(this.#time.now())) this.#queues[at]!.waitOn(one)
      else this.#leave(at, one)
    }
    const acquire = new WaitingAcquire(options, { reply() {} }, this.#time.now(), due, () => {})
    this.#queues[at]!.add(acquire)
    this.#waiting[at]!.add(acquire)
  }

  #give(at: number): void {
    const acquire = this.#queues[at]!.nextAcquire()
    const able = [...this.#waiting[at]!].filter(({ options }) => this.#counts.freeOf(options.client) > 0)
    if (acquire === undefined) {
      expect(able).to.deep.equal([])
      return
    }
    const ofClient = able.filter(({ options }) => options.client === acquire.options.client)
    expect(acquire, 'the first acquire of a client').to.equal(ofClient[0])
    const held = this.#message()
    if (!acquire.takes(held)) {
      this.#leave(at, acquire)
      return
    }
    this.#given++
    this.#queues[at]!.give(held, acquire, this.#time.now())
    this.#counts.add()
    this.#counts.move(held, acquire.options.client)
    this.#held.push(held)
    if (acquire.missing === 0) this.#leave(at, acquire)
  }

  #message(): HeldMessage {
    const value = Buffer.alloc(this.#random.between(1, 20))
    const record = { offset: this.#given, timestampMs: 0, key: null, value, headers: [] }
    return new HeldMessage({ lock: lockOf(), record }, this.#records.hold(0), this.#time.now(), () => {})
  }

  #settle(): void {
    if (this.#held.length === 0) return
    const [held] = this.#held.splice(this.#random.between(0, this.#held.length - 1), 1)
    this.#counts.move(held!, undefined)
    this.#counts.remove()
  }

  #remove(at: number): void {
    if (this.#waiting[at]!.size > 0) this.#leave(at, this.#random.pick([...this.#waiting[at]!]))
  }

  #leave(at: number, acquire: WaitingAcquire): void {
    this.#waiting[at]!.delete(acquire)
    this.#queues[at]!.remove(acquire)
  }

  /** What is wanted, counted from all acquires. */
  #demanded(at: number): { messages: number; until: number } {
    let messages = 0
    let until = 0
    for (const client of CLIENTS) {
      const ofClient = [...this.#waiting[at]!].filter(one => one.options.client === client && one.state === 'asking')
      const missing = ofClient.reduce((sum, one) => sum + one.missing, 0)
      const wanted = Math.min(missing, this.#shareOf(client))
      messages += wanted
      if (wanted > 0) until = Math.max(until, ...ofClient.map(one => one.deadlineAt))
    }
    return { messages, until }
  }

  #shareOf(client: string): number {
    const isWaited = (waiting: Set<WaitingAcquire>) => [...waiting].some(({ options }) => options.client === client)
    const queues = this.#waiting.filter(isWaited).length
    const free = this.#counts.freeOf(client)
    return free === 0 ? 0 : Math.max(1, Math.floor(free / queues))
  }

  #check(step: number, had: readonly boolean[], isSettled: boolean): void {
    for (const [at, queue] of this.#queues.entries()) {
      const expected = this.#demanded(at)
      const { messages, until } = queue.demand(0)
      expect(messages, `step ${step}`).to.equal(expected.messages)
      if (messages > 0) expect(until - expected.until, `step ${step}`).to.be.within(0, TICK_MS)
      if (isSettled && messages > 0 && !had[at]) expect(this.#toldFree.has(at), `step ${step}`).to.equal(true)
    }
  }
}

describe('the acquires that wait in a queue', () => {
  const seed = testSeed()
  for (let at = 0; at < 10; at++) {
    it(`demand the sum of what they want, and call back when a client may hold more (seed ${seed + at})`, async () => {
      const run = new Run(seed + at)
      try {
        expect(await run.run()).to.be.greaterThan(10)
      } finally {
        run.end()
      }
    })
  }

  it('count headers of messages with their memory', () => {
    const options = { count: 9, waitMs: 0, maxBytes: 3 * HEADER_OBJECT_BYTES, lockMs: undefined, start: undefined }
    const acquire = new WaitingAcquire({ ...options, client: 'ann', mayAlter: true }, { reply() {} }, 0, noop, noop)
    const records = new RecordBudget(1e9, () => 0)
    const held = (headers: number): HeldMessage => {
      const record = {
        ...fakeRecord(0),
        key: null,
        value: null,
        headers: Array(headers).fill({ key: '', value: null })
      }
      return new HeldMessage({ lock: lockOf(), record }, records.hold(0), 0, noop)
    }
    acquire.take(held(2), 0)
    expect([acquire.takes(held(2)), acquire.takes(held(1))]).to.deep.equal([false, true])
    acquire.take(held(1), 0)
    expect(acquire.missing).to.equal(0)
  })
})
