import { expect } from 'chai'
import { Ekaf } from '../../../../src/apis/kafboy/ekaf/ekaf.js'
import type { KafboyOutcome } from '../../../../src/apis/kafboy/hooks/hooks.js'
import { producerForHooks } from '../../../../src/apis/kafboy/hooks/producer-for-hooks.js'
import { kafboySettings } from '../../../../src/apis/kafboy/settings.js'
import { delivered, FakeGateway, failure } from '../../../support/fake-gateway.js'

const contents = (...values: string[]) => values.map(value => ({ key: null, value }))

function setUp(gateway = new FakeGateway()) {
  const ekaf = new Ekaf({
    gateway,
    settings: kafboySettings.parse({ syncTimeoutMs: 70, asyncTimeoutMs: 90 }),
    hooks: undefined,
    clock: () => 0,
    random: () => 0,
    onSettled: () => undefined
  })
  return { gateway, ekaf }
}

describe('kafboy: what hooks produce by themselves', () => {
  it('is told of when its caller waits, record by record, in the words of answers', async () => {
    const outcomes = [delivered(3, 7), failure('recordTooLarge'), failure('timedOut')]
    const { gateway, ekaf } = setUp(new FakeGateway({ outcome: (_, index) => outcomes[index]! }))
    const said = await new Promise<readonly KafboyOutcome[]>(resolve =>
      producerForHooks(ekaf, 't', 'sync', contents('a', 'b', 'c'), resolve)
    )
    expect(said).to.deep.equal([
      { type: 'sent', partition: 3, offset: 7 },
      { type: 'failed', error: 10 },
      { type: 'failed', error: 'timeout' }
    ])
    expect(gateway.calls[0]!.options.deadlineMs).to.equal(70)
  })

  it('goes out at once, or with the next batch, when nobody waits', async () => {
    const { gateway, ekaf } = setUp()
    producerForHooks(ekaf, 't', 'async', contents('a'), undefined)
    expect(gateway.calls.map(({ options }) => options.deadlineMs)).to.deep.equal([90])
    producerForHooks(ekaf, 't', 'batchAsync', contents('b', 'c'), undefined)
    expect([gateway.calls.length, ekaf.bufferedBytes > 0]).to.deep.equal([1, true])
    await ekaf.flush(1_000)
    expect(gateway.records.map(({ value }) => String(value))).to.deep.equal(['a', 'b', 'c'])
  })

  it('is nothing when there are no records, and who waits is told so', () => {
    const { gateway, ekaf } = setUp()
    const said: unknown[] = []
    producerForHooks(ekaf, 't', 'sync', [], outcomes => said.push(outcomes))
    producerForHooks(ekaf, 't', 'async', [], undefined)
    expect([said, gateway.calls]).to.deep.equal([[[]], []])
  })
})
