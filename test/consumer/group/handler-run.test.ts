import { expect } from 'chai'
import type { AcquiredMessage, ConsumeManyResult, TopicOffers } from '../../../src/consumer/group/consume-result.js'
import { openConsumer } from '../../../src/consumer/group/consume-stream.js'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import type { Message } from '../../../src/consumer/group/given-messages.js'
import type { RunOptions } from '../../../src/consumer/group/handler-run.js'
import { ReadPartition } from '../../../src/consumer/group/held-messages.js'
import { OffsetTracker } from '../../../src/consumer/group/offset-tracker.js'
import { TransactionOffsets } from '../../../src/consumer/group/transaction-offsets.js'
import { turns } from '../../support/ticks.js'
import { noTransactions } from './fake-runtime.js'

/** A loop whose handlers end when the test says so. Messages have offsets in partition 0, and serial numbers. */
class RunStage {
  /** `offset serial` of the messages whose handlers have begun, and of those that were released or acknowledged. */
  readonly begun: string[] = []
  readonly released: string[] = []
  readonly acked: string[] = []
  /** The messages whose handlers have begun. */
  readonly handled: Message[] = []
  read: ReadPartition | undefined
  /** The serial numbers of offers that do not stand. */
  readonly over = new Set<number>()
  readonly running: Promise<void>
  readonly stop = new AbortController()
  #reply: ((result: ConsumeManyResult) => void) | undefined
  readonly #ends: { resolve(): void; reject(error: Error): void }[] = []
  readonly #offers: TopicOffers = {
    ackAll: taken => void this.acked.push(...placesIn(taken)),
    releaseAll: taken => void this.released.push(...placesIn(taken)),
    isOpen: () => true,
    stands: ({ serial }) => !this.over.has(serial),
    read: () => this.read
  }

  constructor(options: RunOptions) {
    const groups = {
      requestMany: (...asked: Parameters<ConsumerGroups['requestMany']>) => {
        this.#reply = asked[4].reply
        return () => undefined
      }
    } as ConsumerGroups
    const loop = openConsumer(groups, { group: 'billing', topics: 'orders', signal: this.stop.signal })
    this.running = loop.run(message => {
      this.begun.push(`${message.offset}`)
      this.handled.push(message)
      return new Promise<void>((resolve, reject) => void this.#ends.push({ resolve, reject }))
    }, options)
  }

  async give(offset: number, serial: number, again: Partial<AcquiredMessage> = {}): Promise<void> {
    const offer = { serial, firstSerial: serial, retries: 0, ...again }
    const message = { topic: 'orders', partition: 0, offset, key: Buffer.from('k'), ...offer } as AcquiredMessage
    await this.#answer({ type: 'messages', messages: { messages: [message], offers: this.#offers } as never })
  }

  shutDown(): Promise<void> {
    return this.#answer({ type: 'failed', code: 'shuttingDown', message: 'why', retriable: true, errorCode: undefined })
  }

  /** Ends the handler that began as this one. */
  async end(nth: number, error?: Error): Promise<void> {
    const { resolve, reject } = this.#ends[nth]!
    if (error === undefined) resolve()
    else reject(error)
    await turns(3)
  }

  async #answer(result: ConsumeManyResult): Promise<void> {
    await turns(3)
    this.#reply!(result)
    await turns(3)
  }
}

const placesIn = (taken: ReadonlyMap<number, readonly AcquiredMessage[]>): string[] =>
  [...taken.values()].flat().map(({ offset, serial }) => `${offset} ${serial}`)

describe('handlers of a loop', () => {
  it('acknowledge nothing that belonged to a transaction, also where it was aborted and is offered again', async () => {
    const stage = new RunStage({ concurrency: 2 })
    const tracker = new OffsetTracker({ offset: 0, metadata: '' }, { ackTimeoutMs: 1_000, maxRetries: -1 })
    tracker.offered(0, 0)
    stage.read = new ReadPartition({
      group: 'billing',
      topicPartition: { topic: 'orders', partition: 0 },
      topicId: undefined,
      tracker,
      clock: () => 0,
      commits: noTransactions,
      onHeld: () => undefined,
      settle: () => undefined
    })
    const { serial } = tracker.offerOf(0)!
    await stage.give(0, serial, { member: { memberId: 'm', generationId: 1, instanceId: null } })
    const transaction = new TransactionOffsets()
    transaction.add(stage.handled[0]!)
    transaction.end('aborted')
    await stage.give(0, serial + 1, { firstSerial: serial, retries: 1 })
    await stage.end(0)
    expect([stage.acked, stage.released]).to.deep.equal([[], []])
    expect(stage.begun).to.deep.equal(['0', '0'])
    await stage.end(1)
    expect(stage.acked).to.deep.equal([`0 ${serial + 1}`])
    stage.stop.abort()
    await stage.running
  })

  for (const order of ['partition', 'key'] as const)
    it(`are not called for a later message before one whose time was over while it waited: by ${order}`, async () => {
      const stage = new RunStage({ concurrency: 2, order })
      for (const offset of [0, 1, 2]) await stage.give(offset, offset + 1)
      stage.over.add(2)
      await stage.end(0)
      expect(stage.begun).to.deep.equal(['0'])
      expect(stage.released).to.deep.equal(['1 2', '2 3'])
      // The group had answered the open request before it got to know of the release.
      await stage.give(3, 4)
      expect(stage.begun).to.deep.equal(['0'])
      expect(stage.released.slice(2)).to.deep.equal(['3 4'])
      for (const offset of [1, 2, 3]) await stage.give(offset, offset + 4)
      for (const offset of [1, 2, 3]) await stage.end(offset)
      expect(stage.begun).to.deep.equal(['0', '1', '2', '3'])
      expect(stage.acked).to.deep.equal(['0 1', '1 5', '2 6', '3 7'])
      stage.stop.abort()
      await stage.running
    })

  it('are called for later messages where nothing gives the one before them again', async () => {
    const stage = new RunStage({ concurrency: 2 })
    for (const offset of [0, 1]) await stage.give(offset, offset + 1)
    stage.over.add(2)
    await stage.end(0)
    for (const serial of [3, 4]) await stage.give(2, serial)
    expect(stage.begun).to.deep.equal(['0', '2'])
    expect(stage.released).to.deep.equal(['1 2', '2 3'])
    stage.stop.abort()
    await stage.end(1)
    await stage.running
  })

  for (const how of ['acknowledge', 'fail'] as const)
    it(`are not called again for a message that is offered again while they handle it, and ${how} that offer`, async () => {
      const stage = new RunStage({ concurrency: 2, order: 'none' })
      await stage.give(0, 1)
      for (const serial of [2, 3]) await stage.give(0, serial, { firstSerial: 1, retries: serial - 1 })
      // A record that took its place in the log.
      await stage.give(0, 4, { retries: 1 })
      expect(stage.begun).to.deep.equal(['0', '0'])
      stage.stop.abort()
      expect(stage.released, 'those that are not in flight').to.deep.equal(['0 1', '0 2'])
      await stage.end(1)
      await stage.end(0, how === 'fail' ? new Error('no more') : undefined)
      expect(stage.acked).to.deep.equal(how === 'fail' ? ['0 4'] : ['0 4', '0 3'])
      expect(stage.released.slice(2)).to.deep.equal(how === 'fail' ? ['0 3'] : [])
      expect(await stage.running.catch(({ message }: Error) => message)).to.equal(
        how === 'fail' ? 'no more' : undefined
      )
    })

  it('are waited for when the groups stop, and those messages are released at once that wait behind', async () => {
    const stage = new RunStage({ concurrency: 2 })
    for (const offset of [0, 1, 2]) await stage.give(offset, offset + 1)
    await stage.shutDown()
    expect(stage.released).to.deep.equal(['1 2', '2 3'])
    await stage.end(0, new Error('no more'))
    expect(stage.released.slice(2)).to.deep.equal(['0 1'])
    expect(await stage.running.catch(({ message }: Error) => message)).to.equal('no more')
  })
})
