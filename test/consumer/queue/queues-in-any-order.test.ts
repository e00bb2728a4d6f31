import { expect } from 'chai'
import type { AcknowledgeType } from '../../../src/consumer/queue/queue-reader.js'
import { leftOfLock, type QueueMessage } from '../../../src/consumer/queue/queue-verbs.js'
import type { HeldRecords } from '../../../src/core/record-budget.js'
import { QueueHistory } from '../../support/queue-history/queue-history.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { type Client, ScriptedQueues } from './scripted-queues.js'
import { RECORD_BYTES, SharePartitionModel } from './share-partition-model.js'

const LOCK_MS = 5_000
const LIMIT = 3
const MESSAGES = 30
const CLIENTS = ['ann', 'bob', 'cid']
const GATEWAY = 'the only one'
/** Longer than the model takes to answer a word. */
const TRANSIT_MS = 100
/** For about six messages. */
const LITTLE_MEMORY = 6 * RECORD_BYTES + 1
const STEPS = 250
const WORDS: readonly AcknowledgeType[] = ['accept', 'accept', 'accept', 'release', 'reject', 'renew']

/** A run of clients that take, settle, wait too long and go, and what must hold at each moment. */
class Run {
  readonly #random: SeededRandom
  readonly #script: ScriptedQueues
  #model: SharePartitionModel | undefined
  readonly #clients: Client[] = []
  /** All tokens that were given. */
  readonly #given: string[] = []
  readonly #history = new QueueHistory()
  readonly #open = new Set<Promise<void>>()

  /** Answers that clients have not read yet. */
  readonly #unread: HeldRecords[] = []

  /** @param recordBytes memory for records */
  constructor(seed: number, recordBytes: number) {
    this.#random = new SeededRandom(seed)
    this.#script = new ScriptedQueues({
      openReader: (_topic, _groupId, events) => {
        const of = { random: this.#random, now: this.#script.time.now, events, lockMs: LOCK_MS, limit: LIMIT }
        const model = new SharePartitionModel(MESSAGES, of)
        if (this.#model !== undefined) model.messages.splice(0, MESSAGES, ...this.#model.messages)
        return (this.#model = model)
      },
      limits: { maxHeldPerClient: 8, maxLockMs: 20_000 },
      recordBytes
    })
    this.#script.settings = {
      start: 'earliest',
      lockMs: LOCK_MS,
      deliveryLimit: LIMIT,
      deadLetters: null,
      isolation: 'readUncommitted'
    }
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.#step()
      await this.#script.time.pass(this.#random.pick([5, 20, 100, 400]), 20)
      for (const client of this.#clients) this.#note(client)
      if (this.#random.next() < 0.3) this.#unread.shift()?.release()
    }
    for (const held of this.#unread) held.release()
    const drained = this.#script.queues.drain(LOCK_MS)
    await this.#script.time.pass(6 * LOCK_MS, 50)
    await drained
    await Promise.all(this.#open)
  }

  /** What must hold when it is over. */
  check(): void {
    for (const { results } of this.#clients) expect(results.length).to.be.at.most(1)
    expect(this.#clients.filter(client => client.results.length === 0 && !this.#gone.has(client))).to.deep.equal([])
    expect(this.#script.queues.held).to.equal(0)
    expect(this.#script.records.heldBytes).to.equal(0)
    expect(this.#script.metrics.gaugeOf('held_messages')).to.equal(0)
    const told = new Set(this.#script.archived)
    const archived = this.#model!.messages.filter(({ state }) => state === 'archived').map(({ offset }) => offset)
    expect(archived.filter(offset => !told.has(offset))).to.deep.equal([])
    const { problems } = this.#history.verdict({ deliveryLimit: LIMIT, transitMs: TRANSIT_MS, locksEndUnheard: false })
    expect(problems).to.deep.equal([])
  }

  get counts(): string {
    const { messages } = this.#model!
    const of = (state: string): number => messages.filter(one => one.state === state).length
    return `accepted ${of('accepted')}, archived ${of('archived')}, given ${this.#given.length}`
  }

  restore(): void {
    this.#script.time.restore()
  }

  readonly #gone = new Set<Client>()

  async #step(): Promise<void> {
    const luck = this.#random.next()
    if (luck < 0.35) {
      const count = this.#random.between(1, 4)
      const lockMs = [undefined, undefined, 1_500, 12_000][this.#random.between(0, 3)]
      const client = this.#random.pick(CLIENTS)
      const waitMs = this.#random.pick([0, 500, 3_000])
      const askedAt = this.#now
      const asked = await this.#script.acquire({ count, lockMs, client, waitMs })
      this.#clients.push(asked)
      this.#askedAt.set(asked, askedAt)
    } else if (luck < 0.75) this.#settleOne()
    else if (luck < 0.85) this.#leave()
    else if (luck < 0.93) this.#unseen()
    else if (luck < 0.97) this.#model?.loseSession()
    else this.#model?.moveLeader()
  }

  #note(client: Client): void {
    if (this.#noted.has(client) || client.results.length === 0) return
    this.#noted.add(client)
    const name = this.#random.pick(CLIENTS)
    this.#unread.push(this.#script.records.hold(client.messages.length * RECORD_BYTES, name))
    for (const { token, record, deliveryCount, lockEndsAt } of client.messages) {
      this.#given.push(token)
      const times = { askedAt: this.#askedAt.get(client)!, at: client.answeredAt }
      this.#history.acquired({
        message: String(record.offset),
        token,
        gateway: GATEWAY,
        deliveryCount,
        lockMs: leftOfLock(lockEndsAt, client.answeredAt),
        ...times
      })
    }
  }

  readonly #noted = new Set<Client>()
  readonly #askedAt = new Map<Client, number>()

  get #now(): number {
    return this.#script.time.now()
  }

  #settleOne(): void {
    if (this.#given.length === 0) return
    // Mostly a recent token, at times one of long ago.
    const from = this.#random.next() < 0.7 ? Math.max(0, this.#given.length - 6) : 0
    const token = this.#given[this.#random.between(from, this.#given.length - 1)]!
    const word = this.#random.pick(WORDS)
    const delayMs = this.#random.pick([0, 0, 800, 8_000])
    const sentAt = this.#now
    const said = this.#history.said({ token, word, gateway: GATEWAY, sentAt, answeredAt: Number.POSITIVE_INFINITY })
    const done = this.#script.settle({ [word]: [token], delayMs }).then(([result]) => {
      Object.assign(said, { answeredAt: this.#now, outcome: result!.outcome, reason: result!.reason })
    })
    this.#open.add(done)
  }

  #leave(): void {
    const waiting = this.#clients.filter(client => client.results.length === 0 && !this.#gone.has(client))
    if (waiting.length === 0) return
    const client = this.#random.pick(waiting)
    this.#gone.add(client)
    client.leave()
  }

  #unseen(): void {
    const answered = this.#clients.filter(client => client.messages.length > 0)
    if (answered.length === 0) return
    const messages: readonly QueueMessage[] = this.#random.pick(answered.slice(-3)).messages
    this.#script.queues.takeBack(messages)
  }
}

describe('queues whose clients do anything at any time', () => {
  const seed = testSeed()
  for (let at = 0; at < 16; at++) {
    const [memory, name] = at % 2 === 0 ? [1e9, ''] : [LITTLE_MEMORY, ', with little memory']
    it(`settle by no stale token, answer everybody once, and archive nothing untold${name} (seed ${seed + at})`, async () => {
      const run = new Run(seed + at, memory)
      try {
        await run.run()
        run.check()
      } finally {
        if (process.env.COUNTS) console.log(run.counts)
        run.restore()
      }
    })
  }
})
