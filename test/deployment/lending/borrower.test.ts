import { expect } from 'chai'
import { type ConsumedMessages, type MessageLimits, ONE_MESSAGE } from '../../../src/consumer/group/consume-result.js'
import { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { AskedTake, GroupTopic, Offered, Taken } from '../../../src/deployment/calls/lending-calls.js'
import { Borrower } from '../../../src/deployment/lending/borrower.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import type { AcquiredMessage } from '../../../src/verbs/verbs.js'
import { HandTime } from './lending-time.js'

const ORDERS: GroupTopic = ['billing', 'orders']
const OFFER: Offered = { topic: ORDERS, bytes: 10 }
const NOTHING: Taken = { messages: [] }

const messageAt = (offset: number, bytes = 10): AcquiredMessage => ({
  groupId: 'billing',
  topic: 'orders',
  partition: 0,
  offset,
  timestampMs: 0,
  key: null,
  value: Buffer.alloc(bytes),
  headers: [],
  serial: offset,
  firstSerial: offset,
  retries: 0
})
const taken = (...offsets: number[]): Taken => ({ messages: offsets.map(offset => messageAt(offset)) })

describe('a gateway that borrows messages', () => {
  let time: HandTime
  let records: RecordBudget
  let waiting: WaitingRequest[]
  let told: string[]
  let got: ConsumedMessages[]
  let takes: { readonly from: string; readonly asked: AskedTake; answer(taken?: Taken): Promise<void> }[]
  let borrower: Borrower<string>
  beforeEach(() => {
    time = new HandTime()
    records = new RecordBudget(8 * 1_048_576, time.clock)
    waiting = []
    told = []
    got = []
    takes = []
    const open = (): WaitingRequest[] => waiting.filter(({ settled }) => !settled)
    borrower = new Borrower({
      time,
      records,
      loanTimeoutMs: 5_000,
      groups: {
        waitingFor: open,
        holdForTake: request => request.holdForTake(),
        allowOwn: (_group, _topic, request) => request.allowOwn(),
        endTake: (_group, _topic, request) => {
          request.endTake()
          request.endHoldForTake()
        },
        answer: (_group, _topic, request, messages) => request.answer({ type: 'messages', messages })
      },
      wants: { note: () => void told.push('wants'), forgotten: by => void told.push(`${by} forgets`) },
      settlements: { note: (to, id, state) => void told.push(`${to}: ${id} ${state}`) },
      take: (from, asked) =>
        new Promise(resolve => {
          takes.push({
            from,
            asked,
            answer: async one => {
              resolve(one)
              await time.pass(0)
            }
          })
        }),
      onGiven: (from, { offset }) => void told.push(`${offset} is of ${from}`)
    })
  })
  afterEach(async () => {
    for (const { release } of got) release()
    borrower.stop()
    await time.pass(10_000)
    expect(borrower.takes).to.equal(0)
    expect(time.timers).to.equal(0)
  })
  const newly = (): string[] => told.splice(0)

  function wait(name: string, limits: MessageLimits = ONE_MESSAGE): WaitingRequest {
    const request = new WaitingRequest(
      new Deadlines(time.clock),
      time.clock() + 3_000,
      {
        reply: result => {
          if (result.type === 'messages') got.push(result.messages)
          const what = result.type === 'messages' ? result.messages.messages.map(({ offset }) => offset) : result.type
          told.push(`${name} gets ${what}`)
        }
      },
      limits
    )
    waiting.push(request)
    return request
  }

  it('takes what it is offered for the oldest request, and gives it out', async () => {
    wait('one')
    wait('two')
    expect(borrower.offered('b', OFFER)).to.equal('take')
    expect(takes[0]!.asked).to.deep.equal({
      id: 1,
      topic: ORDERS,
      maxMessages: 1,
      maxBytes: 1,
      maxMessageBytes: 1_048_576
    })
    await takes[0]!.answer(taken(7))
    expect(newly()).to.deep.equal(['b: 1 had', '7 is of b', 'one gets 7', 'wants'])
    got[0]!.ack()
    got[0]!.release()
    got[0]!.delivered?.()
    expect(newly(), 'it is settled once').to.deep.equal(['b: 1 acknowledged'])
  })

  it('says what becomes of messages that are not acknowledged with their answer', async () => {
    wait('one')
    borrower.offered('b', OFFER)
    await takes[0]!.answer(taken(7))
    got[0]!.delivered?.()
    got[0]!.release()
    expect(newly().at(-1)).to.equal('b: 1 delivered')
  })

  it('says that nobody waits, and wants anew when a request comes', () => {
    expect(borrower.offered('b', OFFER)).to.equal('none')
    expect(newly()).to.deep.equal(['b forgets'])
  })

  it('has one take under way for each request', async () => {
    wait('one')
    wait('two')
    expect(['b', 'c', 'd'].map(from => borrower.offered(from, OFFER))).to.deep.equal(['take', 'take', 'later'])
    expect(borrower.takes).to.equal(2)
    await takes[0]!.answer(NOTHING)
    expect(newly()).to.deep.equal(['wants'])
    expect(borrower.offered('d', OFFER)).to.equal('take')
    for (const take of takes) await take.answer(NOTHING)
  })

  it('asks for at most 64 messages and a mebibyte', async () => {
    wait('many', { maxMessages: 1_000, maxBytes: 4_000_000 })
    borrower.offered('b', OFFER)
    expect(takes[0]!.asked).to.include({ maxMessages: 64, maxBytes: 1_048_576 })
    await takes[0]!.answer(NOTHING)
  })

  it('gives up a take without an answer for another offer, and returns what it brings', async () => {
    wait('one')
    borrower.offered('b', OFFER)
    await time.pass(499)
    expect(borrower.offered('c', OFFER), 'a client would see a later message first').to.equal('later')
    await time.pass(1)
    expect(borrower.offered('c', OFFER)).to.equal('take')
    expect(newly()).to.deep.equal(['b: 1 returned'])
    await takes[0]!.answer(taken(7))
    expect(newly(), 'it was returned before').to.deep.equal([])
    await takes[1]!.answer(taken(8))
    expect(newly()).to.include('one gets 8')
  })

  it('gives a message whose request has ended to the first one that takes all of it', async () => {
    const request = wait('one', { maxMessages: 2, maxBytes: 10_000 })
    borrower.offered('b', OFFER)
    wait('two')
    wait('three', { maxMessages: 2, maxBytes: 10_000 })
    request.cancel()
    await takes[0]!.answer(taken(7, 8))
    expect(newly()).to.include('three gets 7,8')
  })

  it('returns messages that no request takes', async () => {
    const request = wait('one', { maxMessages: 2, maxBytes: 10_000 })
    borrower.offered('b', OFFER)
    wait('two')
    request.cancel()
    await takes[0]!.answer(taken(7, 8))
    expect(newly()).to.deep.equal(['b: 1 returned', 'wants'])
  })

  it('holds a request whose time is over while a take is under way, at most 500 ms', async () => {
    const request = wait('one')
    borrower.offered('b', OFFER)
    const { deadlineAt } = request
    request.onDue()
    expect(newly()).to.deep.equal([])
    expect(request.deadlineAt).to.equal(deadlineAt + 500)
    await takes[0]!.answer(taken(7))
    expect(newly()).to.include('one gets 7')
    const late = wait('late')
    borrower.offered('b', OFFER)
    late.onDue()
    late.onDue()
    expect(newly()).to.deep.equal(['late gets timedOut'])
    await takes[1]!.answer(NOTHING)
  })

  it('is told at once that there is no message, where the take of a request whose time is over brings none', async () => {
    const request = wait('one')
    borrower.offered('b', OFFER)
    request.onDue()
    await takes[0]!.answer(NOTHING)
    expect(newly()).to.deep.equal(['one gets timedOut'])
  })

  it('lets messages of its own answer the request when the take has lasted 500 ms', async () => {
    const request = wait('one')
    borrower.offered('b', OFFER)
    await time.pass(499)
    expect(request.waitsForLentOnly).to.equal(true)
    await time.pass(1)
    expect(request.waitsForLentOnly).to.equal(false)
    expect(borrower.offered('b', OFFER), 'the take is still under way').to.equal('later')
    await time.pass(2_500)
    expect(newly()).to.deep.equal(['b: 1 returned', 'wants'])
  })

  it('gives out nothing that comes too late to tell its arrival twice, because the lender gives it out again', async () => {
    wait('one')
    wait('two')
    for (const nth of [0, 1]) {
      borrower.offered('b', OFFER)
      time.standStill(nth === 0 ? 2_700 : 2_701)
      await takes[nth]!.answer(taken(7 + nth))
    }
    expect(newly()).to.deep.equal(['b: 1 had', '7 is of b', 'one gets 7', 'wants', 'b: 2 returned', 'wants'])
  })

  it('returns what a take without an answer may have brought', async () => {
    wait('one')
    borrower.offered('b', OFFER)
    await takes[0]!.answer(undefined)
    expect(newly()).to.deep.equal(['b: 1 returned', 'wants'])
  })

  it('counts a mebibyte of each take under way to the half of the bytes of records', async () => {
    for (let nth = 0; nth < 9; nth++) wait(String(nth))
    const verdicts = Array.from({ length: 9 }, (_, nth) => borrower.offered(`lender ${nth}`, OFFER))
    expect(verdicts.filter(verdict => verdict === 'take').length).to.equal(4)
    await takes[0]!.answer(NOTHING)
    expect(borrower.offered('b', OFFER)).to.equal('take')
    for (const take of takes) await take.answer(NOTHING)
  })

  it('counts a larger message by its size, and takes none that is larger than it was offered', async () => {
    for (const name of ['one', 'two', 'three']) wait(name)
    const large: Offered = { topic: ORDERS, bytes: 3_500_000 }
    const verdicts = ['b', 'c', 'd'].map(from => borrower.offered(from, large))
    expect(verdicts).to.deep.equal(['take', 'take', 'later'])
    expect(takes.map(({ asked }) => asked.maxMessageBytes)).to.deep.equal([3_500_000, 3_500_000])
    await takes[0]!.answer(NOTHING)
    expect(borrower.offered('d', OFFER)).to.equal('take')
    for (const take of takes) await take.answer(NOTHING)
  })

  it('counts both, what many messages may have and the last one of them', async () => {
    for (const name of ['one', 'two', 'three']) wait(name, { maxMessages: 64, maxBytes: 1e9 })
    expect(['b', 'c', 'd'].map(from => borrower.offered(from, OFFER))).to.deep.equal(['take', 'take', 'later'])
    for (const take of takes) await take.answer(NOTHING)
  })

  it('has at most half of the bytes of records in its hands', async () => {
    wait('one')
    borrower.offered('b', OFFER)
    await takes[0]!.answer({ messages: [messageAt(7, 4 * 1_048_576)] })
    wait('two')
    expect(borrower.offered('b', OFFER)).to.equal('later')
    got[0]!.release()
    expect(borrower.offered('b', OFFER)).to.equal('take')
    await takes[1]!.answer(NOTHING)
  })

  it('borrows nothing more when it stops', async () => {
    wait('one')
    borrower.offered('b', OFFER)
    newly()
    borrower.stop()
    expect(newly()).to.deep.equal(['b: 1 returned', 'wants'])
    expect(borrower.offered('c', OFFER)).to.equal('none')
    await takes[0]!.answer(taken(7))
    expect(newly()).to.deep.equal(['c forgets'])
  })
})
