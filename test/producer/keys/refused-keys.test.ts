import { expect } from 'chai'
import { DurableStage } from '../durable-stage.js'
import { sendWithKey, toHash } from './send-with-key.js'

describe('a key whose records Kafka has refused', () => {
  let stage: DurableStage
  beforeEach(async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
  })
  afterEach(() => stage.restore())

  const send = (values: readonly string[], deadlineMs = 5_000): Promise<string> =>
    sendWithKey(stage, 'key', values, deadlineMs)
  /** Passes time until the request is answered. */
  const answered = async (sent: Promise<string>): Promise<string> => {
    await stage.pass(10_000)
    return sent
  }
  const refuse = (...values: readonly string[]): void => {
    const { poison } = stage.router.partition('orders', 0)
    poison.clear()
    for (const value of values) poison.add(value)
  }

  const deadLetters = async (): Promise<number> => (await stage.backlog.log!.look()).deadLetters

  it('answers with the same refusal, and makes no other dead letter', async () => {
    refuse('a')
    expect(await answered(send(['a']))).to.equal('no')
    refuse()
    expect(await answered(send(['a']))).to.equal('no')
    expect(await deadLetters()).to.equal(1)
    await stage.restart()
    expect(await answered(send(['a']))).to.equal('no')
    expect(await deadLetters()).to.equal(1)
    expect(stage.router.values('orders')).to.deep.equal([])
  })

  it('has one dead letter of each record, at whatever moment the process was killed', async () => {
    const seen = new Set<string>()
    for (let moment = 0; moment < 40; moment++) {
      stage.restore()
      stage = new DurableStage({ topics: { orders: 1 } })
      await stage.start()
      refuse('a', 'b')
      // In a process that was killed before it began, the request finds no file.
      send(['a', 'b']).catch(() => undefined)
      for (let step = 0; step < moment; step++) await stage.clock.nextAsync()
      await stage.restart()
      const told = await answered(send(['a', 'b']))
      // Unknown, where the process was killed while a broker had the records.
      expect(told, `killed after ${moment} steps`).to.match(/^(no|unknown|[nu]{2})$/)
      seen.add(told)
      refuse()
      await stage.restart()
      expect(await answered(send(['a', 'b'])), `killed after ${moment} steps`).to.equal(told)
      expect(await deadLetters(), `killed after ${moment} steps`).to.equal(2)
    }
    expect(seen).to.include.members(['no', 'unknown'])
  })

  it('has the outcome of a record that became a dead letter after its request was answered', async () => {
    refuse('a')
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    expect(await answered(send(['a'], 0))).to.equal('pending')
    expect(await answered(send(['a'], 0))).to.equal('pending')
    await stage.restart()
    await stage.pass(60_000)
    expect(await answered(send(['a'], 0))).to.equal('pending')
    expect(await deadLetters()).to.equal(1)
  })

  it('stays in use when the request comes again and is refused before it sends its records, which wait', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    expect(await answered(send(['a'], 1_000))).to.equal('pending')
    const claim = await stage.keys.claim({ hash: toHash('key'), fingerprint: 'keyfffff' })
    if (claim.type !== 'claimed') throw new Error(claim.type)
    // Too many requests, for instance.
    const refusal = { status: 429, headers: [], body: Buffer.from('no') }
    claim.key.answered(refusal, 'no', { settled: () => undefined })
    await stage.pass(500)
    await stage.restart()
    expect(await answered(send(['a']))).to.equal('yes')
    expect(stage.router.values('orders')).to.deep.equal(['a'])
  })

  it('stays in use where Kafka may have a record that it has refused later', async () => {
    refuse('a')
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    expect(await answered(send(['a']))).to.equal('pending')
    await stage.restart()
    await stage.pass(60_000)
    const startedAt = Date.now()
    let toldAt = Number.POSITIVE_INFINITY
    const told = send(['a']).finally(() => (toldAt = Date.now()))
    expect(await answered(told)).to.equal('unknown')
    expect(toldAt - startedAt).to.be.below(100)
    await stage.restart()
    refuse()
    expect(await answered(send(['a']))).to.equal('unknown')
    expect(stage.router.values('orders')).to.deep.equal([])
  })

  it('brings its record into the log when the request comes again, where the disk may have kept it or not', async () => {
    for (const isRestarted of [false, true]) {
      stage.restore()
      stage = new DurableStage({ topics: { orders: 1 } })
      await stage.start()
      expect(await answered(sendWithKey(stage, 'other', ['first'], 5_000))).to.equal('yes')
      stage.disk.faults.before = operation => {
        if (operation !== 'read') throw Object.assign(new Error('EIO'), { code: 'EIO' })
      }
      expect(await answered(send(['a'], 0))).to.equal('unknown')
      // Refused for certain this time; the record of the first attempt may still come back.
      expect(await answered(send(['a'], 0))).to.equal('unknown')
      delete stage.disk.faults.before
      if (isRestarted) await stage.restart()
      await stage.pass(10_000)
      expect(await answered(send(['a'], 0))).to.equal('pending')
      await stage.restart()
      await stage.pass(10_000)
      expect(stage.router.values('orders'), `restarted: ${isRestarted}`).to.deep.equal(['first', 'a'])
    }
  })
})
