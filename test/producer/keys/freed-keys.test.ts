import { expect } from 'chai'
import { DurableHarness } from '../../support/durable-harness.js'
import { sendWithKey, toHash } from './send-with-key.js'

describe('a key that is free again because Kafka has refused its records', () => {
  let harness: DurableHarness
  beforeEach(async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    await harness.start()
  })
  afterEach(() => harness.restore())

  const send = (values: readonly string[], deadlineMs = 5_000): Promise<string> =>
    sendWithKey(harness, 'key', values, deadlineMs)
  /** Passes time until the request is answered. */
  const answered = async (sent: Promise<string>): Promise<string> => {
    await harness.pass(10_000)
    return sent
  }
  const refuse = (...values: readonly string[]): void => {
    const { poison } = harness.router.partition('orders', 0)
    poison.clear()
    for (const value of values) poison.add(value)
  }

  it('is carried out by the next request, which is killed meanwhile, with one record', async () => {
    refuse('a')
    expect(await answered(send(['a']))).to.equal('no')
    refuse()
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    void send(['a'])
    await harness.pass(500)
    await harness.restart()
    const told = await answered(send(['a']))
    expect(told).to.equal('yes')
    expect(await answered(send(['a']))).to.equal('yes')
    expect(harness.router.values('orders')).to.deep.equal(['a'])
  })

  it('knows its records by their latest attempt, at whatever moment the process was killed', async () => {
    for (let moment = 0; moment < 40; moment++) {
      harness.restore()
      harness = new DurableHarness({ topics: { orders: 1 } })
      await harness.start()
      refuse('a', 'b')
      expect(await answered(send(['a', 'b']))).to.equal('no')
      refuse()
      void send(['a', 'b'])
      for (let step = 0; step < moment; step++) await harness.clock.nextAsync()
      await harness.restart()
      expect(await answered(send(['a', 'b'])), `killed after ${moment} steps`).to.equal('yes')
      await harness.restart()
      expect(await answered(send(['a', 'b'])), `killed after ${moment} steps`).to.equal('yes')
      expect(harness.router.values('orders'), `killed after ${moment} steps`).to.have.members(['a', 'b'])
    }
  })

  it('is free after a restart as well', async () => {
    refuse('a')
    const told = send(['a'])
    let isTold = false
    void told.then(() => (isTold = true))
    while (!isTold) await harness.clock.nextAsync()
    await harness.restart()
    refuse()
    expect(await answered(send(['a']))).to.equal('yes')
    expect(harness.router.values('orders')).to.deep.equal(['a'])
  })

  it('stays in use when the request comes again and is refused before it sends its records, which wait', async () => {
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    expect(await answered(send(['a'], 1_000))).to.equal('pending')
    const claim = await harness.keys.claim({ hash: toHash('key'), fingerprint: 'keyfffff' }, 1_000)
    if (claim.type !== 'claimed') throw new Error(claim.type)
    // Too many requests, for instance.
    const refusal = { status: 429, headers: [], body: Buffer.from('no') }
    claim.key.answered(refusal, 'no', () => undefined)
    await harness.pass(500)
    await harness.restart()
    expect(await answered(send(['a']))).to.equal('yes')
    expect(harness.router.values('orders')).to.deep.equal(['a'])
  })

  it('stays in use where Kafka may have a record that it has refused later', async () => {
    refuse('a')
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    expect(await answered(send(['a']))).to.equal('pending')
    await harness.restart()
    await harness.pass(60_000)
    const startedAt = Date.now()
    let toldAt = Number.POSITIVE_INFINITY
    const told = send(['a']).finally(() => (toldAt = Date.now()))
    expect(await answered(told)).to.equal('unknown')
    expect(toldAt - startedAt).to.be.below(100)
    await harness.restart()
    refuse()
    expect(await answered(send(['a']))).to.equal('unknown')
    expect(harness.router.values('orders')).to.deep.equal([])
  })
})
