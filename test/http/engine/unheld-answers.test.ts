import type { Socket } from 'node:net'
import { expect } from 'chai'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { AnswerLine, type EngineResponse, SMALL_BYTES, unheldAnswers } from '../../../src/http/engine/response.js'
import { FakeSocket } from './fake-socket.js'

const LIMIT_BYTES = 64 * 1024

describe('an answer that no budget holds', () => {
  let socket: FakeSocket
  let line: AnswerLine
  let ended: number
  const told = unheldAnswers.told
  beforeEach(() => {
    ended = 0
    socket = new FakeSocket()
    line = new AnswerLine(
      socket as unknown as Socket,
      {
        date: '',
        records: new RecordBudget(1, () => 0),
        keepAliveTimeoutMs: 0,
        atEndOfTick: () => expect.fail(),
        endedUnread: () => expect.fail(),
        unheld: () => ended++,
        now: () => 0,
        stoodStill: () => false
      },
      { isRead: true, goOn: () => undefined }
    )
    unheldAnswers.told = undefined
  })
  afterEach(() => {
    unheldAnswers.told = told
  })

  const add = (isHeld = false): EngineResponse => {
    const response = {
      isHeld,
      unheldBytes: 0,
      restBytes: 0,
      isLast: false,
      finished: false,
      req: {},
      over: () => undefined,
      turn: () => undefined,
      emit: () => true
    } as unknown as EngineResponse
    line.add(response)
    return response
  }
  const write = (response: EngineResponse, sizeBytes: number): boolean =>
    line.write(response, [{ data: 'x'.repeat(sizeBytes), encoding: 'latin1' }], false)

  it('leaves while it has up to 64 KiB', () => {
    write(add(), LIMIT_BYTES)
    expect([ended, socket.destroyed]).to.deep.equal([0, false])
  })

  it('ends its connection where it has more, in one piece or in several that have not left', () => {
    write(add(), LIMIT_BYTES + 1)
    expect([ended, socket.destroyed, socket.written]).to.deep.equal([1, true, ''])
  })

  it('ends it also while it waits for earlier ones', () => {
    add()
    const second = add()
    for (const part of [LIMIT_BYTES / 2, LIMIT_BYTES / 2, 1]) write(second, part)
    expect([ended, socket.destroyed]).to.deep.equal([1, true])
  })

  it('may be a stream of any length, as long as its client takes it', () => {
    const stream = add()
    for (let part = 0; part < 10; part++) {
      write(stream, LIMIT_BYTES / 2)
      socket.flush()
    }
    expect(ended).to.equal(0)
    for (let part = 0; part < 3; part++) write(stream, LIMIT_BYTES / 2)
    expect(ended).to.equal(1)
  })

  it('is another thing where a budget holds it', () => {
    write(add(true), 4 * LIMIT_BYTES)
    expect([ended, socket.destroyed]).to.deep.equal([0, false])
  })

  it('is red in a test above 8 KiB: a door that forgets to take room', () => {
    unheldAnswers.told = told
    expect(() => write(add(), SMALL_BYTES)).to.not.throw()
    expect(() => write(add(), SMALL_BYTES + 1)).to.throw(/bytes that no budget holds$/)
  })
})
