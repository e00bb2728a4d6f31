import { expect } from 'chai'
import {
  type AcknowledgeResult,
  type AcknowledgeType,
  type Acquired,
  QueueReader
} from '../../../src/consumer/queue/queue-reader.js'
import type { ShareSession } from '../../../src/consumer/queue/share-session.js'
import { silentLogger } from '../../../src/core/model.js'
import { kafkaFailure, ownFailure } from '../../../src/router/requests/failures.js'
import { FakeTime } from '../../support/fake-time.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { FakeShareRouter } from './fake-share-router.js'

const WORDS = ['accept', 'release', 'reject', 'renew'] as const
const ACTS = [
  ...(['write', 'want', 'settle', 'settle', 'settle', 'pass'] as const),
  ...(['fail', 'refuse', 'loseAnswer', 'move', 'latency'] as const)
]
const FAILURES = [
  kafkaFailure(122),
  kafkaFailure(123),
  kafkaFailure(-1),
  { type: 'timedOut' },
  ownFailure('brokerUnreachable', 'closed', true),
  ownFailure('overloaded', 'full', true)
] as const
const LOCK_MS = 2_000
/** Longer than all limits of calls. */
const LONG_MS = 25_000

/** A word for a message, and how many words Kafka had taken when it was given. */
interface Given {
  readonly message: Acquired
  readonly word: AcknowledgeType
  readonly since: number
  settled: AcknowledgeResult | undefined
}

const placeOf = ({ lock }: Acquired): string => `${lock.partition}:${lock.offset}`

class World {
  readonly router = new FakeShareRouter([1, 2, 3, 1])
  /** The newest acquisition of each message. */
  readonly acquired = new Map<string, Acquired>()
  readonly given: Given[] = []
  readonly wrong: string[] = []
  readonly reader: QueueReader
  readonly #random: SeededRandom
  readonly #busy = new Set<Acquired>()
  #wanted = 0

  constructor(
    readonly time: FakeTime,
    seed: number
  ) {
    this.#random = new SeededRandom(seed)
    this.router.lockMs = LOCK_MS
    this.reader = new QueueReader({
      topic: 'jobs',
      groupId: 'workers',
      router: this.router,
      now: time.now,
      log: silentLogger,
      events: {
        demand: () => ({ messages: this.#wanted, maxBytes: 1_000, until: time.now() + 10_000 }),
        acquired: messages => {
          for (const one of messages) this.acquired.set(placeOf(one), one)
          this.#wanted = Math.max(0, this.#wanted - messages.length)
        },
        lost: () => undefined,
        failed: () => undefined,
        recovered: () => undefined
      }
    })
  }

  async step(): Promise<void> {
    const random = this.#random
    const act = random.pick(ACTS)
    if (act === 'write') this.router.write(random.between(1, 5), random.between(0, 3))
    else if (act === 'want') this.want(random.between(1, 8))
    else if (act === 'settle') for (let count = random.between(1, 6); count > 0; count--) this.#settleOne()
    else if (act === 'move') this.router.lead([1, 2, 3, 1].map(() => random.between(1, 3)))
    else if (act === 'latency') this.router.latencyMs = random.pick([1, 1, 5, 60])
    else if (act === 'pass') await this.time.pass(random.between(1, 300))
    else if (act === 'refuse') this.router.refusals.push({ errorCode: random.pick([121, 42, 29, 7]) })
    else if (act === 'loseAnswer') this.router.lostAnswers++
    else {
      const kind = random.pick(['shareFetch', 'shareAcknowledge'] as const)
      this.router.scripted.push({ kind, result: random.next() < 0.1 ? 'silence' : random.pick(FAILURES) })
    }
    await this.time.pass(random.between(0, 20))
  }

  want(count: number): void {
    this.#wanted += count
    this.reader.wake()
  }

  #settleOne(): void {
    const free = [...this.acquired.values()].filter(message => !this.#busy.has(message))
    if (free.length > 0) void this.settle(this.#random.pick(free), this.#random.pick(WORDS))
  }

  async settle(message: Acquired, word: AcknowledgeType): Promise<void> {
    const given: Given = { message, word, since: this.router.told.length, settled: undefined }
    this.given.push(given)
    this.#busy.add(message)
    given.settled = await new Promise(settled => this.reader.settle(message.lock, word, settled))
    if (word === 'renew') this.#busy.delete(message)
    this.#check(given)
  }

  /** Notes where what is told about a word is not what Kafka has done with it. */
  #check({ message, word, since, settled }: Given): void {
    const { memberId } = message.lock.session as ShareSession
    const key = `${memberId} ${placeOf(message)} ${word}`
    const isTaken = this.router.told.indexOf(key, since) >= 0
    const { outcome } = settled!
    if (outcome !== 'unknown' && isTaken !== (outcome === 'done')) this.wrong.push(`${key} is told as ${outcome}`)
  }

  /** All goes well from now on: each message is accepted in the end. */
  async finish(): Promise<void> {
    this.router.scripted.length = this.router.refusals.length = this.router.lostAnswers = 0
    this.router.latencyMs = 1
    await this.time.pass(LONG_MS, 25)
    for (const { message, word, settled } of this.given)
      expect(settled, `${word} of ${placeOf(message)}`).to.not.equal(undefined)
    for (let round = 0; round < 6; round++) {
      this.want(200)
      for (const message of this.acquired.values()) if (!this.#busy.has(message)) void this.settle(message, 'accept')
      await this.time.pass(1_000, 10)
    }
    expect(this.wrong, 'words').to.deep.equal([])
    const left = this.router.partitions.flatMap(({ records }) => records).filter(({ isSettled }) => !isSettled)
    expect(left, 'messages that nobody could settle').to.deep.equal([])
    const closed = this.reader.close(1_000)
    await this.time.pass(1_500, 10)
    await closed
    expect(this.time.timers - this.router.pending, 'timers that are left').to.equal(0)
  }
}

describe('the reader of a queue, with faults in any order', () => {
  const first = testSeed()
  for (let seed = first; seed < first + 12; seed++)
    it(`settles each word once, as Kafka has done, and gets each message in the end (seed ${seed})`, async () => {
      const time = new FakeTime()
      try {
        const world = new World(time, seed)
        for (let step = 0; step < 80; step++) await world.step()
        await world.finish()
      } finally {
        time.restore()
      }
    })
})
