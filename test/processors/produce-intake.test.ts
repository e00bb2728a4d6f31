import { expect } from 'chai'
import { TimedOutError, UnavailableError } from '../../src/errors.js'
import type { BatchAnswer } from '../../src/operations.js'
import { notSent, produceBatch } from '../../src/processors/produce-batch.js'
import { type BatchesCall, ProduceIntake } from '../../src/processors/produce-intake.js'
import type { BrokerClient, ProduceCall } from '../../src/wire/broker-client.js'
import { ProcessorHarness } from './harness.js'

class ProduceHarness extends ProcessorHarness {
  readonly produce = new ProduceIntake({ requestMaxBytes: 100, brokerTimeoutMs: 1_500, callMarginMs: 1_500 })

  add(partition: number, bytes = 10, topic = 'orders'): BatchAnswer[] {
    const answers: BatchAnswer[] = []
    const batch = {
      topic,
      partition,
      bytes: Buffer.alloc(bytes),
      answer: (answer: BatchAnswer) => answers.push(answer)
    }
    const accepted = this.ledger.accept(produceBatch, batch as never, 5_000, this.now)
    accepted.key = `${topic}/${partition}`
    this.produce.addToQueue(accepted)
    return answers
  }

  answer(call: BatchesCall, codes: Readonly<Record<number, number>>, lane: 'main' | 'slow' = 'main') {
    const partitions = Object.entries(codes).map(([partition, errorCode]) => ({
      topic: 'orders',
      partition: Number(partition),
      errorCode,
      baseOffset: errorCode === 0 ? 40 : -1,
      logAppendTimeMs: -1,
      logStartOffset: 0
    }))
    return this.produce[lane].processResponse(call, { throttleTimeMs: 0, partitions })
  }
}

const partitionsOf = (call: BatchesCall | undefined): string[] => [...(call?.batches.keys() ?? [])]

describe('produce processor', () => {
  let harness: ProduceHarness
  beforeEach(() => (harness = new ProduceHarness()))
  const next = (lane: 'main' | 'slow' = 'main') => harness.produce[lane].nextCall()!

  it('sends everything that waits in one call, one batch per partition', () => {
    for (const partition of [0, 1, 2, 1]) harness.add(partition)
    expect(partitionsOf(next())).to.deep.equal(['orders/0', 'orders/1', 'orders/2'])
    expect(partitionsOf(next())).to.deep.equal(['orders/1'])
    expect(harness.produce.main.isEmpty).to.equal(true)
  })

  it('keeps a request below its limit, and partitions in turn', () => {
    for (const partition of [0, 1, 2]) harness.add(partition, 45)
    harness.add(0, 45)
    expect(partitionsOf(next())).to.deep.equal(['orders/0', 'orders/1'])
    expect(partitionsOf(next())).to.deep.equal(['orders/2', 'orders/0'])
  })

  it('sends a batch larger than the limit alone', () => {
    harness.add(0, 500)
    harness.add(1)
    expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    expect(partitionsOf(next())).to.deep.equal(['orders/1'])
  })

  it('answers each batch with its own partition', () => {
    const [good, bad] = [harness.add(0), harness.add(1)]
    harness.answer(next(), { 0: 0, 1: 10 })
    expect(good).to.deep.equal([{ type: 'appended', baseOffset: 40, logAppendTimeMs: -1 }])
    expect(bad).to.deep.equal([{ type: 'rejected', errorCode: 10 }])
  })

  it('says nobody knows where a response leaves a partition out', () => {
    const left = harness.add(0)
    harness.answer(next(), {})
    expect(left[0]?.type).to.equal('unanswered')
  })

  it('tells the Router to look again where the leader was the wrong one, and never retries itself', () => {
    const answers = harness.add(3)
    const returned = harness.answer(next(), { 3: 6 })
    expect(returned).to.deep.equal([{ reason: 'notLeader', requests: [], topic: 'orders', partition: 3 }])
    expect(answers).to.deep.equal([{ type: 'rejected', errorCode: 6 }])
    expect(harness.produce.main.isEmpty && harness.produce.slow.isEmpty).to.equal(true)
  })

  for (const errorCode of [7, 19]) {
    it(`moves a partition that answered ${errorCode} to the second connection until it is healthy`, () => {
      harness.add(0)
      harness.answer(next(), { 0: errorCode })
      harness.add(0)
      harness.add(1)
      expect(partitionsOf(next())).to.deep.equal(['orders/1'])
      harness.answer(next('slow'), { 0: 0 }, 'slow')
      harness.add(0)
      expect(partitionsOf(next())).to.deep.equal(['orders/0'])
    })
  }

  it('moves partitions whose call timed out, too; nobody knows what became of their batches', () => {
    const answers = harness.add(0)
    expect(harness.produce.main.callFailed(next(), new TimedOutError('produce', 1), true)).to.deep.equal([])
    expect(answers[0]?.type).to.equal('unanswered')
    harness.add(0)
    expect(partitionsOf(next('slow'))).to.deep.equal(['orders/0'])
  })

  it('gives back what never left', () => {
    const answers = harness.add(0)
    const error = new UnavailableError('brokerUnreachable', 'refused')
    expect(harness.produce.main.callFailed(next(), error, false)).to.have.length(1)
    expect(answers).to.have.length(0)
  })

  it('does not send a batch that was given back while the connection was being opened', async () => {
    harness.add(0)
    harness.add(1)
    const sent: number[][] = []
    const client = {
      produce: async ({ partitions }: ProduceCall) => {
        sent.push(partitions.map(({ partition }) => partition))
        return { throttleTimeMs: 0, partitions: [] }
      }
    } as unknown as BrokerClient
    const call = next()
    notSent(call.batches.get('orders/0')!, 'noLeader')
    await harness.produce.main.send(client, call)
    expect(sent).to.deep.equal([[1]])
    harness.add(2)
    const another = next()
    notSent(another.batches.get('orders/2')!, 'noLeader')
    expect(await harness.produce.main.send(client, another)).to.deep.equal({ throttleTimeMs: 0, partitions: [] })
    expect(sent).to.have.length(1)
  })

  it('does not send a batch whose time ran out while it waited', () => {
    const batch = { topic: 'orders', partition: 0, bytes: Buffer.alloc(1), answer() {} }
    const accepted = harness.ledger.accept(produceBatch, batch, 5_000, 0)
    accepted.key = 'orders/0'
    harness.produce.addToQueue(accepted)
    accepted.answer({ type: 'notSent', reason: 'noLeader', message: '' })
    expect(next()).to.equal(undefined)
  })
})
