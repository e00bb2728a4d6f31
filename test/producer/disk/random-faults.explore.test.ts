import { expect } from 'chai'
import fc from 'fast-check'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { DurableHarness, type SentToDisk } from '../../support/durable-harness.js'
import type { Script } from '../../support/fake-router.js'

type Step =
  | { readonly type: 'send'; readonly topic: string; readonly keys: readonly (string | null)[]; readonly bytes: number }
  | { readonly type: 'poison'; readonly topic: string; readonly key: string | null }
  | {
      readonly type: 'fault'
      readonly topic: string
      readonly partition: number
      readonly script: Script
      readonly times: number
    }
  | { readonly type: 'away'; readonly isAway: boolean }
  | { readonly type: 'grow'; readonly topic: string }
  | { readonly type: 'hide'; readonly topic: string }
  | { readonly type: 'release' }
  | { readonly type: 'kill' }
  | { readonly type: 'pass'; readonly milliseconds: number }

const TOPICS = ['orders', 'audit', 'late']
const topic = fc.constantFrom(...TOPICS)
const key = fc.constantFrom(null, 'a', 'b', 'c', 'd')
const reject = (code: keyof typeof errorCodes): Script => ({ type: 'reject', errorCode: errorCodes[code] })

const script: fc.Arbitrary<Script> = fc.constantFrom<Script>(
  reject('NOT_LEADER_OR_FOLLOWER'),
  reject('UNKNOWN_TOPIC_OR_PARTITION'),
  reject('NOT_ENOUGH_REPLICAS'),
  reject('TOPIC_AUTHORIZATION_FAILED'),
  { type: 'appendThenReject', errorCode: errorCodes.REQUEST_TIMED_OUT },
  { type: 'loseRequest' },
  { type: 'loseResponse' },
  { type: 'notSent', reason: 'noLeader' },
  { type: 'notSent', reason: 'unknownTopic' },
  { type: 'hold' }
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('send' as const),
      topic,
      keys: fc.array(key, { minLength: 1, maxLength: 30 }),
      bytes: fc.constantFrom(0, 10, 3_000)
    })
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('poison' as const), topic, key }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('fault' as const),
      topic,
      partition: fc.nat(3),
      script,
      times: fc.integer({ min: 1, max: 3 })
    })
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('away' as const), isAway: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('grow' as const), topic }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('hide' as const), topic }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('release' as const) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('kill' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('pass' as const),
      milliseconds: fc.constantFrom(0, 1, 2, 3, 5, 20, 100, 700, 4_000)
    })
  }
)

/** Plays a story; at the end of it all is well, and Kafka has to have what it should. */
class Story {
  readonly #harness: DurableHarness
  readonly #sent: {
    readonly value: string
    readonly key: string | null
    readonly topic: string
    readonly request: SentToDisk
  }[] = []
  readonly #poisoned = new Set<string>()
  readonly #hidden = new Map<string, ReturnType<DurableHarness['router']['create']>>()
  #count = 0

  constructor(harness: DurableHarness) {
    this.#harness = harness
  }

  async play(steps: readonly Step[]): Promise<void> {
    await this.#harness.start()
    for (const one of steps) await this.#do(one)
    await this.#mend()
  }

  async #do(step: Step): Promise<void> {
    const { router } = this.#harness
    switch (step.type) {
      case 'send':
        for (const one of step.keys) this.#send(step.topic, one, `${this.#count++} ${'x'.repeat(step.bytes)}`)
        break
      case 'poison': {
        const value = `${this.#count++} poison`
        this.#poisoned.add(value)
        for (const partitions of [...router.topics.values(), ...this.#hidden.values()]) {
          for (const { poison } of partitions) poison.add(value)
        }
        this.#send(step.topic, step.key, value)
        break
      }
      case 'fault': {
        const partition = router.topics.get(step.topic)?.[step.partition]
        for (let time = 0; time < step.times; time++) partition?.script.push(step.script)
        break
      }
      case 'away':
        router.isAway = step.isAway
        break
      case 'grow':
        this.#grow(step.topic)
        break
      case 'hide': {
        const partitions = router.topics.get(step.topic)
        if (partitions === undefined) this.#show(step.topic)
        else this.#hidden.set(step.topic, partitions)
        if (partitions !== undefined) router.topics.delete(step.topic)
        break
      }
      case 'release':
        router.release()
        break
      case 'kill':
        await this.#harness.restart()
        break
      case 'pass':
        await this.#harness.pass(step.milliseconds)
    }
  }

  #send(to: string, withKey: string | null, value: string): void {
    const request = this.#harness.send({ topic: to, key: withKey, value })
    this.#sent.push({ value, key: withKey, topic: to, request })
  }

  #grow(name: string): void {
    const { router } = this.#harness
    const partitions = router.topics.get(name)
    if (partitions === undefined || partitions.length >= 4) return
    const before = partitions.length
    router.tables.want(name)
    for (const added of router.create(name, before + 1).slice(before)) {
      for (const value of this.#poisoned) added.poison.add(value)
    }
  }

  #show(name: string): void {
    const partitions = this.#hidden.get(name)
    if (partitions !== undefined) this.#harness.router.topics.set(name, partitions)
  }

  async #mend(): Promise<void> {
    const { router } = this.#harness
    router.isAway = false
    for (const name of this.#hidden.keys()) this.#show(name)
    for (let round = 0; round < 12; round++) {
      router.release()
      await this.#harness.pass(10_000)
    }
  }

  async check(): Promise<void> {
    const { appended, topics } = this.#harness.router
    const places = new Map(appended.map(({ value }, at) => [value, at]))
    expect(places.size, 'appended once each').to.equal(appended.length)
    for (const { value, topic: to, request } of this.#sent) {
      const isThere = appended.some(record => record.value === value)
      if (this.#poisoned.has(value)) expect(isThere, `poison ${value}`).to.equal(false)
      else if (request.isAccepted && request.lateRefusals === undefined)
        expect(
          isThere,
          `${value.slice(0, 12)} was accepted for ${to} with ${topics.get(to)?.length} partitions`
        ).to.equal(true)
    }
    for (const to of TOPICS) {
      for (const one of ['a', 'b', 'c', 'd']) {
        const order = this.#sent
          .filter(sent => sent.topic === to && sent.key === one && places.has(sent.value))
          .map(({ value }) => places.get(value)!)
        expect(order, `order of ${one} in ${to}`).to.deep.equal([...order].sort((x, y) => x - y))
      }
    }
    const log = this.#harness.queue.log!
    log.flushCompletions()
    const { openEntries } = await log.look()
    const letters = [...readDeadLetters(this.#harness.disk.directory)]
    expect(openEntries, 'nothing is left').to.equal(0)
    const accepted = this.#sent.filter(({ value, request }) => this.#poisoned.has(value) && request.isAccepted)
    expect(letters.length).to.be.at.least(accepted.length)
  }
}

describe('delivery from the durable log under random faults', function () {
  this.timeout(300_000)

  it('durable-queue: loses, repeats and reorders nothing through faults, kills, added partitions and topics that come and go', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(12, 64, 1024),
        async (steps, kib) => {
          const harness = new DurableHarness({
            topics: { orders: 2, audit: 1, late: 3 },
            wal: { readAheadBytes: kib * 1024, segmentBytes: 64 * 1024 },
            delivery: { batchMaxBytes: 10_000, createTopics: false }
          })
          harness.hostLatencyMs = 2
          try {
            const story = new Story(harness)
            await story.play(steps)
            await story.check()
          } finally {
            harness.restore()
          }
        }
      ),
      { numRuns: Number(process.env.RUNS ?? 150) }
    )
  })
})
