import { expect } from 'chai'
import { TimedOutError, UnavailableError } from '../../../src/core/errors.js'
import type { BatchesCall } from '../../../src/router/processors/batch-line.js'
import { ProduceAdmission, produceBatch } from '../../../src/router/processors/produce-admission.js'
import { produceResponse } from '../../support/produced.js'
import { ProcessorStage } from './stage.js'

const BROKER_MAX_BYTES = 30
const closed = new UnavailableError('brokerUnreachable', 'the connection was closed by the other side')

/** A broker that closes the connection on requests it finds too large, and partitions that try again. */
class SmallBroker extends ProcessorStage {
  readonly produce = new ProduceAdmission({
    requestMaxBytes: 100,
    brokerTimeoutMs: 1_500,
    callMarginMs: 1_500,
    now: () => this.now
  })
  maxBytes = BROKER_MAX_BYTES

  add(partition: number, bytes = 10): void {
    const batch = { topic: 'orders', partition, bytes: Buffer.alloc(bytes), answer: () => {} }
    const accepted = this.openRequests.accept(produceBatch, batch, 5_000, this.now)
    accepted.partition = this.partition('orders', partition)
    this.produce.addToQueue(accepted)
  }

  /** One call while ten batches wait, and whether the broker answered it. */
  fullCall(batchBytes = 10): { readonly sizeBytes: number; readonly isAnswered: boolean } {
    for (let partition = 0; partition < 10; partition++) this.add(partition, batchBytes)
    const call = this.produce.main.nextCall()!
    this.produce.drain()
    const isAnswered = call.sizeBytes <= this.maxBytes
    if (isAnswered) this.answer(call)
    else this.produce.main.callFailed(call, closed, true)
    return { sizeBytes: call.sizeBytes, isAnswered }
  }

  answer(call: BatchesCall): void {
    const partitions = call.batches.map(({ request }) => request)
    this.produce.main.processResponse(call, produceResponse(partitions, partitions))
  }
}

describe('produce processor: how large a request may be', () => {
  let broker: SmallBroker
  beforeEach(() => (broker = new SmallBroker()))

  it('halves requests of several batches that a broker closes the connection on', () => {
    const calls = Array.from({ length: 4 }, () => broker.fullCall())
    expect(calls.map(({ sizeBytes }) => sizeBytes)).to.deep.equal([100, 50, 20, 20])
    expect(calls.map(({ isAnswered }) => isAnswered)).to.deep.equal([false, false, true, true])
  })

  it('goes down to one batch', () => {
    broker.maxBytes = 45
    const calls = Array.from({ length: 4 }, () => broker.fullCall(45))
    expect(calls.map(({ sizeBytes }) => sizeBytes)).to.deep.equal([90, 45, 45, 45])
  })

  it('tries larger requests again, ever more rarely where they fail', () => {
    const failedAt: number[] = []
    for (let call = 0; call < 2_000; call++) if (!broker.fullCall().isAnswered) failedAt.push(call)
    expect(failedAt.length).to.be.within(4, 12)
    const distances = failedAt.slice(2).map((call, at) => call - failedAt[at + 1]!)
    expect(distances).to.deep.equal([...distances].sort((a, b) => a - b))
    broker.maxBytes = 1_000
    let sizeBytes = 0
    for (let call = 0; call < 20_000 && sizeBytes < 100; call++) sizeBytes = broker.fullCall().sizeBytes
    expect(sizeBytes).to.equal(100)
  })

  it('takes no time-out, and no request that never left, for a request that is too large', () => {
    for (const [error, sent] of [
      [new TimedOutError('produce', 1), true],
      [closed, false]
    ] as const) {
      for (let partition = 0; partition < 10; partition++) broker.add(partition)
      const call = broker.produce[sent ? 'main' : 'slow'].nextCall()!
      expect(call.sizeBytes).to.equal(sent ? 100 : 30)
      broker.produce.main.callFailed(call, error, sent)
    }
  })
})
