import { expect } from 'chai'
import { type Castellan, type Message, TransactionError } from '../../../src/client.js'
import { onCluster } from '../../support/stage.js'

const COUNT = 60

/** Reads inputs, and writes each as a result in the transaction that acknowledges it. */
describe('transactions that acknowledge what consume has given out', function () {
  this.timeout(60_000)
  const stage = onCluster()
  let inputs: string
  let results: string
  let group: string
  let castellan: Castellan
  const open = (ackTimeoutMs = 30_000) =>
    stage.library({
      router: { isolationLevel: 'readCommitted' },
      consumer: { start: 'earliest', ackTimeoutMs, heartbeatIntervalMs: 100 }
    })

  beforeEach(async () => {
    inputs = await stage.topic('inputs', 2)
    results = await stage.topic('results')
    group = `etl ${inputs}`
    castellan = await open()
    await castellan.produceOrThrow(
      Array.from({ length: COUNT }, (_, at) => ({ topic: inputs, partition: at % 2, value: `${at}` }))
    )
  })

  const expected = Array.from({ length: COUNT }, (_, at) => `${at}`)
  /** What has committed, when all inputs have. */
  async function committed(): Promise<string[]> {
    const seen = new Set<string>()
    for await (const { value } of castellan.read(results, { from: 'earliest', follow: true }))
      if (seen.add(String(value)).size === COUNT) break
    const values: string[] = []
    for await (const { value } of castellan.read(results, { from: 'earliest' })) values.push(String(value))
    return values
  }
  const inOrder = (values: readonly string[]) => [...values].sort((one, other) => Number(one) - Number(other))
  const write = (to: Castellan, message: Message) =>
    to.transaction(`${group} ${message.partition}`, async tx => {
      await tx.produce({ topic: results, value: message.value })
      tx.ack(message)
    })

  it('write each result once, in order, where functions throw and loops end inside', async () => {
    let attempts = 0
    let written = 0
    while (written < COUNT) {
      for await (const message of castellan.consume({ group, topics: inputs })) {
        try {
          await castellan.transaction(group, async tx => {
            await tx.produce({ topic: results, value: message.value })
            tx.ack(message)
            if (attempts++ % 5 === 4) throw new TypeError('no')
          })
          written++
          if (written === COUNT) break
        } catch (error) {
          expect(error).to.be.instanceOf(TypeError)
          break
        }
      }
    }
    const values = await committed()
    expect(inOrder(values)).to.deep.equal(expected)
    for (const half of [0, 1]) {
      const ofPartition = values.filter(value => Number(value) % 2 === half)
      expect(ofPartition).to.deep.equal(inOrder(ofPartition))
    }
    await castellan.close()
    castellan = await open()
    expect(await castellan.admin.offsets(group, inputs)).to.containSubset([
      { partition: 0, committed: COUNT / 2 },
      { partition: 1, committed: COUNT / 2 }
    ])
  })

  it('take the ordinary acknowledgements of their partitions along, by batch as well', async () => {
    const seen: string[] = []
    for await (const batch of castellan.consume({ group, topics: inputs }).batches({ maxMessages: 7 })) {
      const [first, ...others] = batch
      seen.push(...Array.from(batch, ({ value }) => String(value)))
      first!.ack()
      await castellan.transaction(group, async tx => {
        await tx.produce([...batch].map(({ value }) => ({ topic: results, value })))
        for (const message of others) tx.ack(message)
      })
      if (seen.length === COUNT) break
    }
    expect(inOrder(await committed())).to.deep.equal(expected)
    await castellan.close()
    castellan = await open()
    const again = castellan.consume({ group, topics: inputs })
    await castellan.produceOrThrow({ topic: inputs, partition: 0, value: 'more' })
    const { value } = await again.next()
    expect(String(value.value)).to.equal('more')
  })

  it('run again with the same batch where the attempt before was aborted', async () => {
    let attempts = 0
    let written = 0
    for await (const batch of castellan.consume({ group, topics: inputs }).batches({ maxMessages: 20 })) {
      for (let isDone = false; !isDone; ) {
        const attempt = castellan.transaction(group, async tx => {
          await tx.produce([...batch].map(({ value }) => ({ topic: results, value })))
          tx.ack(batch)
          if (attempts++ % 2 === 0) throw new TypeError('no')
        })
        isDone = await attempt.then(
          () => true,
          () => false
        )
      }
      if ((written += batch.length) === COUNT) break
    }
    expect(inOrder(await committed())).to.deep.equal(expected)
  })

  it('do so for messages of run, whose own acknowledgement does nothing to them', async () => {
    const stop = new AbortController()
    const aborted = new Set<string>()
    let written = 0
    await castellan.consume({ group, topics: inputs, signal: stop.signal }).run(
      async message => {
        const value = String(message.value)
        const isFirst = Number(value) % 10 === 0 && !aborted.has(value)
        aborted.add(value)
        const asked = castellan.transaction(`${group} ${value}`, async tx => {
          await tx.produce({ topic: results, value })
          tx.ack(message)
          if (isFirst) throw new TypeError('no')
        })
        await asked.then(
          () => written++,
          () => undefined
        )
        if (written === COUNT) stop.abort()
      },
      { concurrency: 5, order: 'none' }
    )
    expect(inOrder(await committed())).to.deep.equal(expected)
  })

  it('hold a message whose time would be over, and refuse one whose time is over', async () => {
    const hurried = await open(300)
    // Kafka takes its time for the first transaction of an id.
    await hurried.transaction(group, async () => {})
    const messages = hurried.consume({ group, topics: inputs })
    const slow = (await messages.next()).value as Message
    await hurried.transaction(group, async tx => {
      tx.ack(slow)
      await tx.produce({ topic: results, value: slow.value })
      await new Promise(resolve => setTimeout(resolve, 900))
    })
    const late = (await messages.next()).value as Message
    let again: Message
    do again = (await messages.next()).value as Message
    while (again.offset !== late.offset || again.partition !== late.partition)
    const error = await write(hurried, late).catch((thrown: unknown) => thrown)
    expect(error)
      .to.be.instanceOf(TransactionError)
      .and.to.include({ code: 'notAssigned', committed: 'no', retriable: true })
    await messages.return!()
    await hurried.close()
    let left = COUNT - 1
    for await (const message of castellan.consume({ group, topics: inputs })) {
      await write(castellan, message)
      left--
      if (left === 0) break
    }
    expect(inOrder(await committed())).to.deep.equal(expected)
  })

  it('are refused after a rebalance, and their messages are written once by whoever has them next', async () => {
    const other = await open()
    const worker = async (by: Castellan, stop: AbortController) => {
      for await (const message of by.consume({ group, topics: inputs, signal: stop.signal })) {
        try {
          await by.transaction(`${group} ${by === other}`, async tx => {
            await tx.produce({ topic: results, value: message.value })
            tx.ack(message)
            await new Promise(resolve => setTimeout(resolve, 15))
          })
        } catch (error) {
          expect(error).to.be.instanceOf(TransactionError).and.to.include({ code: 'notAssigned', committed: 'no' })
        }
      }
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const first = worker(castellan, one)
    await new Promise(resolve => setTimeout(resolve, 300))
    const second = worker(other, two)
    await committed()
    one.abort()
    two.abort()
    await Promise.all([first, second])
    expect(inOrder(await committed())).to.deep.equal(expected)
  })
})
