import { expect } from 'chai'
import {
  type Batch,
  type Castellan,
  type Consumer,
  type EmbeddedCluster,
  type Message,
  openCastellan,
  startEmbeddedCluster
} from '../../../src/index.js'
import { turns } from '../../support/ticks.js'
import { inWorld } from './in-world.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('a loop over the messages of a group', function () {
  this.timeout(30_000)
  inWorld()
  let cluster: EmbeddedCluster
  let castellan: Castellan
  let topic: string
  let nth = 0
  const open = () =>
    openCastellan({ brokers: cluster.bootstrap, consumer: { start: 'earliest', heartbeatIntervalMs: 200 } })
  before(async () => {
    cluster = await startEmbeddedCluster()
    castellan = await open()
  })
  beforeEach(() => {
    topic = `orders-${nth++}`
    cluster.createTopic(topic)
  })
  after(async () => {
    await castellan.close(0)
    await cluster.close()
  })

  const write = async (to: string, values: readonly string[], partition = 0): Promise<void> => {
    const records = values.map(value => ({ topic: to, partition, key: null, value }))
    const pending = castellan.gateway.produce(records, { partitioner: 'murmur2', deadlineMs: 20_000 })
    for (const outcome of await pending.outcomes()) expect(outcome.type).to.equal('delivered')
  }
  const consume = (signal?: AbortSignal) => castellan.consume({ group: 'billing', topics: topic, signal })
  /** Takes so many messages, acknowledges them, and leaves. */
  const take = async (consumer: Consumer, count: number): Promise<string[]> => {
    const values: string[] = []
    for await (const message of consumer) {
      values.push(String(message.value))
      message.ack()
      if (values.length === count) break
    }
    return values
  }

  const ends: Readonly<Record<string, (loop: Consumer, stop: AbortController) => Promise<unknown>>> = {
    break: async loop => {
      for await (const message of loop) if (String(message.value) === 'm2') break
    },
    throw: async loop => {
      const failing = (async () => {
        for await (const message of loop) if (String(message.value) === 'm2') throw new Error('no more')
      })()
      expect(await failing.catch(({ message }: Error) => message)).to.equal('no more')
    },
    return: async loop => {
      for (let at = 0; at < 3; at++) await loop.next()
      await loop.return!()
    },
    'its signal': async (loop, stop) => {
      for (let at = 0; at < 3; at++) await loop.next()
      stop.abort()
    },
    'its disposal': async loop => {
      await using left = loop
      for (let at = 0; at < 3; at++) await left.next()
    },
    'a batch that nobody acknowledged': async loop => {
      for await (const batch of loop.batches({ maxMessages: 3 })) if (batch.length > 0) break
    }
  }
  for (const [how, end] of Object.entries(ends))
    it(`releases at once, in order, what nobody has acknowledged: left by ${how}`, async () => {
      await write(topic, numbered('m', 6))
      const stop = new AbortController()
      await end(consume(stop.signal), stop)
      const startedAt = performance.now()
      expect(await take(consume(), 6)).to.deep.equal(numbered('m', 6))
      expect(performance.now() - startedAt).to.be.below(2_000)
    })

  it('takes an acknowledgement after its end, until the message is offered again', async () => {
    await write(topic, numbered('m', 4))
    const given: Message[] = []
    for await (const message of consume()) if (given.push(message) === 3) break
    given[1]!.ack()
    given[0]!.release()
    expect(await take(consume(), 3)).to.deep.equal(['m0', 'm2', 'm3'])
  })

  it('takes an acknowledgement of the message that would be offered next', async () => {
    await write(topic, numbered('m', 2))
    const { value } = await consume().next()
    value.release()
    value.ack()
    expect(await take(consume(), 1)).to.deep.equal(['m1'])
  })

  it('gives the messages of several topics in turns, also while one of them has many and another is empty', async () => {
    const [other, empty] = [`${topic}-other`, `${topic}-empty`]
    cluster.createTopic(other)
    cluster.createTopic(empty)
    await write(topic, numbered('m', 100))
    await write(other, numbered('o', 3))
    const loop = castellan.consume({ group: 'several', topics: [topic, other, empty] })
    const values = await take(loop, 20)
    expect(values.filter(value => value.startsWith('o'))).to.deep.equal(numbered('o', 3))
    expect(values.filter(value => value.startsWith('m'))).to.deep.equal(numbered('m', 17))
    const late = take(castellan.consume({ group: 'several', topics: [empty, other] }), 1)
    await turns(20)
    await write(empty, ['late'])
    expect(await late).to.deep.equal(['late'])
  })

  it('keeps all of its topics while a message of one of them is processed', async () => {
    const other = `${topic}-other`
    cluster.createTopic(other)
    await write(topic, ['slow', 'next'])
    const loop = castellan.consume({ group: 'keeping', topics: [topic, other] })
    const { value: message } = await loop.next()
    await new Promise(resolve => setTimeout(resolve, 25_000))
    expect([...castellan.groups.views()].find(({ group }) => group === 'keeping')!.topics).to.have.length(2)
    message.ack()
    await loop.return!()
  })

  it('gives batches within their limits, which are acknowledged as a whole or message by message', async () => {
    await write(topic, numbered('m', 10))
    const sizes: number[] = []
    const batches: Batch[] = []
    for await (const batch of consume().batches({ maxMessages: 4 })) {
      sizes.push(batch.length)
      batches.push(batch)
      if (batches.length === 1) batch.ack()
      if (batches.length === 2) {
        ;[...batch][2]!.ack()
        break
      }
    }
    const seen = batches.flatMap(batch => [...batch].map(({ value }) => String(value)))
    expect(seen).to.deep.equal(numbered('m', seen.length))
    expect(sizes.every(size => size <= 4)).to.equal(true)
    const left = numbered('m', 10).slice(sizes[0]!)
    left.splice(2, 1)
    expect(await take(consume(), left.length)).to.deep.equal(left)
  })

  it('shares the messages with a loop beside it, which gets what it leaves', async () => {
    await write(topic, numbered('m', 3))
    const [one, other] = [consume(), consume()]
    const first = (await one.next()).value as Message
    const second = (await other.next()).value as Message
    expect([first, second].map(({ value }) => String(value))).to.deep.equal(['m0', 'm1'])
    await one.return!()
    second.ack()
    expect(await take(other, 2)).to.deep.equal(['m0', 'm2'])
  })

  it('loses nothing in a rebalance, and what it leaves goes to the other member at once', async () => {
    cluster.createTopic(`${topic}-four`, { partitions: 4 })
    topic = `${topic}-four`
    for (let partition = 0; partition < 4; partition++) await write(topic, numbered(`p${partition}-`, 20), partition)
    const seen = new Set<string>()
    const second = await open()
    const stop = new AbortController()
    const reading = async (from: Castellan): Promise<void> => {
      for await (const message of from.consume({ group: 'moving', topics: topic, signal: stop.signal })) {
        await turns(3)
        message.ack()
        seen.add(String(message.value))
        if (seen.size === 80) stop.abort()
      }
    }
    const first = reading(castellan)
    await turns(50)
    await Promise.all([first, reading(second)])
    await second.close()
    expect(seen.size).to.equal(80)
  })
})
