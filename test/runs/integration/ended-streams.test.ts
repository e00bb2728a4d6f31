import { once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { expect } from 'chai'
import {
  ActorSystem,
  type Castellan,
  type EmbeddedCluster,
  type Message,
  type OwnerLogic,
  openCastellan,
  startEmbeddedCluster
} from '../../../src/index.js'
import { turns } from '../../support/ticks.js'
import { inWorld } from './in-world.js'

/** Knows which of its actors read a partition. */
class WatchedSystem extends ActorSystem {
  readonly readers = new Set<string>()
  #wake: () => void = () => undefined

  /** Resolves when none is left. */
  async quiet(): Promise<void> {
    if (this.readers.size > 0) await new Promise<void>(resolve => (this.#wake = resolve))
  }

  override spawnOwner<Message>(name: string, logic: OwnerLogic<Message>) {
    const ref = super.spawnOwner(name, logic)
    if (!name.startsWith('read-')) return ref
    const { stop } = ref
    this.readers.add(ref.path)
    return Object.assign(ref, {
      stop: () => {
        this.readers.delete(ref.path)
        stop()
        if (this.readers.size === 0) this.#wake()
      }
    })
  }
}

type Item = { readonly value: Buffer | null }
type Open = (signal?: AbortSignal) => AsyncIterable<Item>

/** Takes one item, waits for another, and ends before there is one. Resolves when all has ended. */
const ends: Readonly<Record<string, (open: Open, taken: (item: Item) => void) => Promise<unknown>>> = {
  'its destroyed stream': async (open, taken) => {
    const stream = Readable.from(open())
    stream.on('data', taken)
    await once(stream, 'data')
    await turns(20)
    stream.destroy()
    return once(stream, 'close')
  },
  'its stream, destroyed with an error': async (open, taken) => {
    const stream = Readable.from(open())
    stream.on('data', taken)
    await once(stream, 'data')
    await turns(20)
    const failed = once(stream, 'error')
    stream.destroy(new Error('no more'))
    expect((await failed)[0]).to.include({ message: 'no more' })
  },
  'the signal of its pipeline': async (open, taken) => {
    const stop = new AbortController()
    const source = Readable.from(open())
    const sink = new Writable({
      objectMode: true,
      write: (item: Item, _, done) => {
        taken(item)
        done()
        void turns(20).then(() => stop.abort())
      }
    })
    const closed = once(source, 'close').catch(() => undefined)
    await pipeline(source, sink, { signal: stop.signal }).catch(({ name }: Error) =>
      expect(name).to.equal('AbortError')
    )
    return closed
  },
  'return()': async (open, taken) => {
    const items = open()[Symbol.asyncIterator]()
    taken((await items.next()).value)
    const next = items.next()
    await turns(20)
    expect(await items.return!()).to.deep.equal({ done: true, value: undefined })
    expect((await next).done).to.equal(true)
  },
  'its own signal': async (open, taken) => {
    const stop = new AbortController()
    for await (const item of open(stop.signal)) {
      taken(item)
      void turns(20).then(() => stop.abort())
    }
  }
}

describe('a stream that ends while it waits', () => {
  inWorld()
  let cluster: EmbeddedCluster
  let castellan: Castellan
  const system = new WatchedSystem()
  before(async () => {
    cluster = await startEmbeddedCluster()
    castellan = await openCastellan({ brokers: cluster.bootstrap, consumer: { start: 'earliest' }, system })
  })
  after(async () => {
    await castellan.close({ timeoutMs: 0 })
    system.stop()
    await cluster.close()
  })

  const write = async (topic: string, ...values: string[]): Promise<void> => {
    await castellan.produceOrThrow(values.map(value => ({ topic, partition: 0, value })))
  }

  for (const [nth, [how, end]] of Object.entries(ends).entries()) {
    it(`leaves the next messages of its group to the next loop: ended by ${how}`, async () => {
      const topic = `orders-${nth}`
      cluster.createTopic(topic)
      await write(topic, 'one')
      const consume = (signal?: AbortSignal) => castellan.consume({ group: 'billing', topics: topic, signal })
      await end(consume, message => (message as Message).ack())
      await write(topic, 'two', 'three', 'four')
      const values: string[] = []
      for await (const message of consume()) {
        values.push(String(message.value))
        message.ack()
        if (values.length === 3) break
      }
      expect(values).to.deep.equal(['two', 'three', 'four'])
    })

    it(`reads on for nobody: ended by ${how}`, async () => {
      const topic = `followed-${nth}`
      cluster.createTopic(topic)
      await write(topic, 'one')
      await end(
        signal => castellan.read(topic, { follow: true, signal }),
        () => undefined
      )
      await write(topic, 'two')
      await system.quiet()
    })
  }

  it('ends its readers when it is left in the middle of a batch, and before the topic was looked up', async () => {
    cluster.createTopic('batches')
    await write('batches', 'one', 'two', 'three')
    for await (const { value } of castellan.read('batches', { follow: true })) if (String(value) === 'two') break
    await system.quiet()
    const away = await openCastellan({ brokers: '127.0.0.1:1' })
    const records = away.read('batches')[Symbol.asyncIterator]()
    const next = records.next()
    await records.return!()
    expect((await next).done).to.equal(true)
    await away.close({ timeoutMs: 0 })
  })

  it('is one of many that share a signal, without a warning of a leak', async () => {
    const warnings: string[] = []
    const note = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', note)
    const stop = new AbortController()
    const { signal } = stop
    const loop = async (items: AsyncIterable<unknown>): Promise<void> => {
      for await (const _ of items);
    }
    const loops = Array.from({ length: 11 }, () => [
      loop(castellan.read('orders-0', { follow: true, signal })),
      loop(castellan.consume({ group: 'many', topics: 'orders-0', signal }))
    ])
    await turns(20)
    stop.abort()
    await Promise.all(loops.flat())
    process.off('warning', note)
    expect(warnings).to.deep.equal([])
  })
})
