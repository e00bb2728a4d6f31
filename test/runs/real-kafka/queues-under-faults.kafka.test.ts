import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { openQueues } from '../../../src/client/open-queues.js'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import type { Logger } from '../../../src/core/model.js'
import { type AcquireResult, leftOfLock, type QueueMessage } from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import type { QueueWord } from '../../support/queue-history/queue-events.js'
import { QueueHistory } from '../../support/queue-history/queue-history.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { freshTopic } from '../../support/target-cluster.js'
import { kafkaVersion } from './jars.js'

const MESSAGES = 2_000
const CLIENTS = 40
const FAULTS = 6
const LIMITS = {
  maxLockMs: 60_000,
  mayCreate: true,
  maxHeld: 10_000,
  maxHeldPerClient: 1_000,
  maxWaiting: 2_000,
  maxQueues: 100
}
const GROUP = 'workers'
const DELIVERY_LIMIT = 10
/** Kafka tries only every 30 s to make the states of a new group, if a broker fails meanwhile. */
const SETTLED_WITHIN_MS = 120_000
/** An answer takes no longer to a client within this process. */
const TRANSIT_MS = 5_000

describe('queues of two gateways while brokers fail, on real Kafka', function () {
  this.timeout(300_000)
  before(function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
  })
  const on = onTargetCluster()

  it('settle each message once, and archive none untold', async () => {
    const random = new SeededRandom(testSeed())
    const topic = freshTopic('faults')
    await on.cluster.createTopic(topic, 6)
    const places = new Map<string, string>()
    const history = new QueueHistory()
    const values = Array.from({ length: MESSAGES }, (_, at) => `m${at}`)
    for (const value of values) history.written(value)
    const warn = (fields: object): void => {
      const { partition, offset, because } = fields as { partition: number; offset: number; because?: string }
      const message = places.get(`${partition}/${offset}`)
      if (because !== undefined && message !== undefined) history.archived(message, performance.now(), because)
    }
    const log: Logger = { debug() {}, info() {}, warn, error: warn }
    const { router, delivery } = on.castellan
    const gateways = [1, 2].map(() =>
      openQueues({ cluster: 'default', limits: LIMITS, log, metrics: defaultLogger, router: router.ref, delivery })
    )
    await gateways[0]!.configure(
      topic,
      GROUP,
      { start: 'earliest', deliveryLimit: DELIVERY_LIMIT, lockMs: 15_000 },
      30_000
    )
    const records = values.map((value, at) => ({ topic, partition: at % 6, key: null, value }))
    for (const [at, outcome] of (await on.castellan.produce(records)).entries())
      if (outcome.type === 'delivered') places.set(`${outcome.partition}/${outcome.offset}`, `m${at}`)
    expect(places.size).to.equal(MESSAGES)

    let isOver = false
    const acquire = (queues: Queues, client: string, waitMs: number): Promise<AcquireResult> =>
      new Promise(reply => {
        const count = random.between(1, 5)
        const lockMs = [undefined, 1_500, 40_000][random.between(0, 2)]
        const asked = { count, waitMs, maxBytes: 1_048_576, lockMs, start: undefined, client, mayAlter: true }
        queues.acquire(topic, GROUP, asked, { reply })
      })
    const settleOne = async (queues: Queues, { token }: QueueMessage): Promise<void> => {
      const luck = random.next()
      const word: QueueWord = luck < 0.8 ? 'accept' : luck < 0.93 ? 'release' : 'reject'
      const delayMs = random.between(0, 3) === 0 ? random.between(1, 2_000) : 0
      const words = { accept: [], release: [], reject: [], renew: [], [word]: [token], delayMs }
      const sentAt = performance.now()
      const [result] = await queues.settle(topic, GROUP, words)
      const { outcome, reason } = result!
      history.said({ token, word, gateway: nameOf(queues), sentAt, answeredAt: performance.now(), outcome, reason })
    }
    const nameOf = (queues: Queues): string => String(gateways.indexOf(queues))
    const noteAcquired = (queues: Queues, messages: readonly QueueMessage[], askedAt: number): void => {
      const times = { askedAt, at: performance.now() }
      for (const { record, token, deliveryCount, lockEndsAt } of messages) {
        const lockMs = leftOfLock(lockEndsAt, times.at)
        const told = { message: String(record.value), token, deliveryCount, lockMs }
        history.acquired({ ...told, gateway: nameOf(queues), ...times })
      }
    }
    const work = async (at: number): Promise<void> => {
      const queues = gateways[at % 2]!
      while (!isOver) {
        const askedAt = performance.now()
        const result = await acquire(queues, `client ${at}`, 2_000)
        if (result.type === 'failed') await pass(200)
        else if (random.next() < 0.03) queues.takeBack(result.messages)
        else {
          noteAcquired(queues, result.messages, askedAt)
          if (random.next() < 0.05) await pass(2_000)
          for (const message of result.messages) if (random.next() < 0.95) await settleOne(queues, message)
        }
      }
    }
    const clients = Array.from({ length: CLIENTS }, (_, at) => work(at))
    const faults = (async () => {
      for (let at = 0; at < FAULTS; at++) {
        await pass(1_500)
        const partition = random.between(0, 5)
        const leader = await on.cluster.leaderOf(topic, partition)
        const others = on.cluster.nodeIds.filter(id => id !== leader)
        if (at % 3 === 2) {
          await on.cluster.killNode(leader)
          await on.cluster.reviveNode(leader)
          await on.cluster.recovered([topic])
        } else await on.cluster.moveLeader(topic, partition, random.pick(others))
      }
    })()
    await faults
    const endsAt = performance.now() + SETTLED_WITHIN_MS
    while (performance.now() < endsAt && history.settled < MESSAGES) await pass(500)
    isOver = true
    await Promise.all(clients)
    await Promise.all(gateways.map(queues => queues.drain(0)))

    const end = { deliveryLimit: DELIVERY_LIMIT, transitMs: TRANSIT_MS, locksEndUnheard: false }
    expect(history.verdict(end).problems).to.deep.equal([])
  })
})
