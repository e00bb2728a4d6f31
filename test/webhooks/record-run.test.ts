import { expect } from 'chai'
import { acksIn } from '../../src/consumer/group/ack-encoding.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { kafkaFailure } from '../../src/router/requests/failures.js'
import { run } from '../consumer/group/fake-runtime.js'
import { delivered } from '../support/fake-verbs.js'
import { FakeEndpoint, status } from './fake-endpoint.js'
import { RecordRunStage } from './record-run-stage.js'

const MINUTE_MS = 60_000
const twoKeys = (offset: number): string => `k${offset % 2}`
const each = (offset: number): string => `k${offset}`

describe('records of a webhook', () => {
  let stage: RecordRunStage
  afterEach(() => stage.end())

  async function begin(...args: ConstructorParameters<typeof RecordRunStage>): Promise<void> {
    stage = new RecordRunStage(...args)
    await stage.pass()
  }
  /** Whether the record is one of these. */
  const isAt =
    (...offsets: number[]) =>
    ({ named }: { readonly named: ReadonlyMap<string, string> }) =>
      offsets.includes(Number(named.get('x-castellan-offset')))

  it('are sent once each, in the order of their keys, and acknowledged by a 2xx only', async () => {
    await begin(10, twoKeys, undefined, { maxInFlight: 4 })
    for (const offset of run(0, 10)) {
      expect(stage.committed, 'nothing counts before its answer').to.equal(offset)
      await stage.answer(offset, 200)
    }
    expect(stage.committed).to.equal(10)
    expect([...stage.sent].sort((a, b) => a - b)).to.deep.equal(run(0, 10))
    for (const key of [0, 1]) {
      const ofKey = stage.sent.filter(offset => offset % 2 === key)
      expect(ofKey).to.deep.equal([...ofKey].sort((a, b) => a - b))
    }
    expect(stage.heads.bytes).to.equal(0)
  })

  it('wait behind another one of their key, and for no other one', async () => {
    await begin(20, twoKeys, attempt => (isAt(0)(attempt) ? 500 : 204))
    await stage.pass(3_000)
    expect(stage.sent.filter(offset => offset % 2 === 1)).to.deep.equal(run(0, 10).map(at => 2 * at + 1))
    expect(new Set(stage.sent.filter(offset => offset % 2 === 0))).to.deep.equal(new Set([0]))
    expect(stage.committed).to.equal(0)
    expect(stage.partition).to.include({ open: 10, isStalled: false })
    expect(stage.partition.oldest).to.include({ offset: 0 })
    stage.endpoint.answers = () => 204
    await stage.pass(2 * MINUTE_MS)
    expect(stage.committed).to.equal(20)
    expect(stage.sent.filter(offset => offset % 2 === 0 && offset > 0)).to.deep.equal(run(1, 9).map(at => 2 * at))
  })

  it('without a key wait for none, and neither do those of order none', async () => {
    await begin(3, () => null)
    await stage.answer(0, 200)
    expect(stage.open).to.have.members([1, 2])
    stage.end()
    await begin(3, () => 'k', undefined, { order: 'none' })
    await stage.answer(0, 200)
    expect(stage.open).to.have.members([1, 2])
  })

  it('keep their id in all attempts, which count', async () => {
    await begin(1, each)
    const [first] = stage.endpoint.attempts
    expect(first!.id).to.equal('AAAAAAAAAAAAAAAAAAAAAA-0-0')
    await stage.answer(0, 503)
    await stage.pass(2 * MINUTE_MS)
    const second = stage.endpoint.attempts[1]!
    expect(second.id).to.equal(first!.id)
    expect(second.named.get('x-castellan-attempt')).to.equal('2')
  })

  for (const answer of [307, 401, 403, 404, 405, 409, 408, 421, 425, 429, 500, 503])
    it(`are sent again after ${answer}, and never given up while no other one gets a 2xx`, async () => {
      await begin(1, each, () => answer, { deadLetters: 'dead', maxAttempts: 2 })
      stage.random = 0
      await stage.pass(2 * MINUTE_MS)
      expect(stage.sent.length).to.be.greaterThan(5)
      expect(stage.letters).to.deep.equal([])
      expect(stage.committed).to.equal(0)
    })

  for (const kind of ['refused', 'cut', 'late', 'tls', 'name', 'address'] as const)
    it(`are sent again when the attempt was ${kind}`, async () => {
      await begin(1, each, () => ({ kind, message: '' }), { deadLetters: 'dead' })
      stage.random = 0
      await stage.pass(10_000)
      expect(stage.sent.length).to.be.greaterThan(2)
      expect(stage.run.requests.get(kind)).to.equal(stage.sent.length)
    })

  for (const answer of [400, 413, 415, 422, 431])
    it(`become a dead letter at once by ${answer}, where one is named, and wait else`, async () => {
      await begin(
        2,
        () => 'k',
        attempt => (isAt(0)(attempt) ? answer : 200),
        { deadLetters: 'dead' }
      )
      expect(stage.letters).to.have.length(1)
      const [{ topic, key, value, headers }] = stage.letters as [(typeof stage.letters)[0]]
      expect({ topic, key: String(key), value: String(value) }).to.deep.equal({ topic: 'dead', key: 'k', value: '0' })
      expect(headers!.map(({ key, value }) => [key, String(value)])).to.deep.include.members([
        ['castellan-webhook', 'hook'],
        ['castellan-reason', 'answer'],
        ['castellan-status', String(answer)],
        ['castellan-attempts', '1'],
        ['castellan-topic', 'orders'],
        ['castellan-partition', '0'],
        ['castellan-offset', '0'],
        ['castellan-webhook-id', 'AAAAAAAAAAAAAAAAAAAAAA-0-0']
      ])
      expect(stage.committed).to.equal(2)
      stage.end()
      await begin(
        2,
        () => 'k',
        () => answer
      )
      await stage.pass(MINUTE_MS)
      expect(stage.committed).to.equal(0)
      expect(new Set(stage.sent)).to.deep.equal(new Set([0]))
    })

  it('are given up after so many attempts between which others got a 2xx', async () => {
    await begin(30, each, attempt => (isAt(0)(attempt) ? 500 : 200), { deadLetters: 'dead', maxAttempts: 3 })
    stage.random = 0
    await stage.pass(20_000)
    const alone = stage.endpoint.attempts.filter(isAt(0)).length
    expect(alone).to.be.greaterThan(20)
    expect(stage.letters, 'no other one proves that the endpoint is well').to.deep.equal([])
    for (const more of run(0, 4)) {
      stage.runtime.write(30 + more)
      await stage.pass(1_000)
    }
    expect(stage.letters).to.have.length(1)
    expect(stage.committed).to.equal(34)
  })

  it('stay open until Kafka has their dead letter', async () => {
    await begin(
      2,
      () => 'k',
      attempt => (isAt(0)(attempt) ? 400 : 200),
      { deadLetters: 'dead' }
    )
    stage.end()
    stage = new RecordRunStage(
      2,
      () => 'k',
      attempt => (isAt(0)(attempt) ? 400 : 200),
      { deadLetters: 'dead' }
    )
    stage.outcome = undefined
    await stage.pass(MINUTE_MS)
    expect(stage.sent).to.deep.equal([0])
    expect(stage.committed).to.equal(0)
    stage.outcome = { ...failed, message: 'too large' }
    await stage.pass(1)
    expect(stage.committed, 'Kafka refuses it').to.equal(0)
    await stage.pass(MINUTE_MS)
    expect(stage.sent.length).to.be.greaterThan(1)
    expect(new Set(stage.sent), 'none behind it goes on').to.deep.equal(new Set([0]))
  })

  it('write at most ten dead letters in a row, until one gets a 2xx', async () => {
    await begin(20, each, () => 400, { deadLetters: 'dead' })
    await stage.pass(10_000)
    expect(stage.letters).to.have.length(10)
    expect(stage.run.deadLettersStopped).to.equal(true)
    expect(stage.committed).to.equal(10)
    stage.endpoint.answers = attempt => (isAt(12)(attempt) ? 200 : 400)
    await stage.pass(2 * MINUTE_MS)
    expect(stage.letters.length).to.be.greaterThan(10)
    expect(stage.committed).to.equal(20)
  })

  it('all wait for a Retry-After of 429 and 503, which no 2xx shortens', async () => {
    await begin(10, each, undefined, { maxInFlight: 2 })
    await stage.answer(0, 200)
    expect(stage.open).to.deep.equal([1, 2])
    stage.attemptAt(1).answer(status(429, 20_000))
    await stage.answer(2, 200)
    await stage.pass(19_000)
    expect(stage.open).to.deep.equal([])
    await stage.pass(2_000)
    expect(stage.open).to.have.length(2)
  })

  for (const answer of [status(410), status(503, 20_000), status(500)])
    it(`wait for nothing that an endpoint says by ${answer.kind === 'status' && answer.status} after the url has changed`, async () => {
      await begin(10, each)
      const former = stage.attemptAt(0)
      stage.endpoint = new FakeEndpoint()
      former.answer(answer)
      await stage.pass()
      expect([stage.isGone, stage.sent]).to.deep.equal([false, [1]])
    })

  it('all wait for it also where a person has settled the record meanwhile', async () => {
    await begin(10, each)
    expect(await skip(0)).to.deep.equal({ type: 'skipped' })
    stage.attemptAt(0).answer(status(429, 20_000))
    await stage.pass(19_000)
    expect(stage.sent).to.deep.equal([0])
    await stage.pass(2_000)
    expect(stage.sent).to.deep.equal([0, 1])
  })

  it('alone wait for a Retry-After of other answers, which shortens no pause', async () => {
    stage = new RecordRunStage(10, each, attempt => (isAt(0)(attempt) ? status(500, 60_000) : 200))
    stage.random = 0
    await stage.pass(50_000)
    expect(stage.sent.filter(offset => offset === 0)).to.have.length(1)
    expect(stage.run.partitions(new Map())[0]!.open).to.equal(1)
    await stage.pass(15_000)
    expect(stage.sent.filter(offset => offset === 0)).to.have.length(2)
  })

  it('of another key come first after the pause at window 1', async () => {
    await begin(2, each, attempt => (isAt(0)(attempt) ? 500 : undefined))
    stage.random = 0
    expect(stage.pace.window).to.equal(1)
    await stage.pass(4_000)
    expect(stage.sent[1]).to.equal(1)
    await stage.answer(1, 200)
    expect(stage.pace.pausedUntil, 'a 2xx ends the pause').to.equal(undefined)
  })

  it('are taken and sent while refused ones of other keys wait for their turns, and no more are taken than that', async () => {
    await begin(2, each, attempt => (isAt(0, 1)(attempt) ? 500 : undefined), { maxInFlight: 1 })
    stage.random = 0
    await stage.pass(5_000)
    expect(new Set(stage.sent)).to.deep.equal(new Set([0, 1]))
    stage.runtime.write(...run(2, 100))
    await stage.pass(5_000)
    expect(stage.open).to.deep.equal([2])
    expect(stage.partition.open).to.be.below(50)
    await stage.answer(2, 200)
    expect(stage.open).to.have.length(1)
  })

  it('end the webhook by 410, and skip nothing', async () => {
    await begin(3, each, () => 410, { deadLetters: 'dead' })
    await stage.pass(MINUTE_MS)
    expect(stage.isGone).to.equal(true)
    expect(stage.sent).to.deep.equal([0])
    stage.endpoint.answers = () => 200
    stage.isRunning = true
    stage.pace.reset()
    stage.run.goOn()
    await stage.pass(MINUTE_MS)
    expect(stage.sent).to.have.members([0, 0, 1, 2])
    expect(stage.committed).to.equal(3)
  })

  it('stop their partition when 2,000 of one key are open, and go on when there is room', async () => {
    await begin(2_500, () => 'k')
    await stage.passAll()
    expect(stage.partition).to.include({ open: 2_000, parked: 1_999, isStalled: true })
    expect(stage.heads.bytes, 'places only, and the one that is sent').to.be.below(1_000)
    stage.endpoint.answers = () => 200
    await stage.answer(0, 200)
    await stage.passAll()
    expect(stage.committed).to.equal(2_500)
    expect(stage.sent).to.deep.equal(run(0, 2_500))
  })

  it('stop their partition before the acknowledgements between them do not fit into a commit', async () => {
    const keyOf = (offset: number) => (offset % 3 === 0 && offset >= 30 ? 'k' : `k${offset}`)
    await begin(7_000, keyOf, attempt => (isAt(30)(attempt) ? undefined : 200))
    await stage.passAll()
    const { open, isStalled } = stage.partition
    expect(isStalled).to.equal(true)
    expect(open).to.be.within(1_333, 1_999)
    expect(stage.runtime.committed!.metadata.length).to.be.below(4_096)
    const acked = acksIn(stage.runtime.committed!)!.reduce((sum, { from, to }) => sum + to - from, 0)
    expect(stage.committed! + acked, 'each of them is committed').to.equal(stage.sent.length - 1)
  })

  it('that are gone when they are read again are lost, and counted', async () => {
    await begin(10, () => 'k')
    stage.runtime.logStart = 5
    stage.runtime.offsets = run(5, 5)
    stage.endpoint.answers = () => 200
    await stage.answer(0, 200)
    await stage.pass(5_000)
    expect(stage.sent).to.deep.equal([0, 5, 6, 7, 8, 9])
    expect(stage.run.totals.lost).to.equal(4)
    expect(
      stage.lines.map(({ fields }) => (fields as { from?: number }).from),
      'each is named'
    ).to.deep.equal(run(1, 4))
    expect(stage.committed).to.equal(10)
  })

  it('are not lost where the log has lost its end: they are open, and what is written there then is sent', async () => {
    await begin(10, () => 'k')
    stage.runtime.offsets = [0]
    stage.runtime.logEnd = 1
    stage.endpoint.answers = () => 200
    await stage.answer(0, 200)
    await stage.pass(5_000)
    expect(stage.sent).to.deep.equal([0])
    expect(stage.run.totals.lost).to.equal(0)
    expect(stage.partition).to.include({ open: 9 })
    expect(stage.committed).to.equal(1)
    stage.runtime.endPolls()
    await stage.pass(5_000)
    expect(stage.partition).to.include({ open: 0 })
    stage.runtime.write(1, 2)
    await stage.pass(5_000)
    expect(stage.sent).to.deep.equal([0, 1, 2])
    expect(stage.committed).to.equal(3)
  })

  it('that were deleted before they were read are lost, and counted', async () => {
    stage = new RecordRunStage(10, each, () => 200)
    stage.runtime.logStart = 4
    await stage.pass(5_000)
    expect(stage.run.totals.lost).to.equal(4)
    expect(stage.sent).to.deep.equal(run(4, 6))
  })

  it('of a rebalance begin no attempt, and are settled by answers that come in time', async () => {
    await begin(6, () => null, undefined, { maxInFlight: 2 })
    await stage.answer(0, 200)
    expect(stage.open).to.deep.equal([1, 2])
    stage.runtime.held.add('joinGroup')
    await stage.rebalance()
    await stage.answer(1, 200)
    expect(stage.open, 'none begins').to.deep.equal([2])
    await stage.answer(2, 200)
    expect(stage.committed).to.equal(3)
    stage.runtime.held.clear()
    await stage.pass(1_000)
    expect(stage.sent.slice(0, 3)).to.deep.equal([0, 1, 2])
    expect(stage.open).to.deep.equal([3, 4])
  })

  it('keep the order of a key over a rebalance in which an answer is late', async () => {
    await begin(4, () => 'k')
    await stage.rebalance()
    await stage.pass(1_000)
    expect(stage.open).to.deep.equal([0])
    await stage.answer(0, 200)
    await stage.pass(1_000)
    expect(stage.sent.filter(offset => offset > 0).every(offset => offset === 1)).to.equal(true)
  })

  it('count the attempts of before a rebalance', async () => {
    await begin(1, each)
    await stage.answer(0, 500)
    await stage.rebalance()
    await stage.pass(2 * MINUTE_MS)
    expect(stage.attemptAt(0).named.get('x-castellan-attempt')).to.equal('2')
  })

  it('count the attempt that was under way when they were given again', async () => {
    const loseAll = async (): Promise<void> => {
      stage.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
      await stage.pass(2_000)
    }
    const attemptsAt = (offset: number): readonly (string | undefined)[] =>
      stage.endpoint.attempts.filter(isAt(offset)).map(({ named }) => named.get('x-castellan-attempt'))
    await begin(1, each)
    await stage.answer(0, 500)
    await stage.pass(2 * MINUTE_MS)
    await loseAll()
    expect(attemptsAt(0), 'the next one of its key waits').to.deep.equal(['1', '2'])
    await stage.answer(0, 500)
    await stage.pass(2 * MINUTE_MS)
    expect(attemptsAt(0)).to.deep.equal(['1', '2', '3'])
    stage.end()
    await begin(3, () => null)
    await stage.answer(0, 200)
    await stage.answer(1, 200)
    await loseAll()
    expect(attemptsAt(2), 'without a key it waits for none').to.deep.equal(['1', '2'])
    const [first] = stage.endpoint.attempts.filter(isAt(2))
    first!.answer(500)
    await stage.pass()
    expect(stage.run.notes[0]).to.include({ offset: 2, attempt: 1 })
  })

  it('wait as long as they would have without a rebalance', async () => {
    await begin(1, each)
    stage.attemptAt(0).answer(status(500, 60_000))
    await stage.pass()
    await stage.rebalance()
    await stage.pass(30_000)
    expect(stage.sent).to.deep.equal([0])
    await stage.pass(40_000)
    expect(stage.sent).to.deep.equal([0, 0])
  })

  it('of a partition that was lost get no dead letter by an answer that comes late', async () => {
    await begin(1, each, undefined, { deadLetters: 'dead' })
    const [late] = stage.endpoint.attempts
    stage.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
    await stage.pass(2_000)
    late!.answer(400)
    await stage.pass(5_000)
    expect(stage.letters).to.deep.equal([])
    expect(stage.committed).to.equal(0)
    await stage.answer(0, 200)
    expect(stage.committed).to.equal(1)
    expect(stage.sent).to.deep.equal([0, 0])
  })

  it('are not sent while it is not known whether a person has settled them', async () => {
    await begin(1, each, undefined, { deadLetters: 'dead' })
    await stage.answer(0, 500)
    stage.outcome = undefined
    const skipped = stage.run.skip(0, 0)
    await stage.pass(2 * MINUTE_MS)
    expect(stage.sent).to.deep.equal([0])
    stage.outcome = { ...failed, message: 'too large' }
    await stage.pass(1)
    expect(await skipped).to.deep.equal({ type: 'notWritten', message: 'too large' })
    expect(stage.sent).to.deep.equal([0, 0])
  })

  it('are skipped by a person wherever they are: waiting, parked or under way', async () => {
    await begin(4, () => 'k', undefined, { deadLetters: 'dead' })
    expect(await skip(2)).to.deep.equal({ type: 'skipped' })
    expect(await skip(0)).to.deep.equal({ type: 'skipped' })
    expect(await skip(7)).to.deep.equal({ type: 'notAtHand' })
    await stage.answer(0, 500)
    expect(stage.open).to.deep.equal([1])
    await stage.answer(1, 500)
    expect(await skip(1)).to.deep.equal({ type: 'skipped' })
    await stage.pass()
    expect(stage.letters.map(({ value }) => String(value))).to.deep.equal(['2', '0', '1'])
    await stage.pass(2 * MINUTE_MS)
    expect(stage.open).to.deep.equal([3])
    expect(stage.committed).to.equal(3)
    expect(stage.run.totals.skipped).to.equal(3)
  })

  it('under way that a person settles become one dead letter, whatever the endpoint answers meanwhile', async () => {
    for (const answer of [200, 400, 500]) {
      await begin(1, each, undefined, { deadLetters: 'dead' })
      stage.outcome = undefined
      const skipped = stage.run.skip(0, 0)
      await stage.pass()
      await stage.answer(0, answer)
      expect(stage.committed, 'it is not known yet').to.equal(0)
      stage.outcome = delivered()
      await stage.pass(1)
      expect(await skipped).to.deep.equal({ type: 'skipped' })
      await stage.pass(2 * MINUTE_MS)
      expect(stage.letters, String(answer)).to.have.length(1)
      expect(stage.committed).to.equal(1)
      expect(stage.run.totals).to.include({ skipped: 1, deadLetters: 1 })
      if (answer < 500) stage.end()
    }
  })

  it('that are being given up are not skipped as well', async () => {
    await begin(1, each, () => 400, { deadLetters: 'dead' })
    stage.end()
    stage = new RecordRunStage(1, each, () => 400, { deadLetters: 'dead' })
    stage.outcome = undefined
    await stage.pass()
    const skipped = stage.run.skip(0, 0)
    await stage.pass()
    stage.outcome = delivered()
    await stage.pass(1)
    expect(await skipped).to.deep.equal({ type: 'notAtHand' })
    expect(stage.letters).to.have.length(1)
  })

  it('of a partition that was lost get no dead letter by a person', async () => {
    await begin(1, each, undefined, { deadLetters: 'dead' })
    stage.runtime.held.add('joinGroup')
    stage.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
    await stage.pass(2_000)
    expect(stage.open, 'it is under way').to.deep.equal([0])
    expect(await skip(0)).to.deep.equal({ type: 'notAtHand' })
    expect(stage.letters).to.deep.equal([])
    stage.runtime.held.clear()
  })

  it('are read for a person within the room for records only', async () => {
    await begin(40, () => 'k', undefined, { deadLetters: 'dead' })
    stage.outcome = undefined
    stage.heads.take('other', stage.records.maxBytes)
    const asked = stage.runtime.newly('fetchData')
    const skipped = run(1, 30).map(offset => stage.run.skip(0, offset))
    await stage.pass()
    expect(stage.runtime.newly('fetchData'), String(asked)).to.equal(0)
    for (const result of await Promise.all(skipped)) expect(result).to.include({ type: 'notWritten' })
    stage.heads.release('other', stage.records.maxBytes)
    stage.outcome = delivered()
    expect(await skip(1)).to.deep.equal({ type: 'skipped' })
    await stage.answer(0, 200)
    expect(stage.open).to.deep.equal([2])
  })

  it('count as failing only while one is open', async () => {
    await begin(1, each, () => 400, { deadLetters: 'dead' })
    expect(stage.letters).to.have.length(1)
    expect(stage.run.failingSince, 'given up').to.equal(undefined)
  })

  it('that a person skips leave nothing that fails, now or later', async () => {
    await begin(1, each, () => 500)
    expect(stage.run.failingSince).to.not.equal(undefined)
    await skip(0)
    expect(stage.run.failingSince).to.equal(undefined)
  })

  it('that an endpoint does not take are told of, with the cause', async () => {
    const because = '10.0.0.5 is in none of webhooks.networks'
    await begin(2, each, () => ({ kind: 'address', message: because }))
    await stage.pass(3_000)
    expect(stage.sent).to.have.length.above(1)
    expect(stage.lines).to.have.length(1)
    expect(stage.lines[0]!.fields).to.deep.include({ answer: 'address', because })
  })

  it('begin as many attempts as there are places; those that wait for one are no attempts', async () => {
    stage = new RecordRunStage(40, offset => `key ${offset}`)
    stage.endpoint.places = 3
    await stage.pass()
    for (let offset = 0; offset < 40; offset++) await stage.answer(offset, 204)
    expect(stage.endpoint.attempts).to.have.lengthOf(40)
    expect([stage.endpoint.most, stage.endpoint.taken, stage.pace.inFlight]).to.deep.equal([3, 0, 0])
    expect(stage.run.notes.every(({ answer }) => answer === 204)).to.equal(true)
  })

  it('give their places back before they wait for one of another url', async () => {
    stage = new RecordRunStage(2, offset => `key ${offset}`)
    const former = stage.endpoint
    const next = new FakeEndpoint(() => 204)
    // The url changes between place and attempt, as it does while a record is read.
    stage.endpoint.place = () => {
      stage.endpoint = next
      return FakeEndpoint.prototype.place.call(former, () => undefined)
    }
    let held = 0
    next.answers = () => {
      held = Math.max(held, former.taken)
      return 204
    }
    await stage.pass(1_000)
    expect([next.attempts.length, held, former.taken]).to.deep.equal([2, 0, 0])
  })

  it('give their places back where nothing is sent', async () => {
    stage = new RecordRunStage(3, offset => `key ${offset}`)
    await stage.pass()
    stage.isRunning = false
    await stage.answer(0, 503)
    await stage.pass(100_000)
    expect([stage.endpoint.taken, stage.pace.inFlight]).to.deep.equal([0, 0])
  })

  it('are sent again after a bug, and others go on meanwhile', async () => {
    await begin(2, each, attempt => {
      if (isAt(0)(attempt) && stage.sent.length === 1) throw new Error('a bug')
      return 200
    })
    await stage.pass(MINUTE_MS)
    expect(stage.sent).to.deep.equal([0, 1, 0])
    expect(stage.committed).to.equal(2)
  })

  it('that are too large are judged as 413, and not sent', async () => {
    stage = new RecordRunStage(
      2,
      () => 'k',
      () => 200,
      { deadLetters: 'dead' }
    )
    const { recordAt } = stage.runtime
    stage.runtime.recordAt = offset =>
      offset === 0 ? { ...recordAt(offset), value: Buffer.alloc(1_001) } : recordAt(offset)
    await stage.pass()
    expect(stage.sent).to.deep.equal([1])
    expect(stage.letters).to.have.length(1)
    expect(stage.committed).to.equal(2)
  })

  it('that cannot be sent are told of where no dead letter is written', async () => {
    stage = new RecordRunStage(2, () => 'k')
    const { recordAt } = stage.runtime
    stage.runtime.recordAt = offset => ({ ...recordAt(offset), value: Buffer.alloc(1_001) })
    await stage.pass(1_000)
    expect(stage.sent).to.deep.equal([])
    expect(stage.run.failingSince).to.not.equal(undefined)
    expect(stage.run.notes[0]).to.include({ offset: 0, answer: 'unsendable' })
    expect(stage.run.requests.get('unsendable')).to.equal(stage.run.notes.length)
  })

  async function skip(offset: number) {
    const skipped = stage.run.skip(0, offset)
    await stage.pass()
    return skipped
  }
})

const failed = { type: 'failed', code: 'kafka', errorCode: 10, persisted: 'no', retriable: false } as const
