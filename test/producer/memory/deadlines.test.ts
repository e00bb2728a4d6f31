import { expect } from 'chai'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: deadlines', () => {
  let stage: DeliveryStage
  beforeEach(async () => {
    stage = new DeliveryStage({ orders: 2 }, { timeoutMs: 20_000 })
    await stage.warmUp('orders', 0)
  })
  afterEach(() => stage.restore())
  const partition = () => stage.router.partition('orders', 0)

  it('withdraws what is not sealed: it never appears, and what came before and after it does', async () => {
    partition().script.push({ type: 'hold' })
    stage.send(record('orders', 'in flight', 0))
    await stage.pass(10)
    const before = stage.send(record('orders', 'before', 0))
    const late = stage.send(record('orders', 'late', 0), 500)
    const after = stage.send(record('orders', 'after', 0))
    await stage.pass(600)
    expect(resultsOf(late)).to.deep.equal(['timedOut, no'])
    stage.router.release()
    await stage.pass(1_000)
    expect(partition().values.slice(1)).to.deep.equal(['in flight', 'before', 'after'])
    expect([offsetsOf(before), offsetsOf(after)]).to.deep.equal([[2], [3]])
  })

  it('counts an answer that came while the process stood still for longer than the deadline', async () => {
    partition().script.push({ type: 'hold' }, { type: 'hold' })
    const answered = stage.send(record('orders', 'A', 0), 500)
    await stage.pass(10)
    // Sockets are read after timers.
    setTimeout(() => setImmediate(() => stage.router.release()), 60)
    stage.clock.jump(5_000)
    const unanswered = stage.send(record('orders', 'B', 0), 500)
    await stage.pass(10)
    expect(resultsOf(answered)).to.deep.equal(['delivered'])
    stage.clock.jump(5_000)
    await stage.pass(60)
    expect(resultsOf(unanswered)).to.deep.equal(['timedOut, unknown'])
  })

  it('ends the wait for what is on its way, not the way', async () => {
    partition().script.push({ type: 'hold' })
    const sent = stage.send(record('orders', 'A', 0), 500)
    await stage.pass(600)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown'])
    stage.router.release()
    await stage.pass(100)
    expect(partition().values.slice(1)).to.deep.equal(['A'])
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown'])
  })

  it('takes back what waits at the Router: it never appears, and what came with it does', async () => {
    for (let at = 0; at < 3; at++) partition().script.push({ type: 'park' })
    const late = stage.send(record('orders', 'late', 0), 500)
    const later = stage.send(record('orders', 'later', 0), 800)
    const patient = stage.send(record('orders', 'patient', 0))
    await stage.pass(600)
    expect([late, later, patient].flatMap(resultsOf)).to.deep.equal(['timedOut, no', undefined, undefined])
    await stage.pass(300)
    expect([later, patient].flatMap(resultsOf)).to.deep.equal(['timedOut, no', undefined])
    stage.router.release()
    await stage.pass(100)
    expect(partition().values.slice(1)).to.deep.equal(['patient'])
    expect(offsetsOf(patient)).to.deep.equal([1])
  })

  it('says "no" about a batch that was only ever refused, and writes it no more', async () => {
    for (let at = 0; at < 100; at++) partition().script.push({ type: 'reject', errorCode: 19 })
    const sent = stage.send(record('orders', 'A', 0), 1_000)
    const other = stage.send(record('orders', 'B', 0), 5_000)
    await stage.pass(3_000)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, no'])
    partition().script.length = 0
    await stage.pass(3_000)
    expect(partition().values.slice(1)).to.deep.equal(['B'])
    expect(offsetsOf(other)).to.deep.equal([1])
  })

  it('sends nothing twice when a batch was withdrawn while it waited to be tried again', async () => {
    for (let at = 0; at < 4; at++) partition().script.push({ type: 'reject', errorCode: 19 })
    stage.send(record('orders', 'A', 0), 800)
    await stage.pass(850)
    partition().script.length = 0
    partition().script.push({ type: 'hold' })
    const attempts = partition().attempts.length
    const sent = stage.send(record('orders', 'B', 0))
    await stage.pass(5_000)
    expect(partition().attempts).to.have.length(attempts + 1)
    stage.router.release()
    await stage.pass(10)
    expect(offsetsOf(sent)).to.deep.equal([1])
  })

  it('keeps on saying "unknown" after a 7, whatever comes then', async () => {
    partition().script.push({ type: 'appendThenReject', errorCode: 7 })
    for (let at = 0; at < 100; at++) partition().script.push({ type: 'reject', errorCode: 19 })
    const sent = stage.send(record('orders', 'A', 0), 1_000)
    await stage.pass(1_100)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown'])
  })

  it('gives a batch up after the delivery time-out, and fences it before the next one goes', async () => {
    for (let at = 0; at < 200; at++) partition().script.push({ type: 'loseRequest' })
    const sent = stage.send(record('orders', 'A', 0), 60_000)
    await stage.pass(22_000)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown'])
    partition().script.length = 0
    const next = stage.send(record('orders', 'B', 0))
    await stage.pass(1_000)
    expect(offsetsOf(next)).to.deep.equal([1])
    expect(partition().attempts.at(-1)).to.include({ epoch: 1, baseSequence: 0 })
    expect(stage.delivery.stats()).to.include({ bufferedRecords: 0, bufferedBytes: 0 })
  })

  it('answers all records of a request at once at the deadline', async () => {
    partition().script.push({ type: 'hold' })
    const sent = stage.send(
      [record('orders', 'A', 0), record('orders', 'B', 1), record('nowhere', 'C'), record('orders', 'D', 0)],
      700
    )
    await stage.pass(690)
    expect(sent.outcomes).to.equal(undefined)
    await stage.pass(70)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, unknown', 'delivered', 'unknownTopic, no', 'timedOut, unknown'])
  })

  it('counts a Router that does not answer as an unknown end, and tries again', async () => {
    stage.restore()
    stage = new DeliveryStage({ orders: 1 }, { answerTimeoutMs: 3_000 })
    await stage.warmUp('orders', 0)
    partition().script.push({ type: 'hold' })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(4_000)
    expect(offsetsOf(sent)).to.deep.equal([1])
    stage.router.release()
    await stage.pass(100)
    expect(partition().values).to.deep.equal(['warm-up', 'A'])
  })

  it('stops its clock when nothing is held', async () => {
    await stage.pass(1_000)
    expect(stage.clock.countTimers()).to.equal(0)
  })
})
