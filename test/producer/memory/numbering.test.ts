import { expect } from 'chai'
import sinon from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import { advanced, newNumbering, ProducerIdentity, raised } from '../../../src/producer/memory/numbering.js'
import type { ScheduledProducer } from '../../../src/producer/memory/partition-schedule.js'
import { defaultDeliverySettings } from '../../../src/producer/memory/settings.js'
import type { RequestOf, ResultOf } from '../../../src/router/messages/operations.js'

describe('numbering of batches', () => {
  it('goes on after the records of a batch', () => {
    expect(advanced({ producerId: 7n, epoch: 2, nextSequence: 10 }, 5)).to.deep.equal({
      producerId: 7n,
      epoch: 2,
      nextSequence: 15
    })
  })

  it('has 0 after 2147483647, counting the records of the batch', () => {
    expect(advanced({ producerId: 7n, epoch: 0, nextSequence: 2147483647 }, 1).nextSequence).to.equal(0)
    expect(advanced({ producerId: 7n, epoch: 0, nextSequence: 2147483640 }, 10).nextSequence).to.equal(2)
  })

  it('starts at sequence 0 in the next epoch, as long as there is one', () => {
    expect(raised({ producerId: 7n, epoch: 2, nextSequence: 10 })).to.deep.equal(newNumbering(7n, 3))
    expect(raised({ producerId: 7n, epoch: 32766, nextSequence: 10 })?.epoch).to.equal(32767)
    expect(raised({ producerId: 7n, epoch: 32767, nextSequence: 10 })).to.equal(undefined)
  })
})

const [a, b] = [{}, {}] as [ScheduledProducer, ScheduledProducer]
const success = (producerId: bigint, producerEpoch = 0): ResultOf<'initProducerId'> => ({
  type: 'success',
  producerId,
  producerEpoch
})
const failed = (retriable: boolean): ResultOf<'initProducerId'> =>
  ({ type: 'failed', errorCode: 31, code: 'notAuthorized', message: 'no', retriable }) as ResultOf<'initProducerId'>

describe('delivery: the producer id', () => {
  let clock: sinon.SinonFakeTimers
  let asked: RequestOf<'initProducerId'>[]
  let ready: (readonly ScheduledProducer[])[]
  let refused: (readonly ScheduledProducer[])[]
  let identity: ProducerIdentity
  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000 })
    asked = []
    ready = []
    refused = []
    identity = new ProducerIdentity(
      {
        router: { tell: (message: RequestOf<'initProducerId'>) => void asked.push(message) } as never,
        settings: defaultDeliverySettings,
        random: () => 0.5,
        log: silentLogger,
        clock: () => performance.now()
      },
      { ready: producers => ready.push(producers), refused: producers => refused.push(producers) }
    )
  })
  afterEach(() => clock.restore())
  const answer = async (result: ResultOf<'initProducerId'>): Promise<void> => {
    asked.at(-1)!.requester.reply(result)
    await clock.tickAsync(0)
  }

  it('is asked for once, and tells all that wait for it, once', async () => {
    for (const producer of [a, b, a]) expect(identity.numbering(producer)).to.equal(undefined)
    expect(asked.map(({ type, timeoutMs }) => [type, timeoutMs])).to.deep.equal([['initProducerId', 1_500]])
    await answer(success(0n, 3))
    expect(ready).to.deep.equal([[a, b]])
    expect(identity.numbering(a), '0 is an id').to.deep.equal({ producerId: 0n, epoch: 3, nextSequence: 0 })
    identity.usedUp(0n)
    identity.numbering(b)
    await answer(success(1n))
    expect(ready[1]).to.deep.equal([b])
  })

  it('is asked for again after pauses that grow while there is none, and begin anew the next time', async () => {
    const pauses = async (...results: (ResultOf<'initProducerId'> | undefined)[]): Promise<number[]> => {
      const took: number[] = []
      for (const result of results) {
        const before = asked.length
        const from = performance.now()
        if (result !== undefined) await answer(result)
        while (asked.length === before) await clock.tickAsync(1)
        took.push(performance.now() - from)
      }
      return took
    }
    identity.numbering(a)
    expect(await pauses(success(-1n), failed(true), { type: 'timedOut' })).to.deep.equal([100, 200, 400])
    expect(await pauses(undefined), 'nobody answers: what the Router may take, and a second').to.deep.equal([3_300])
    await answer(success(5n))
    expect([refused, ready]).to.deep.equal([[], [[a]]])
    identity.usedUp(5n)
    identity.numbering(a)
    expect(await pauses(failed(true))).to.deep.equal([100])
  })

  it('is refused to all that wait, and asked for again only when another one wants it', async () => {
    identity.numbering(a)
    identity.numbering(b)
    await answer(failed(false))
    expect([refused, ready]).to.deep.equal([[[a, b]], []])
    await clock.tickAsync(10_000)
    expect(asked).to.have.length(1)
    identity.numbering(b)
    expect(asked).to.have.length(2)
    await answer(success(1n))
    expect(ready).to.deep.equal([[b]])
  })

  it('waits for the end of the pause also where somebody asks during it', async () => {
    identity.numbering(a)
    await answer(failed(false))
    identity.numbering(b)
    expect(asked).to.have.length(1)
    await clock.tickAsync(99)
    expect(asked).to.have.length(1)
    await clock.tickAsync(1)
    expect(asked).to.have.length(2)
  })

  it('is told to operators as refused for a minute after the last refusal, and until there is one', async () => {
    const told = (): number | undefined => identity.refusal?.errorCode
    identity.numbering(a)
    await answer({ type: 'failed', errorCode: 14, code: 'kafka', message: 'loading', retriable: true } as never)
    expect(told(), 'an answer that passes is none').to.equal(undefined)
    await clock.tickAsync(1_000)
    await answer(failed(false))
    expect(told()).to.equal(31)
    await clock.tickAsync(59_999)
    expect(told()).to.equal(31)
    await clock.tickAsync(1)
    expect(told()).to.equal(undefined)
    identity.numbering(a)
    await answer(failed(false))
    expect(told()).to.equal(31)
    await clock.tickAsync(1_000)
    identity.numbering(a)
    await answer({ type: 'timedOut' })
    expect(told(), 'no broker answered').to.equal(31)
    await clock.tickAsync(1_000)
    await answer(success(1n))
    expect(told()).to.equal(undefined)
  })

  it('stays when another one is used up, or belonged to a partition that was forgotten', async () => {
    identity.numbering(a)
    await answer(success(5n))
    identity.usedUp(4n)
    identity.retired({ producerId: 4n, epoch: 8, nextSequence: 0 })
    expect(identity.numbering(a)).to.deep.equal({ producerId: 5n, epoch: 0, nextSequence: 0 })
    expect(asked).to.have.length(1)
  })

  it('begins above the epochs of partitions that were forgotten, and is another one when none is left', async () => {
    identity.numbering(a)
    await answer(success(5n, 2))
    const epoch = (): number | undefined => identity.numbering(b)?.epoch
    const retire = (used: number): void => identity.retired({ producerId: 5n, epoch: used, nextSequence: 0 })
    retire(1)
    expect(epoch(), 'its own epoch is higher').to.equal(2)
    retire(6)
    retire(4)
    expect(epoch()).to.equal(7)
    retire(0x7ffe)
    expect(epoch()).to.equal(0x7fff)
    retire(0x7fff)
    expect(epoch()).to.equal(undefined)
    await answer(success(6n, 1))
    expect(epoch(), 'all epochs of the new id are free').to.equal(1)
  })

  it('is void in another cluster', async () => {
    identity.numbering(a)
    await answer(success(5n))
    identity.clusterChanged()
    expect(identity.numbering(a)).to.equal(undefined)
    await answer(success(5n, 9))
    expect(identity.numbering(a)?.epoch).to.equal(9)
  })

  it('is not asked for after the end, nor waited for', async () => {
    identity.numbering(a)
    await answer(failed(true))
    identity.close()
    expect(clock.countTimers()).to.equal(0)
    identity.numbering(b)
    expect(asked).to.have.length(1)
  })

  it('that comes after the end is not heard', async () => {
    identity.numbering(a)
    identity.close()
    await answer(success(5n))
    expect([ready, identity.numbering(a)]).to.deep.equal([[], undefined])
    await clock.tickAsync(10_000)
    expect([asked.length, clock.countTimers()]).to.deep.equal([1, 0])
  })
})
