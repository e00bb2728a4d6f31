import { createHash, randomUUID } from 'node:crypto'
import { expect } from 'chai'
import { newTokenGiver } from '../../../src/consumer/queue/queue-token.js'
import { NOTHING_TO_SETTLE, type QueueMessage, type Settlement } from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import { WIDE_LIMITS } from '../../support/queue-limits.js'
import { freshTopic } from '../../support/target-cluster.js'
import { LinkedGateway } from '../linked-gateways.js'
import { kafkaVersion } from './jars.js'

const ASKED = { waitMs: 20_000, maxBytes: 1_048_576, lockMs: undefined, start: 'earliest', mayAlter: true }

describe('a queue of two gateways that know each other, over real Kafka', function () {
  this.timeout(120_000)
  const on = onTargetCluster()
  const all: LinkedGateway[] = []
  let topic: string
  let group: string

  before(function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
  })
  beforeEach(async () => {
    topic = freshTopic('queues')
    group = `workers-${randomUUID()}`
    await on.cluster.createTopic(topic, 3)
  })
  afterEach(async () => {
    for (const one of [...all]) await one.close()
  })

  /** @param name of the gateway; a process of it that is started again has another id */
  const start = (id: string, name: string): Promise<LinkedGateway> => {
    const giver = newTokenGiver(createHash('sha256').update(name).digest().subarray(0, 12))
    return LinkedGateway.open(all, id, { brokers: on.cluster.bootstrap }, { queues: { limits: WIDE_LIMITS, giver } })
  }
  const acquire = (at: LinkedGateway, count: number): Promise<readonly QueueMessage[]> =>
    new Promise((resolve, reject) => {
      at.verbs.queues.acquire(
        topic,
        group,
        { ...ASKED, count, client: 'x' },
        {
          reply: result => (result.type === 'acquired' ? resolve(result.messages) : reject(new Error(result.message)))
        }
      )
    })
  const take = async (at: LinkedGateway, count: number): Promise<QueueMessage[]> => {
    const found: QueueMessage[] = []
    while (found.length < count) found.push(...(await acquire(at, count - found.length)))
    return found
  }
  const outcomes = async (at: LinkedGateway, words: Partial<Settlement>): Promise<string[]> =>
    (await at.verbs.queues.settle(topic, group, { ...NOTHING_TO_SETTLE, ...words }, 'x')).map(({ outcome }) => outcome)
  const tokensOf = (messages: readonly QueueMessage[]): string[] => messages.map(({ token }) => token)
  const write = async (count: number): Promise<void> => {
    const records = Array.from({ length: count }, (_, at) => ({ topic, partition: at % 3, key: null, value: `m${at}` }))
    const results = await on.castellan.produce(records)
    expect(results.map(({ type }) => type)).to.deep.equal(records.map(() => 'delivered'))
  }

  it('is settled at either of them, and Kafka offers nothing of it again', async () => {
    const [a, b] = [await start('a', 'one'), await start('b', 'two')]
    await write(12)
    const ofA = await take(a, 6)
    const ofB = await take(b, 6)
    const accept = tokensOf([ofB[0]!, ofA[0]!, ...ofB.slice(1), ...ofA.slice(1)])
    expect(await outcomes(a, { accept })).to.deep.equal(accept.map(() => 'done'))
    expect(await outcomes(b, { accept })).to.deep.equal(accept.map(() => 'done'))
    await Promise.all([a.close(), b.close()])
    const next = await start('c', 'one')
    await write(1)
    expect(
      (await take(next, 1)).map(({ record, deliveryCount }) => [String(record.value), deliveryCount])
    ).to.deep.equal([['m0', 1]])
  })

  it('tells of messages whose holder cannot be reached, and whose holder has ended', async () => {
    const [a, b] = [await start('a', 'one'), await start('b', 'two')]
    await write(2)
    const [first, second] = await take(b, 2)
    expect(await outcomes(a, { renew: [first!.token] })).to.deep.equal(['done'])
    b.cut()
    expect(await outcomes(a, { accept: [first!.token] })).to.deep.equal(['elsewhere'])
    expect(await outcomes(b, { accept: [first!.token] })).to.deep.equal(['done'])
    b.join()
    expect(await outcomes(a, { accept: [first!.token] })).to.deep.equal(['done'])
    await b.close()
    const [again] = await take(a, 1)
    expect([String(again!.record.value), again!.deliveryCount]).to.deep.equal([String(second!.record.value), 2])
    expect(await outcomes(a, { accept: [second!.token] })).to.deep.equal(['elsewhere'])
    const anew = await start('b2', 'two')
    expect(await outcomes(a, { accept: [second!.token] })).to.deep.equal(['lost'])
    expect(await outcomes(anew, { release: [second!.token], accept: [again!.token] })).to.deep.equal(['done', 'lost'])
  })
})
