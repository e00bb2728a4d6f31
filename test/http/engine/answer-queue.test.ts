import type { Socket } from 'node:net'
import { expect } from 'chai'
import { AnswerLine, type EngineResponse, type Piece } from '../../../src/http/engine/response.js'
import { FakeSocket } from './fake-socket.js'

/** An answer that writes down what happens to it. */
class FakeResponse {
  needsDrain = false
  isHeld = true
  unheldBytes = 0
  restBytes = 0
  isLast = false
  finished = false
  readonly told: string[] = []
  readonly req = { abort: () => void this.told.push('abort') }
  over(isWritten: boolean): void {
    this.told.push(isWritten ? 'written' : 'lost')
  }
  turn(): void {
    this.told.push('turn')
  }
  emit(event: string): void {
    this.told.push(event)
  }
  get asResponse(): EngineResponse {
    return this as unknown as EngineResponse
  }
}

const piecesOf = (...texts: readonly string[]): Piece[] => texts.map(data => ({ data, encoding: 'latin1' }))
const atEndOfTick = (): never => {
  throw new Error('these answers do not wait')
}
const nextTick = (): Promise<void> => new Promise(resolve => process.nextTick(resolve))

describe('the answers of one connection', () => {
  let socket: FakeSocket
  let queue: AnswerLine
  let left: number

  beforeEach(() => {
    socket = new FakeSocket()
    left = 0
    queue = new AnswerLine(
      socket as unknown as Socket,
      {
        date: '',
        keepAliveTimeoutMs: 0,
        atEndOfTick,
        endedUnread: atEndOfTick,
        unheld: atEndOfTick,
        now: () => 0,
        stoodStill: () => false
      },
      { isRead: true, goOn: () => left++ }
    )
    socket.on('drain', () => queue.drained())
  })

  const add = (): FakeResponse => {
    const response = new FakeResponse()
    queue.add(response.asResponse)
    return response
  }
  const write = (response: FakeResponse, texts: readonly string[], isEnd = true): boolean => {
    response.finished = isEnd
    return queue.write(response.asResponse, piecesOf(...texts), isEnd)
  }

  it('leave as they are written, and are over when they have left', () => {
    const one = add()
    expect([queue.isEmpty, queue.isTurnOf(one.asResponse)]).to.deep.equal([false, true])
    expect([write(one, ['a']), socket.newlyWritten(), socket.corked]).to.deep.equal([true, 'a', 0])
    expect([one.told, queue.isEmpty, left]).to.deep.equal([[], false, 0])
    socket.flush()
    expect([one.told, queue.isEmpty, left]).to.deep.equal([['written'], true, 1])
  })

  it('keep the order of their requests, and leave together when they come in one tick', async () => {
    const [one, two, three] = [add(), add(), add()]
    expect([write(three, ['3']), write(two, ['2', '2'], false)]).to.deep.equal([true, true])
    expect(socket.newlyWritten()).to.equal('')
    write(one, ['1'])
    expect([socket.newlyWritten(), socket.corked]).to.deep.equal(['122', 1])
    write(two, [])
    expect([socket.newlyWritten(), socket.corked]).to.deep.equal(['3', 1])
    await nextTick()
    expect(socket.corked).to.equal(0)
    socket.flush()
    expect([one, two, three].map(({ told }) => told)).to.deep.equal([['written'], ['written'], ['written']])
  })

  it('have their turn when all earlier ones have left, not when they are written', () => {
    const [one, two] = [add(), add()]
    write(one, ['1'])
    expect([queue.isTurnOf(two.asResponse), two.told]).to.deep.equal([false, []])
    socket.flush()
    expect([queue.isTurnOf(two.asResponse), two.told]).to.deep.equal([true, ['turn']])
  })

  it('are too many when 64 KiB wait, in the socket or behind another one', () => {
    const [one, two, three] = [add(), add(), add()]
    expect(write(two, ['x'.repeat(65_535)])).to.equal(true)
    expect(queue.isFull).to.equal(false)
    expect(write(three, ['x'])).to.equal(false)
    expect(queue.isFull).to.equal(true)
    write(one, ['x'.repeat(10)])
    expect([queue.isFull, socket.writableLength]).to.deep.equal([true, 65_546])
    socket.flush()
    expect(queue.isFull).to.equal(false)
  })

  it('tell of each piece when it has left, also of one that had to wait for its turn', () => {
    const [one, two] = [add(), add()]
    const gone: string[] = []
    const pieceOf = (data: string): Piece => ({ data, encoding: 'latin1', done: () => gone.push(data) })
    queue.write(two.asResponse, [pieceOf('2'), pieceOf('3')], false)
    two.finished = true
    queue.write(two.asResponse, [], true)
    queue.write(one.asResponse, [pieceOf('1')], false)
    socket.flush()
    expect([gone, one.told]).to.deep.equal([['1'], []])
    one.finished = true
    queue.write(one.asResponse, [], true)
    expect([gone, socket.newlyWritten()]).to.deep.equal([['1'], '123'])
    socket.flush()
    expect([gone, one.told, two.told]).to.deep.equal([['1', '2', '3'], ['written'], ['written']])
  })

  it('count what an answer has not made yet as what waits', () => {
    const one = add()
    one.restBytes = 70_000
    write(one, ['a'], false)
    expect([queue.isFull, queue.restBytes, queue.waitingBytes]).to.deep.equal([true, 70_000, 70_001])
    one.restBytes = 0
    write(one, ['b'])
    socket.flush()
    expect([queue.isFull, queue.restBytes, queue.waitingBytes]).to.deep.equal([false, 0, 0])
  })

  it('say when the client does not keep up, and go on when it does', () => {
    const one = add()
    socket.writableNeedDrain = true
    expect(write(one, ['a'], false)).to.equal(false)
    one.needsDrain = true
    socket.emit('drain')
    expect([one.told, left], 'it is full again').to.deep.equal([[], 1])
    socket.writableNeedDrain = false
    socket.emit('drain')
    socket.emit('drain')
    expect([one.told, one.needsDrain, left]).to.deep.equal([['drain'], false, 3])
  })

  it('may be told to go on when no answer waits', () => {
    socket.emit('drain')
    expect(left).to.equal(1)
  })

  it('wake the one whose turn comes, after what it had kept', () => {
    const [one, two] = [add(), add()]
    write(two, ['x'.repeat(70_000)], false)
    two.needsDrain = true
    write(one, ['1'])
    expect([two.told, socket.written.length]).to.deep.equal([['drain'], 70_001])
  })

  it('end the connection with the last one before it is told, and nothing is written behind it', () => {
    const [one, two, three] = [add(), add(), add()]
    write(three, ['3'])
    one.isLast = true
    one.over = () => void one.told.push(socket.newly().join())
    write(one, ['1'])
    expect([queue.hasLast, write(two, ['2']), socket.newlyWritten()]).to.deep.equal([true, false, '1'])
    socket.flush()
    expect(one.told).to.deep.equal(['destroySoon'])
    socket.destroy()
    queue.close()
    expect([two.told, three.told, queue.isEmpty]).to.deep.equal([['abort', 'lost'], ['abort', 'lost'], true])
  })

  it('include the last one as soon as it is decided on, although it waits for its turn', () => {
    const [one, two] = [add(), add()]
    two.isLast = true
    write(two, ['2'])
    expect([queue.hasLast, socket.newlyWritten()]).to.deep.equal([true, ''])
    write(one, ['1'])
    expect(socket.newlyWritten()).to.equal('12')
  })

  it('are lost when a reset has ended the connection, of which Node tells no error to those that were being written', () => {
    const one = add()
    write(one, ['1'])
    socket.destroyed = true
    socket.flush()
    expect(one.told).to.deep.equal([])
    queue.close()
    expect(one.told).to.deep.equal(['abort', 'lost'])
  })

  it('are lost when the connection ends, also those that were being written', () => {
    const [one, two] = [add(), add()]
    write(one, ['1'])
    socket.flush(new Error('broken pipe'))
    expect(one.told).to.deep.equal([])
    queue.close()
    expect([one.told, two.told]).to.deep.equal([
      ['abort', 'lost'],
      ['abort', 'lost']
    ])
    socket.flush()
    expect(left).to.equal(0)
  })

  it('are not written where nothing can be written', () => {
    const one = add()
    socket.writable = false
    expect([write(one, ['1']), socket.written]).to.deep.equal([false, ''])
  })

  it('may be empty behind what was written before', () => {
    const one = add()
    write(one, ['1'], false)
    write(one, [])
    expect(socket.newlyWritten()).to.equal('1')
    socket.flush()
    expect(one.told).to.deep.equal(['written'])
  })
})
