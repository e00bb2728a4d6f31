import { expect } from 'chai'
import { type Castellan, type Transaction, TransactionError } from '../../src/client.js'
import { BatchView } from '../../src/embedded-broker/protocol/record-batch.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { RawKafka } from '../support/raw-kafka.js'
import { fetchOne } from '../support/raw-kafka-calls.js'
import { onBroker } from '../support/stage.js'

/** The values of a topic as a reader of committed records gets them, sorted. */
async function committed(castellan: Castellan, topic = 'orders'): Promise<(string | undefined)[]> {
  const values: (string | undefined)[] = []
  for await (const { value } of castellan.read(topic, { from: 'earliest', follow: false }))
    values.push(value?.toString())
  return values.sort()
}

const failureOf = (asked: Promise<unknown>): Promise<TransactionError> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => (error instanceof TransactionError ? error : Promise.reject(error))
  )

const thrownBy = (asked: Promise<unknown>): Promise<Error> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: Error) => error
  )

const write =
  (value: string, partition = 0) =>
  (tx: Transaction) =>
    tx.produce({ topic: 'orders', partition, value })

describe('castellan.transaction', () => {
  const stage = onBroker(undefined, true)
  const open = (more: Parameters<typeof stage.library>[0] = {}) =>
    stage.library({ router: { isolationLevel: 'readCommitted' }, ...more })
  let castellan: Castellan
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 2 })
    stage.cluster.createTopic('results')
    castellan = await open()
  })

  it('resolves with what its function gives, and its records are read once it has committed', async () => {
    const given = await castellan.transaction('etl', async tx => {
      const [delivered] = await tx.produce({ topic: 'orders', partition: 0, value: 'one' })
      void tx.produce([
        { topic: 'orders', partition: 1, value: 'two' },
        { topic: 'orders', partition: 0, value: 'three' }
      ])
      expect(await committed(castellan)).to.deep.equal([])
      return delivered!.offset
    })
    expect(given).to.equal(0)
    expect(await committed(castellan)).to.deep.equal(['one', 'three', 'two'])
  })

  it('does not move a group back whose offsets were set before its end', async () => {
    const following = await open({ consumer: { start: 'earliest' } })
    await following.produceOrThrow(['one', 'two', 'three'].map(value => ({ topic: 'orders', partition: 0, value })))
    const asked = stage.cluster.faults.add({ api: 'AddOffsetsToTxn' }, { type: 'delay', delayMs: 2_000 })
    const messages = following.consume({ group: 'billing', topics: 'orders' })
    const { value: message } = await messages.next()
    const writing = failureOf(
      following.transaction('etl', async tx => {
        await tx.produce({ topic: 'results', value: message.value })
        tx.ack(message)
      })
    )
    await asked.whenFired()
    await following.admin.setOffsets('billing', [{ topic: 'orders', partition: 0, offset: 2 }])
    expect(await writing).to.include({ code: 'notAssigned', committed: 'no' })
    expect((await following.admin.offsets('billing', 'orders'))[0]).to.include({ committed: 2 })
    await messages.return!()
  })

  it('compresses its batches as ordinary produce does, and hides them until then', async () => {
    const compressing = await open({ delivery: { compression: 'gzip' } })
    await compressing.transaction('etl', async tx => {
      await tx.produce({ topic: 'orders', partition: 0, value: 'x'.repeat(5_000) })
      expect(await committed(castellan)).to.deep.equal([])
    })
    expect(await committed(castellan)).to.have.length(1)
  })

  it('aborts when its function throws, and what was thrown comes out unchanged', async () => {
    const thrown = new Error('no such book')
    const asked = castellan.transaction('etl', async tx => {
      await tx.produce({ topic: 'orders', value: 'never' })
      void tx.produce({ topic: 'orders', value: 'not awaited' })
      throw thrown
    })
    expect(await thrownBy(asked)).to.equal(thrown)
    await castellan.transaction('etl', write('next'))
    expect(await committed(castellan)).to.deep.equal(['next'])
  })

  it('asks the coordinator for nothing when its function has written nothing', async () => {
    const ended = stage.cluster.faults.add(
      { api: 'EndTxn', count: Number.POSITIVE_INFINITY },
      { type: 'close', afterWork: false }
    )
    expect(await castellan.transaction('etl', async () => 7)).to.equal(7)
    expect(ended.fired).to.equal(0)
  })

  it('keeps the order of records of one transaction, many times as large as the buffer', async () => {
    const small = await open({ delivery: { maxBytes: 40_000, batchMaxBytes: 5_000 } })
    const values = Array.from({ length: 300 }, (_, at) => `${String(at).padStart(4, '0')} ${'x'.repeat(1_000)}`)
    await small.transaction('etl', async tx => {
      for (const value of values) void tx.produce({ topic: 'orders', partition: 0, value })
    })
    const read: string[] = []
    for await (const { value } of small.read('orders', { from: 'earliest', follow: false }))
      read.push(value!.toString())
    expect(read).to.deep.equal(values)
  })

  describe('with one of several calls', () => {
    it('calls of one id take turns', async () => {
      const order: string[] = []
      const call = (name: string) =>
        castellan.transaction('etl', async tx => {
          order.push(`${name} begins`)
          await write(name)(tx)
          order.push(`${name} ends`)
        })
      await Promise.all([call('a'), call('b'), call('c')])
      expect(order).to.deep.equal(['a', 'b', 'c'].flatMap(name => [`${name} begins`, `${name} ends`]))
    })

    it('calls of different ids run beside each other', async () => {
      const inner = await castellan.transaction('one', async tx => {
        await write('one')(tx)
        return castellan.transaction('two', async other => {
          await write('two')(other)
          return 'both are open'
        })
      })
      expect(inner).to.equal('both are open')
      expect(await committed(castellan)).to.deep.equal(['one', 'two'])
    })

    it('a call inside the function of the same id is refused', async () => {
      const asked = castellan.transaction('etl', () => castellan.transaction('etl', async () => 1))
      expect(await thrownBy(asked)).to.include({ name: 'InvalidRequestError' })
      expect(await castellan.transaction('etl', async () => 2)).to.equal(2)
    })

    it('a call that its function has scheduled is not refused when it has ended', async () => {
      let later: Promise<number> | undefined
      let end = (): void => undefined
      const isOver = new Promise<void>(resolve => (end = resolve))
      await castellan.transaction('etl', async () => {
        later = isOver.then(() => castellan.transaction('etl', async () => 5))
      })
      end()
      expect(await later).to.equal(5)
    })

    it('a call whose turn does not come in time has timed out', async () => {
      let release = (): void => undefined
      let first: Promise<void> | undefined
      await new Promise<void>(begun => {
        const isReleased = new Promise<void>(resolve => (release = resolve))
        first = castellan.transaction('etl', async () => {
          begun()
          await isReleased
        })
      })
      const second = castellan.transaction('etl', async () => expect.fail('its turn came'), { timeoutMs: 30 })
      expect(await failureOf(second)).to.include({ code: 'timedOut', committed: 'no' })
      release()
      await first
      expect(await castellan.transaction('etl', async () => 3)).to.equal(3)
    })
  })

  describe('fails', () => {
    it('as a whole with one of its records, whether that was caught or not', async () => {
      const tooLarge = { topic: 'orders', value: 'x'.repeat(2_000_000) }
      const seen: string[] = []
      const asked = castellan.transaction('etl', async tx => {
        await write('never')(tx)
        await tx.produce(tooLarge).catch((error: Error) => seen.push(error.name))
      })
      expect(await failureOf(asked)).to.include({ code: 'aborted', committed: 'no' })
      expect(await thrownBy(castellan.transaction('etl', tx => tx.produce(tooLarge)))).to.include({
        name: 'ProduceError'
      })
      const notAwaited = castellan.transaction('etl', async tx => void tx.produce(tooLarge))
      expect(await failureOf(notAwaited)).to.include({ code: 'aborted' })
      const disk = { durability: 'disk' }
      const refused = castellan.transaction('etl', tx => tx.produce({ topic: 'orders', value: 'x' }, disk as object))
      expect((await thrownBy(refused)).message).to.match(/no option durability/)
      expect([seen, await committed(castellan)]).to.deep.equal([['ProduceError'], []])
    })

    it('when another process has taken the id over, and refuses the id from then on', async () => {
      const other = await open()
      const asked = castellan.transaction('etl', async tx => {
        await write('never')(tx)
        await other.transaction('etl', write('of the other'))
      })
      expect(await failureOf(asked)).to.include({ code: 'fenced', committed: 'no' })
      expect(await failureOf(castellan.transaction('etl', async () => 1))).to.include({ code: 'fenced' })
      await other.transaction('etl', write('still of the other'))
      expect(await committed(castellan)).to.deep.equal(['of the other', 'still of the other'])
    })

    it('with its records, when another process has taken the id over before', async () => {
      const other = await open()
      await castellan.transaction('etl', write('first'))
      await other.transaction('etl', async () => undefined)
      const asked = castellan.transaction('etl', async tx => {
        expect(await failureOf(write('never')(tx))).to.include({ code: 'fenced' })
        expect(tx.signal.aborted).to.equal(true)
      })
      expect(await failureOf(asked)).to.include({ code: 'fenced', committed: 'no' })
      expect(await committed(castellan)).to.deep.equal(['first'])
    })

    it('with a record that the broker refuses, and the next one with its partition commits', async () => {
      stage.cluster.faults.add({ api: 'Produce' }, { type: 'error', errorCode: errorCodes.INVALID_RECORD })
      expect(await thrownBy(castellan.transaction('etl', write('refused')))).to.include({ name: 'ProduceError' })
      await castellan.transaction('etl', write('next'))
      expect(await committed(castellan)).to.deep.equal(['next'])
    })

    it('with positions that are none, also where that is not awaited', async () => {
      const none = { topic: 'orders', partition: 0, offset: -1 }
      const asked = castellan.transaction('etl', async tx => {
        void tx.commitOffsets('billing', [none])
        await write('never')(tx)
      })
      expect(await failureOf(asked)).to.include({ code: 'aborted', committed: 'no' })
      const misspelt = { topic: 'orders', partition: 0, ofset: 1 }
      const told = await thrownBy(castellan.transaction('etl', tx => tx.commitOffsets('billing', [misspelt as never])))
      expect(told.message).to.match(/no field ofset; did you mean offset\?/)
      const large = castellan.transaction('etl', tx =>
        tx.commitOffsets('billing', [{ ...none, offset: 1, metadata: 'x'.repeat(5_000) }])
      )
      expect((await failureOf(large)).message).to.match(/metadata .* too large/)
      expect(await committed(castellan)).to.deep.equal([])
    })

    for (const first of ['ack', 'commitOffsets'] as const)
      it(`when a partition has a position of ack and one of commitOffsets, ${first} before the other`, async () => {
        const following = await open({ consumer: { start: 'earliest' } })
        await following.produceOrThrow(['one', 'two'].map(value => ({ topic: 'orders', partition: 0, value })))
        const messages = following.consume({ group: 'billing', topics: 'orders' })
        const { value: message } = await messages.next()
        const asked = following.transaction('etl', async tx => {
          const calls = {
            ack: () => tx.ack(message),
            commitOffsets: () => tx.commitOffsets('billing', [{ topic: 'orders', partition: 0, offset: 7 }])
          }
          await tx.commitOffsets('billing', [{ topic: 'orders', partition: 1, offset: 0 }])
          await tx.commitOffsets('other', [{ topic: 'orders', partition: 0, offset: 0 }])
          await calls[first]()
          await calls[first === 'ack' ? 'commitOffsets' : 'ack']()
        })
        expect(await thrownBy(asked)).to.include({ name: 'InvalidRequestError' })
        expect((await following.admin.offsets('billing', 'orders'))[0]).to.include({ committed: 0 })
        expect((await messages.next()).value).to.include({ offset: 0 })
        await messages.return!()
      })

    it('when the coordinator has forgotten the id, and goes on under another epoch', async () => {
      await castellan.transaction('etl', write('first'))
      for (const api of ['AddPartitionsToTxn', 'EndTxn'] as const)
        stage.cluster.faults.add({ api }, { type: 'error', errorCode: errorCodes.INVALID_PRODUCER_ID_MAPPING })
      expect(await failureOf(castellan.transaction('etl', write('never')))).to.include({ code: 'aborted' })
      await castellan.transaction('etl', write('second'))
      expect(await committed(castellan)).to.deep.equal(['first', 'second'])
    })

    it('when a broker does not know its producer any more, and goes on under another epoch', async () => {
      await castellan.transaction('etl', write('first'))
      stage.cluster.faults.add({ api: 'Produce' }, { type: 'error', errorCode: errorCodes.UNKNOWN_PRODUCER_ID })
      expect(await failureOf(castellan.transaction('etl', write('never')))).to.include({ code: 'aborted' })
      await castellan.transaction('etl', write('second'))
      expect(await committed(castellan)).to.deep.equal(['first', 'second'])
    })

    it('when its time is over, also while its function goes on', async () => {
      let signal: AbortSignal | undefined
      const asked = castellan.transaction(
        'etl',
        async tx => {
          signal = tx.signal
          await write('never')(tx)
          await new Promise(() => undefined)
        },
        { timeoutMs: 200 }
      )
      expect(await failureOf(asked)).to.include({ code: 'timedOut', committed: 'no' })
      expect(signal!.aborted).to.equal(true)
      await castellan.transaction('etl', write('next'))
      expect(await committed(castellan)).to.deep.equal(['next'])
    })

    it('when its signal is aborted, with the reason as the cause', async () => {
      const abort = new AbortController()
      const asked = castellan.transaction(
        'etl',
        async tx => {
          await write('never')(tx)
          abort.abort('enough')
          await new Promise(() => undefined)
        },
        { signal: abort.signal }
      )
      expect(await failureOf(asked)).to.include({ code: 'aborted', committed: 'no', cause: 'enough' })
      expect(await committed(castellan)).to.deep.equal([])
    })

    it('when its signal is aborted while positions are asked for again', async () => {
      const busy = stage.cluster.faults.add(
        { api: 'TxnOffsetCommit', count: Number.POSITIVE_INFINITY },
        { type: 'error', errorCode: errorCodes.REBALANCE_IN_PROGRESS }
      )
      const abort = new AbortController()
      const asked = castellan.transaction(
        'etl',
        tx => tx.commitOffsets('billing', [{ topic: 'orders', partition: 0, offset: 1 }]),
        { signal: abort.signal }
      )
      await busy.whenFired(3)
      abort.abort('enough')
      expect(await failureOf(asked)).to.include({ code: 'aborted', committed: 'no', cause: 'enough' })
    })

    it('when the castellan is closed, and later ones are refused', async () => {
      let closing: Promise<number> | undefined
      const other = await open()
      const asked = castellan.transaction('etl', async tx => {
        await write('never')(tx)
        closing = castellan.close()
        await new Promise(() => undefined)
      })
      expect(await failureOf(asked)).to.include({ code: 'shuttingDown', committed: 'no' })
      expect(await closing).to.equal(0)
      expect(await failureOf(castellan.transaction('etl', async () => 1))).to.include({ code: 'shuttingDown' })
      expect(await committed(other)).to.deep.equal([])
    })

    it('when the castellan is closed before it has begun', async () => {
      const asked = castellan.transaction('etl', async () => expect.fail('it began'))
      const closing = castellan.close()
      expect(await failureOf(asked)).to.include({ code: 'shuttingDown', committed: 'no' })
      expect(await closing).to.equal(0)
    })

    it('with what the coordinator answers, when it is not done in time', async () => {
      stage.cluster.faults.add(
        { api: 'AddPartitionsToTxn', count: Number.POSITIVE_INFINITY },
        { type: 'error', errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION }
      )
      const error = await failureOf(castellan.transaction('etl', write('never'), { timeoutMs: 700 }))
      expect(error.message).to.match(/not answered in time: UNKNOWN_TOPIC_OR_PARTITION/)
    })

    it('for a mistake of its caller, which is told', async () => {
      const call = castellan.transaction as (...args: unknown[]) => Promise<unknown>
      const messages = [
        call(),
        call('etl'),
        call('etl', async () => 1, { timeout: 1 }),
        call('etl', async () => 1, { timeoutMs: 0 }),
        call('etl', async () => 1, { signal: new AbortController() }),
        call('etl', async () => 1, { timeoutMs: 900_000 })
      ].map(async asked => (await thrownBy(asked)).message)
      expect(await Promise.all(messages)).to.deep.equal([
        'transaction: the first argument is its transactional id, a text of 1 to 32000 bytes',
        'transaction: the second argument is an async function',
        'transaction: there is no option timeout; did you mean timeoutMs?',
        'transaction: timeoutMs has to be a whole number of milliseconds, at least 1',
        'transaction: signal has to be an AbortSignal',
        'timeoutMs of a transaction and 10 s more (910000 ms) are more than transaction.max.timeout.ms of the brokers'
      ])
    })

    it('for a call of its methods after the end', async () => {
      let late: Transaction | undefined
      await castellan.transaction('etl', async tx => void (late = tx))
      expect(await thrownBy(late!.produce({ topic: 'orders', value: 'late' }))).to.include({
        name: 'InvalidRequestError'
      })
      expect(await thrownBy(late!.commitOffsets('g', []))).to.include({ name: 'InvalidRequestError' })
    })
  })

  describe('without an answer', () => {
    const quick = () => open({ router: { isolationLevel: 'readCommitted', callTimeoutMs: 300 } })

    it('to its end, it asks again: committed once, and the next one begins under another epoch', async () => {
      stage.cluster.faults.add({ api: 'EndTxn' }, { type: 'close', afterWork: true })
      await castellan.transaction('etl', write('once'))
      await castellan.transaction('etl', async tx => {
        await write('next')(tx)
        // The end of the first transaction comes late, under the epoch of then.
        const raw = stage.keep(await RawKafka.connect(stage.cluster.nodes[0]!), client => client.close())
        const { producerId, producerEpoch } = new BatchView((await fetchOne(raw, 'orders', 0, 0)).records)
        const answer = await raw.call(26, 2, body =>
          body.string('etl').int64(producerId).int16(producerEpoch).boolean(false)
        )
        answer.int32()
        expect(answer.int16()).to.equal(errorCodes.PRODUCER_FENCED)
      })
      expect(await committed(castellan)).to.deep.equal(['next', 'once'])
    })

    it('to its end until its time is over, nobody knows whether it has committed', async () => {
      const client = await quick()
      const fault = stage.cluster.faults.add(
        { api: 'EndTxn', count: Number.POSITIVE_INFINITY },
        { type: 'dropRequest' }
      )
      const asked = client.transaction('etl', write('lost'), { timeoutMs: 500 })
      expect(await failureOf(asked)).to.include({ code: 'timedOut', committed: 'unknown' })
      fault.remove()
      await client.transaction('etl', write('next'))
      expect(await committed(client)).to.deep.equal(['next'])
    })

    it('to its end until the castellan is closed, it is unknown as well', async () => {
      const client = await quick()
      const fault = stage.cluster.faults.add(
        { api: 'EndTxn', count: Number.POSITIVE_INFINITY },
        { type: 'dropRequest' }
      )
      const asked = failureOf(client.transaction('etl', write('lost')))
      await fault.whenFired()
      await client.close({ timeoutMs: 100 })
      expect(await asked).to.include({ code: 'shuttingDown', committed: 'unknown' })
    })

    it('but that its end is being carried out, nobody knows whether it has committed', async () => {
      const errors = [errorCodes.COORDINATOR_NOT_AVAILABLE, errorCodes.CONCURRENT_TRANSACTIONS] as const
      stage.cluster.faults.add({ api: 'EndTxn' }, { type: 'errorAfter', errorCode: errors[0] })
      const busy = stage.cluster.faults.add(
        { api: 'EndTxn', count: Number.POSITIVE_INFINITY },
        { type: 'error', errorCode: errors[1] }
      )
      const asked = castellan.transaction('etl', write('once'), { timeoutMs: 600 })
      expect(await failureOf(asked)).to.include({ code: 'timedOut', committed: 'unknown' })
      busy.remove()
      expect(await committed(castellan)).to.deep.equal(['once'])
    })

    it('but that its coordinator is another one, and another process has the id then, nobody knows either', async () => {
      const { faults } = stage.cluster
      const done = { type: 'errorAfter', errorCode: errorCodes.COORDINATOR_NOT_AVAILABLE } as const
      const ended = faults.add({ api: 'EndTxn' }, done)
      const moving = faults.add(
        { api: 'EndTxn', count: Number.POSITIVE_INFINITY },
        { type: 'error', errorCode: errorCodes.NOT_COORDINATOR }
      )
      const asked = failureOf(castellan.transaction('etl', write('once')))
      await ended.whenFired()
      const other = await open()
      await other.transaction('etl', async () => {})
      moving.remove()
      expect(await asked).to.include({ code: 'fenced', committed: 'unknown' })
      expect(await committed(castellan)).to.deep.equal(['once'])
    })

    for (const api of [
      'InitProducerId',
      'AddPartitionsToTxn',
      'Produce',
      'AddOffsetsToTxn',
      'TxnOffsetCommit'
    ] as const) {
      for (const afterWork of [true, false]) {
        it(`to ${api}, it is asked again${afterWork ? ', although it was done' : ''}`, async () => {
          const fault = stage.cluster.faults.add({ api }, { type: 'close', afterWork })
          const offset = { topic: 'orders', partition: 0, offset: 7 }
          for (const value of ['one', 'two', 'three']) {
            await castellan.transaction('etl', async tx => {
              void write(value)(tx)
              await tx.commitOffsets('billing', [offset])
            })
          }
          expect(await committed(castellan)).to.deep.equal(['one', 'three', 'two'])
          expect((await castellan.admin.offsets('billing', 'orders'))[0]).to.include({ committed: 7 })
          expect(fault.fired).to.equal(1)
        })
      }
    }

    it('to an InitProducerId that names the present epoch, it asks again and keeps the id', async () => {
      stage.cluster.faults.add({ api: 'EndTxn' }, { type: 'close', afterWork: true })
      await castellan.transaction('etl', write('one'))
      const renewal = stage.cluster.faults.add({ api: 'InitProducerId' }, { type: 'close', afterWork: true })
      await castellan.transaction('etl', write('two'))
      expect([renewal.fired, await committed(castellan)]).to.deep.equal([1, ['one', 'two']])
    })
  })

  it('writes to a topic that was not used for long, in a transaction that writes to another one', async () => {
    stage.cluster.createTopic('other', { partitions: 1 })
    const forgetful = await open({ delivery: { metadataMaxAgeMs: 100 } })
    await forgetful.transaction('etl', write('first'))
    const slow = stage.cluster.faults.add({ api: 'Produce', topic: 'other' }, { type: 'delay', delayMs: 1_200 })
    await forgetful.transaction('etl', async tx => {
      await tx.produce({ topic: 'other', value: 'x' })
      await write('second')(tx)
    })
    expect([slow.fired, await committed(castellan)]).to.deep.equal([1, ['first', 'second']])
  })

  it('splits a batch that is too large for its topic', async () => {
    stage.cluster.createTopic('small', { partitions: 1, config: { 'max.message.bytes': 3_000 } })
    const values = Array.from({ length: 20 }, (_, at) => `${String(at).padStart(2, '0')} ${'x'.repeat(500)}`)
    await castellan.transaction('etl', tx => tx.produce(values.map(value => ({ topic: 'small', value }))))
    expect(await committed(castellan, 'small')).to.deep.equal(values)
  })

  it('asks again while the markers of the last one are being written', async () => {
    await castellan.transaction('etl', write('one'))
    const busy = stage.cluster.faults.add(
      { api: 'AddPartitionsToTxn', count: 3 },
      { type: 'error', errorCode: errorCodes.CONCURRENT_TRANSACTIONS }
    )
    await castellan.transaction('etl', write('two'))
    expect([busy.fired, await committed(castellan)]).to.deep.equal([3, ['one', 'two']])
  })

  it('commits the highest of several offsets of a partition, and none when it aborts', async () => {
    const at = (offset: number) => ({ topic: 'orders', partition: 0, offset, metadata: `at ${offset}` })
    await castellan.transaction('etl', async tx => {
      await tx.commitOffsets('billing', [at(3), at(9), at(4)])
      await tx.commitOffsets('billing', [at(5)])
    })
    const stored = async () => (await castellan.admin.offsets('billing', 'orders'))[0]!.committed
    expect(await stored()).to.equal(9)
    const asked = castellan.transaction('etl', async tx => {
      await tx.commitOffsets('billing', [at(20)])
      await write('never')(tx)
      throw new Error('no')
    })
    expect((await thrownBy(asked)).message).to.equal('no')
    expect(await stored()).to.equal(9)
    const holes = new Array(2) as never[]
    const wrong = [
      { offset: -1 },
      { partition: 2 ** 31 },
      { topic: '' },
      { topic: 'x'.repeat(250) },
      { topic: '\ud800' }
    ]
    for (const offsets of [holes, ...wrong.map(one => [{ ...at(1), ...one }])]) {
      const asked = castellan.transaction('etl', tx => tx.commitOffsets('billing', offsets))
      expect(await thrownBy(asked), JSON.stringify(offsets)).to.include({ name: 'InvalidRequestError' })
    }
  })
})

describe('castellan.transaction in a cluster of several brokers', () => {
  const stage = onBroker({ nodes: 3 }, true)

  it('goes on when its coordinator moves', async () => {
    stage.cluster.createTopic('orders', { partitions: 3, replicationFactor: 3 })
    const castellan = await stage.library({ router: { isolationLevel: 'readCommitted' } })
    for (const nodeId of stage.cluster.nodes.map(node => node.nodeId)) {
      await castellan.transaction('etl', async tx => {
        await tx.produce({ topic: 'orders', value: `before ${nodeId}` })
        await stage.cluster.stopNode(nodeId)
        await tx.produce({ topic: 'orders', value: `after ${nodeId}` })
      })
      await stage.cluster.startNode(nodeId)
    }
    expect(await committed(castellan)).to.have.length(6)
  })
})
