import { expect } from 'chai'
import {
  type Batch,
  type Castellan,
  type CastellanError,
  type ConsumeOptions,
  type Consumer,
  type EmbeddedCluster,
  type Message,
  openCastellan,
  type RunOptions,
  startEmbeddedCluster
} from '../../../src/index.js'
import { turns } from '../../support/ticks.js'
import { inWorld } from './in-world.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('a loop over the messages of a group', () => {
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
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  const write = async (to: string, values: readonly string[], partition = 0): Promise<void> => {
    const records = values.map(value => ({ topic: to, partition, key: null, value }))
    const pending = castellan.produce(records)
    for (const outcome of await pending) expect(outcome.type).to.equal('delivered')
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

  it('leaves no cluster behind where that ends with the block of its await using', async () => {
    let bootstrap = ''
    {
      await using own = await startEmbeddedCluster()
      bootstrap = own.bootstrap
      own.createTopic('orders')
    }
    const away = await openCastellan({ brokers: bootstrap })
    await turns(20)
    expect(away.router.isReady).to.equal(false)
    await away.close({ timeoutMs: 0 })
  })

  it('takes an acknowledgement after its end, until the message is offered again', async () => {
    await write(topic, numbered('m', 4))
    const given: Message[] = []
    for await (const message of consume()) if (given.push(message) === 3) break
    given[1]!.ack()
    given[0]!.release()
    expect(await take(consume(), 3)).to.deep.equal(['m0', 'm2', 'm3'])
  })

  it('takes no acknowledgement once the message was offered again: its handler may still fail', async () => {
    await write(topic, numbered('m', 2))
    const first = (await consume().next()).value as Message
    first.release()
    const loop = consume()
    const again = (await loop.next()).value as Message
    expect([first.offset, again.offset]).to.deep.equal([0, 0])
    first.ack()
    await turns(20)
    await loop.return!()
    expect(await take(consume(), 2)).to.deep.equal(['m0', 'm1'])
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

  it('gives batches with their topic, their partition when all is of one, and what is made of each message', async () => {
    const wide = `${topic}-wide`
    cluster.createTopic(wide, { partitions: 2 })
    await write(topic, numbered('m', 3))
    for (const partition of [0, 1]) await write(wide, numbered(`p${partition}-`, 3), partition)
    const shapes = new Set<string>()
    for await (const batch of castellan.consume({ group: 'shapes', topics: [topic, wide] }).batches()) {
      const messages = [...batch]
      const partitions = new Set(messages.map(({ partition }) => partition))
      expect(new Set(messages.map(message => message.topic))).to.deep.equal(new Set([batch.topic]))
      expect(batch.partition).to.equal(partitions.size === 1 ? messages[0]!.partition : undefined)
      expect(batch.map((message, at) => [at, message])).to.deep.equal(messages.map((message, at) => [at, message]))
      shapes.add(`${batch.topic} ${batch.partition}`)
      batch.release()
      if (shapes.has(`${topic} 0`) && shapes.has(`${wide} undefined`)) break
    }
  })

  for (const hasLog of [false, true])
    it(`warns once of a topic that does not exist, and goes on with the others: ${hasLog ? 'by the log' : 'of the process'}`, async () => {
      const told: string[] = []
      const hear = (warning: Error & { code?: string }): void =>
        void (warning.code === 'CASTELLAN_UNKNOWN_TOPIC' && told.push(warning.message))
      process.on('warning', hear)
      const log = { debug() {}, info() {}, error() {}, warn: (_: unknown, line: string) => told.push(line) }
      const own = await openCastellan({
        brokers: cluster.bootstrap,
        consumer: { start: 'earliest', heartbeatIntervalMs: 200, missingTopicCheckMs: 50 },
        ...(hasLog && { log })
      })
      try {
        const messages = own.consume({ group: `warned ${topic}`, topics: [topic, `${topic}-late`] })
        await write(topic, ['first'])
        expect(String((await messages.next()).value.value)).to.equal('first')
        while (told.length === 0) await turns(1)
        cluster.createTopic(`${topic}-late`)
        await write(`${topic}-late`, ['second'])
        expect(String((await messages.next()).value.value)).to.equal('second')
        await messages.return!()
        const text = `group warned ${topic} waits for topic ${topic}-late, which does not exist; once it does, it is read from its beginning`
        expect(told.filter(line => line.includes('does not exist'))).to.deep.equal([text])
      } finally {
        process.off('warning', hear)
        await own.close({ timeoutMs: 0 })
      }
    })

  it('shares the messages with another loop over its consumer', async () => {
    const consumer = consume()
    const counts = [0, 0]
    const values: string[] = []
    const loops = counts.map(async (_, at) => {
      for await (const batch of consumer.batches({ maxMessages: 1 })) {
        counts[at]!++
        values.push(...batch.map(({ value }) => String(value)))
        batch.ack()
        if (values.length === 20) break
      }
    })
    await write(topic, numbered('m', 20))
    await Promise.all(loops)
    expect(values).to.have.members(numbered('m', 20))
    expect(counts).to.not.include(0)
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

  describe('with a start of its own', () => {
    /** The setting of this process is `latest`. */
    let plain: Castellan
    before(async () => {
      plain = await openCastellan({ brokers: cluster.bootstrap, consumer: { heartbeatIntervalMs: 200 } })
    })
    after(() => plain.close({ timeoutMs: 0 }))
    const from = (start: ConsumeOptions['start'], group = 'starting') =>
      plain.consume({ group: `${group}-${topic}`, topics: topic, start })

    it('begins at the earliest record where the group has committed nothing, and goes on where it has', async () => {
      await write(topic, numbered('m', 5))
      expect(await take(from('earliest'), 2)).to.deep.equal(['m0', 'm1'])
      expect(await take(from('earliest'), 3)).to.deep.equal(['m2', 'm3', 'm4'])
    })

    it('begins at the end in a process whose other groups begin at the earliest record', async () => {
      await write(topic, numbered('m', 5))
      const late = take(castellan.consume({ group: `late-${topic}`, topics: topic, start: 'latest' }), 1)
      await new Promise(resolve => setTimeout(resolve, 5_000))
      await write(topic, ['late'])
      expect(await late).to.deep.equal(['late'])
    })

    it('begins at the first record from a time on', async () => {
      const records = [1_000, 2_000, 3_000].map(timestampMs => ({
        topic,
        partition: 0,
        value: `t${timestampMs}`,
        timestampMs
      }))
      await castellan.produce(records)
      expect(await take(from({ timestampMs: 1_500 }), 2)).to.deep.equal(['t2000', 't3000'])
    })

    it('is told where another loop of the process has begun elsewhere', async () => {
      await write(topic, ['m0'])
      await take(from('earliest'), 1)
      const codeOf = (loop: Consumer) => loop.next().catch(({ code }: CastellanError) => code)
      expect(await codeOf(from('latest'))).to.equal('invalidRequest')
      expect(await codeOf(from({ timestampMs: 1 }))).to.equal('invalidRequest')
      await write(topic, ['m1', 'm2'])
      expect(await take(from(undefined), 1)).to.deep.equal(['m1'])
      expect(await take(from('earliest'), 1)).to.deep.equal(['m2'])
    })

    it('is refused when it is no place, or has the name that it has in read', () => {
      const problemOf = (options: object): string => {
        try {
          plain.consume({ group: 'wrong', topics: topic, ...options })
          return 'none'
        } catch (error) {
          return (error as Error).message
        }
      }
      expect(problemOf({ start: 'begin' })).to.match(
        /^consume: start is one of 'earliest', 'latest', {timestampMs: number}$/
      )
      expect(problemOf({ start: { offset: 3 } })).to.match(/^consume: start is one of/)
      expect(problemOf({ from: 'earliest' })).to.equal('consume: there is no option from; did you mean start?')
      expect(problemOf({ groupId: 'g' })).to.match(/did you mean group\?/)
      expect(problemOf({ topic })).to.match(/did you mean topics\?/)
    })
  })

  describe('with handlers', () => {
    interface Handled {
      readonly started: string[]
      readonly ended: string[]
      /** The most handlers that were in flight at the same time. */
      most: number
    }
    /** Handles messages until so many are done; each handler takes a while, some longer than others. */
    const handle = async (count: number, options: RunOptions, of: (message: Message) => string): Promise<Handled> => {
      const handled: Handled = { started: [], ended: [], most: 0 }
      const stop = new AbortController()
      const inFlight = new Set<string>()
      await consume(stop.signal).run(async message => {
        const sequence = of(message)
        expect(inFlight.has(sequence), `two of ${sequence} at the same time`).to.equal(false)
        inFlight.add(sequence)
        handled.most = Math.max(handled.most, inFlight.size)
        handled.started.push(`${sequence} ${message.offset}`)
        await new Promise(resolve => setTimeout(resolve, 10 + ((message.offset * 7) % 5) * 10))
        inFlight.delete(sequence)
        handled.ended.push(`${sequence} ${message.offset}`)
        if (handled.ended.length === count) stop.abort()
      }, options)
      return handled
    }
    const inOrder = (places: readonly string[]): void => {
      const last = new Map<string, number>()
      for (const place of places) {
        const [sequence, offset] = place.split(' ') as [string, string]
        expect(Number(offset)).to.be.above(last.get(sequence) ?? -1)
        last.set(sequence, Number(offset))
      }
    }

    it('are one at a time by default, and each message is acknowledged when its handler resolves', async () => {
      await write(topic, numbered('m', 5))
      const { started, most } = await handle(3, {}, () => 'all')
      expect(started).to.deep.equal(['all 0', 'all 1', 'all 2'])
      expect(most).to.equal(1)
      expect(await take(consume(), 2)).to.deep.equal(['m3', 'm4'])
    })

    it('handle the messages of a partition in order, and 20 partitions at the same time', async () => {
      topic = `${topic}-many`
      cluster.createTopic(topic, { partitions: 20 })
      for (let partition = 0; partition < 20; partition++) await write(topic, numbered('m', 10), partition)
      const handled = await handle(200, { concurrency: 20 }, ({ partition }) => `${partition}`)
      expect(handled.most).to.be.within(15, 20)
      inOrder(handled.ended)
      expect(new Set(handled.ended).size).to.equal(200)
    })

    it('handle the messages of a key in order, and 20 keys at the same time', async () => {
      const records = Array.from({ length: 200 }, (_, at) => ({ topic, key: `k${at % 40}`, value: `m${at}` }))
      const pending = castellan.produce(records)
      await pending
      const handled = await handle(200, { concurrency: 20, order: 'key' }, ({ key }) => String(key))
      expect(handled.most).to.be.within(15, 20)
      inOrder(handled.ended)
      expect(new Set(handled.ended).size).to.equal(200)
    })

    it('handle 20 messages of a partition at the same time without an order', async () => {
      await write(topic, numbered('m', 100))
      const handled = await handle(100, { concurrency: 20, order: 'none' }, ({ offset }) => `${offset}`)
      expect(handled.most).to.equal(20)
      expect(new Set(handled.ended).size).to.equal(100)
    })

    it('end with the error of the first that throws, when those in flight have ended', async () => {
      await write(topic, numbered('m', 10))
      const ended: string[] = []
      let fail: (error: Error) => void = () => undefined
      let finish: () => void = () => undefined
      const running = consume().run(
        async ({ value }) => {
          if (String(value) === 'm1') await new Promise((_, reject) => (fail = reject))
          else if (String(value) === 'm2') await new Promise<void>(resolve => (finish = resolve))
          ended.push(String(value))
        },
        { concurrency: 3, order: 'none' }
      )
      let isOver = false
      const error = running.catch((thrown: Error) => {
        isOver = true
        return thrown
      })
      while (ended.length < 8) await turns(10)
      fail(new Error('m1 cannot be handled'))
      await turns(20)
      const next = (await consume().next()).value as Message
      expect([String(next.value), isOver]).to.deep.equal(['m1', false])
      finish()
      expect(await error).to.include({ message: 'm1 cannot be handled' })
      next.ack()
      await write(topic, ['m10'])
      expect(await take(consume(), 1)).to.deep.equal(['m10'])
    })

    it('release those that wait behind the one that throws, in order', async () => {
      await write(topic, numbered('m', 10))
      const running = consume().run(
        ({ value }) => {
          if (String(value) === 'm2') throw new Error('no more')
        },
        { concurrency: 5 }
      )
      expect(await running.catch(({ message }: Error) => message)).to.equal('no more')
      expect(await take(consume(), 8)).to.deep.equal(numbered('m', 10).slice(2))
    })

    it('do not acknowledge what they release', async () => {
      await write(topic, ['m0', 'm1'])
      const stop = new AbortController()
      const seen: string[] = []
      await consume(stop.signal).run(message => {
        seen.push(String(message.value))
        if (seen.length === 1) message.release()
        if (seen.length === 3) stop.abort()
      })
      expect(seen).to.deep.equal(['m0', 'm0', 'm1'])
    })

    it('are waited for when the signal ends their loop, and acknowledge then', async () => {
      await write(topic, ['m0', 'm1'])
      const stop = new AbortController()
      await consume(stop.signal).run(async () => {
        stop.abort()
        await turns(20)
      })
      expect(await take(consume(), 1)).to.deep.equal(['m1'])
    })

    it('are the only loop over their consumer', async () => {
      const consumer = consume()
      const handled = consumer.run(() => undefined)
      const wrong = /run: is the only loop over its consumer/
      const messageOf = (asked: Promise<unknown>): Promise<string> =>
        asked.then(
          () => 'no error',
          (error: Error) => error.message
        )
      expect(await messageOf(consumer.run(() => undefined))).to.match(wrong)
      expect(await messageOf(consumer.next())).to.match(wrong)
      await consumer[Symbol.asyncDispose]()
      await handled
    })

    it('are called for a message that has waited as for a new one, since its time has not begun', async () => {
      await write(topic, numbered('m', 3))
      const hurried = await openCastellan({
        brokers: cluster.bootstrap,
        consumer: { start: 'earliest', ackTimeoutMs: 1_000 }
      })
      const seen: string[] = []
      const stop = new AbortController()
      const running = hurried.consume({ group: 'hurried', topics: topic, signal: stop.signal }).run(
        async ({ value, retries }) => {
          seen.push(`${value} ${retries}`)
          if (seen.length === 1) await new Promise(resolve => setTimeout(resolve, 1_500))
          if (String(value) === 'm2') stop.abort()
        },
        { concurrency: 2 }
      )
      await running
      await hurried.close()
      expect(new Set(seen.map(text => text.split(' ')[0])).size, seen.join()).to.equal(3)
      expect(seen.filter(text => text.startsWith('m1'))).to.deep.equal(['m1 0'])
    })

    it('handle a message whose time was over while it waited before those that came later', async () => {
      const send = (...values: string[]) => castellan.produce(values.map(value => ({ topic, key: 'k', value })))
      await send('m0', 'm1')
      await using hurried = await openCastellan({
        brokers: cluster.bootstrap,
        consumer: { start: 'earliest', ackTimeoutMs: 1_000 }
      })
      const first: string[] = []
      const stop = new AbortController()
      const running = hurried.consume({ group: 'hurried', topics: topic, signal: stop.signal }).run(
        async message => {
          const value = String(message.value)
          if (!first.includes(value)) first.push(value)
          if (first.length === 3) stop.abort()
          if (value === 'm0') await new Promise(resolve => setTimeout(resolve, first.length > 1 ? 0 : 1_500))
        },
        { concurrency: 2, order: 'key' }
      )
      await new Promise(resolve => setTimeout(resolve, 800))
      await send('m2')
      await running
      expect(first).to.deep.equal(['m0', 'm1', 'm2'])
    })

    it('need a function, and options that there are', async () => {
      const problemOf = (run: Promise<void>) => run.catch(({ message }: Error) => message)
      expect(await problemOf(consume().run(undefined as never))).to.match(/function/)
      expect(await problemOf(consume().run(() => 1, { concurency: 2 } as never))).to.match(/did you mean concurrency/)
      expect(await problemOf(consume().run(() => 1, { concurrency: 0 }))).to.match(/at least 1/)
      expect(await problemOf(consume().run(() => 1, { order: 'toString' as never }))).to.match(/partition, key, none/)
    })
  })

  it('loses nothing while another member joins its group', async () => {
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
