import { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { expect } from 'chai'
import type { OverloadedError } from '../../../src/core/errors.js'
import { type HeldRecords, RecordBudget } from '../../../src/core/record-budget.js'
import { KnownBody } from '../../../src/http/engine/lazy-streams.js'
import { KeptExchange } from '../../../src/http/exchange/kept-response.js'
import { holdMade, whenRoom } from '../../../src/http/exchange/room.js'
import { FakeTime } from '../../support/fake-time.js'

const KIB = 1024
const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

class FakeResponse extends EventEmitter {
  destroyed = false
  writableFinished = false
  isHeld = false
  socket = null
  readonly budget: RecordBudget

  constructor(budget: RecordBudget) {
    super()
    this.budget = budget
  }

  close(): void {
    this.destroyed = true
    this.emit('close')
  }

  get asResponse(): ServerResponse {
    return this as unknown as ServerResponse
  }
}

describe('room for an answer', () => {
  let records: RecordBudget
  const open: FakeResponse[] = []
  beforeEach(() => (records = new RecordBudget(100 * KIB, () => 0)))
  afterEach(() => {
    for (const one of open.splice(0)) one.close()
    expect(records.heldBytes).to.equal(0)
  })

  const response = (): FakeResponse => {
    const made = new FakeResponse(records)
    open.push(made)
    return made
  }
  const ask = (of: FakeResponse, bytes: number, made: (HeldRecords | undefined)[], refuse?: () => void): void =>
    whenRoom({ response: of.asResponse, records, client: 'a', bytes, ...(refuse && { refuse }) }, held =>
      made.push(held)
    )

  it('is not asked for where it is small', () => {
    const made: (HeldRecords | undefined)[] = []
    ask(response(), 8 * KIB, made)
    expect([made, records.heldBytes]).to.deep.equal([[undefined], 0])
  })

  it('is held from before it is made until it has left', () => {
    const [of, made] = [response(), [] as (HeldRecords | undefined)[]]
    ask(of, 20 * KIB, made)
    expect([made.length, of.isHeld, records.heldBytes]).to.deep.equal([1, true, 20 * KIB])
    of.close()
    expect(records.heldBytes).to.equal(0)
  })

  it('is waited for, and nothing is made meanwhile', async () => {
    const others = records.hold(90 * KIB, 'b')
    const made: (HeldRecords | undefined)[] = []
    ask(response(), 30 * KIB, made)
    expect(made).to.have.length(0)
    others.release()
    await nextTick()
    expect(made).to.have.length(1)
  })

  it('is not waited for by those who have left', async () => {
    const others = records.hold(90 * KIB, 'b')
    const made: (HeldRecords | undefined)[] = []
    const left = response()
    ask(left, 30 * KIB, made)
    left.close()
    others.release()
    await nextTick()
    expect([made.length, records.isShort]).to.deep.equal([0, false])
  })

  it('is counted beyond the limit where the answer is made already', () => {
    const made = [response(), response(), response()]
    for (const one of made) holdMade(one.asResponse, 60 * KIB, undefined)
    expect(records.heldBytes).to.equal(180 * KIB)
    holdMade(made[0]!.asResponse, 60 * KIB, undefined)
    expect(records.heldBytes, 'once').to.equal(180 * KIB)
  })

  it('is refused to who only reads, after 10 s', async () => {
    const time = new FakeTime('performance')
    try {
      const others = records.hold(90 * KIB, 'b')
      const refused: OverloadedError[] = []
      const refuse = (error: OverloadedError): void => void refused.push(error)
      const wanted = { response: response().asResponse, records, client: 'a', bytes: 30 * KIB, refuse }
      whenRoom(wanted, () => expect.fail())
      await time.pass(9_000)
      expect([refused.length, records.isShort]).to.deep.equal([0, true])
      await time.pass(1_100)
      expect(refused.map(({ code }) => code)).to.deep.equal(['overloaded'])
      others.release()
    } finally {
      time.restore()
    }
  })

  it('is not taken for an answer that is kept: that has no end, and is held where it leaves', () => {
    const exchange = { request: {} as IncomingMessage, requestId: '1' }
    const { response } = new KeptExchange(exchange, new KnownBody(Buffer.alloc(0)), { take() {} })
    const made: (HeldRecords | undefined)[] = []
    whenRoom({ response, records, client: 'a', bytes: 50 * KIB }, held => made.push(held))
    expect(made).to.deep.equal([undefined])
    expect(records.heldBytes).to.equal(0)
  })
})
