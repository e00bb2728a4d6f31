import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import sinon from 'sinon'
import { QuotaExceededError } from '../../../src/core/errors.js'
import type { KafkaRecord } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { Caller } from '../../../src/http/access/access.js'
import { Tail } from '../../../src/http/api/tail.js'
import { SegmentedBody } from '../../../src/http/exchange/segmented-body.js'
import type { ReadSubscription } from '../../../src/verbs/verbs.js'
import { turns } from '../../support/ticks.js'

const HEARTBEAT_MS = 15_000
const STALL_MS = 60_000
const HEARTBEAT = ':\n\n'
const PIECE_CHARACTERS = 65_536
const LONG_BYTES = 100_000

class PlayedResponse extends EventEmitter {
  headersSent = false
  isEnded = false
  isCut = false
  hasCapacity = true
  written = ''
  head: unknown[] = []
  readonly req = { socket: { destroy: () => (this.isCut = true) } }

  writeHead(...head: unknown[]): void {
    this.headersSent = true
    this.head = head
  }

  /** What is called when a piece has left. */
  hasLeft: (() => void) | undefined

  write(text: string | Buffer, hasLeft?: () => void): boolean {
    this.written += text.toString()
    this.hasLeft = hasLeft
    return this.hasCapacity
  }

  end(): void {
    this.isEnded = true
  }
}

/** A tail whose connection, reader and quota the test plays. */
class TailPlay {
  readonly response = new PlayedResponse()
  readonly positions = new Map([
    [0, 3],
    [1, 7]
  ])
  readonly told: string[] = []
  readonly charged: number[][] = []
  /** Makes the data of a record whose data are made later. */
  readonly made: (() => void)[] = []
  retryAfterSeconds: number | undefined
  readonly tail: Tail
  readonly following: ReadSubscription = {
    resume: () => void this.told.push('resume'),
    stop: () => void this.told.push('stop')
  }

  readonly records = new RecordBudget(1024 * 1024, () => 0)
  /** The data of a record that leaves in pieces, two of them. */
  readonly long = new SegmentedBody()

  constructor() {
    this.long.addBytes(Buffer.alloc(LONG_BYTES, 'x'))
    const spend = (...counts: number[]) => void this.charged.push(counts)
    const charge = () => this.retryAfterSeconds && new QuotaExceededError('used up', this.retryAfterSeconds)
    this.tail = new Tail(
      { response: this.response as unknown as ServerResponse, requestId: 'r-1' },
      {
        caller: { charge, spend } as unknown as Caller,
        records: this.records,
        client: 'a',
        dataOf: (partition, { offset, value }) => {
          if (value!.toString() === 'foreign') return undefined
          const data = `${partition}/${offset} ${value}`
          if (value!.toString() === 'long') return this.long
          return value!.toString() === 'later' ? new Promise(resolve => this.made.push(() => resolve(data))) : data
        },
        broken: error => void this.told.push((error as Error).message),
        onOver: () => void this.told.push('over')
      }
    )
  }

  static begun(): TailPlay {
    const play = new TailPlay()
    play.tail.begins(play.positions)
    play.tail.follows(play.following)
    play.response.written = ''
    return play
  }

  take(offset: number, value = 'v'): void {
    this.positions.set(0, offset + 1)
    const record: KafkaRecord = { offset, timestampMs: 0, key: null, value: Buffer.from(value), headers: [] }
    this.tail.take(0, record)
  }

  /** What was written since the last look. */
  get written(): string {
    const { written } = this.response
    this.response.written = ''
    return written
  }
}

const event = (offset: number, value = 'v'): string => `id: 0:${offset + 1},1:7\ndata: 0/${offset} ${value}\n\n`

describe('the stream of a tail', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  })
  afterEach(() => clock.restore())

  it('begins with how soon to come again, and where to go on', () => {
    const play = new TailPlay()
    expect(play.tail.isFull).to.equal(false)
    play.tail.begins(play.positions)
    expect(play.response.head).to.deep.equal([
      200,
      {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'x-request-id': 'r-1'
      }
    ])
    expect(play.written).to.equal('retry: 1000\nid: 0:3,1:7\n\n')
    play.tail.follows(play.following)
    expect(play.told).to.deep.equal([])
  })

  it('says how many records had no event, behind the others of its piece, and where to go on', () => {
    const play = TailPlay.begun()
    play.take(3, 'foreign')
    play.take(4)
    play.take(5, 'foreign')
    play.tail.flush()
    expect(play.written).to.equal(`${event(4)}event: skipped\nid: 0:6,1:7\ndata: {"records":2}\n\n`)
    expect(play.charged.at(-1)![0]).to.equal(3)
    play.take(6, 'foreign')
    play.tail.flush()
    expect(play.written).to.equal('event: skipped\nid: 0:7,1:7\ndata: {"records":1}\n\n')
  })

  it('takes no record while the data of one are being made, and goes on behind it', async () => {
    const play = TailPlay.begun()
    play.take(3)
    play.take(4, 'later')
    expect(play.tail.isFull).to.equal(true)
    // What came before does not wait, and its event does not claim that the record was sent.
    expect(play.written.split('\n').filter(line => line.startsWith('data'))).to.deep.equal(['data: 0/3 v'])
    play.tail.warn('skipped')
    play.tail.flush()
    expect(play.written).to.equal('')
    play.made[0]!()
    await Promise.resolve()
    await Promise.resolve()
    const warning = 'event: warning\nid: 0:5,1:7\ndata: {"warning":"skipped"}\n\n'
    expect(play.written).to.equal(`${event(4, 'later')}${warning}`)
    expect([play.told, play.tail.isFull]).to.deep.equal([['resume'], false])
  })

  it('is written in pieces: when no more records come for now, or there are many', () => {
    const play = TailPlay.begun()
    play.take(3)
    play.take(4)
    expect(play.written).to.equal('')
    play.tail.flush()
    expect(play.written).to.equal(event(3) + event(4))
    play.tail.flush()
    expect(play.written).to.equal('')
    const most = 'x'.repeat(PIECE_CHARACTERS - event(5, '').length)
    play.take(5, most.slice(1))
    expect(play.written).to.equal('')
    play.tail.flush()
    expect(play.written).to.have.length(PIECE_CHARACTERS - 1)
    play.take(6, most)
    expect(play.written).to.equal(event(6, most))
  })

  it('has nothing between the pieces of a long event, and counts it until it has left', async () => {
    const play = TailPlay.begun()
    play.take(3)
    play.take(4, 'long')
    expect(play.tail.isFull).to.equal(true)
    await turns(1)
    const begun = `${event(3)}id: 0:5,1:7\ndata: ${'x'.repeat(PIECE_CHARACTERS)}`
    expect(play.written).to.equal(begun)
    play.tail.warn('behind it')
    play.tail.flush()
    clock.tick(2 * HEARTBEAT_MS)
    await turns(1)
    expect([play.written, play.records.bytesOf('a'), play.charged]).to.deep.equal(['', LONG_BYTES, [[1, 1]]])
    play.response.hasLeft!()
    await turns(2)
    expect(play.written).to.equal('x'.repeat(LONG_BYTES - PIECE_CHARACTERS))
    expect(play.tail.isFull).to.equal(true)
    play.response.hasLeft!()
    await turns(2)
    expect(play.written).to.equal('\n\nevent: warning\nid: 0:5,1:7\ndata: {"warning":"behind it"}\n\n')
    expect([play.records.heldBytes, play.charged, play.tail.isFull]).to.deep.equal([
      0,
      [
        [1, 1],
        [1, 4]
      ],
      false
    ])
    expect(play.told).to.deep.equal(['resume'])
  })

  it('ends within a long event without a word, since its client takes none', async () => {
    const play = TailPlay.begun()
    play.take(3, 'long')
    await turns(1)
    expect(play.written.length).to.be.above(PIECE_CHARACTERS)
    play.tail.ended({ message: 'gone' })
    expect([play.written, play.response.isEnded]).to.deep.equal(['', true])
    play.response.hasLeft!()
    await turns(2)
    expect([play.written, play.records.heldBytes]).to.deep.equal(['', 0])
    const left = TailPlay.begun()
    left.take(3, 'long')
    left.response.emit('close')
    await turns(2)
    expect([left.records.heldBytes, left.told]).to.deep.equal([0, ['stop', 'over']])
    const deaf = TailPlay.begun()
    deaf.take(3, 'long')
    clock.tick(STALL_MS)
    expect(deaf.response.isCut).to.equal(true)
    deaf.response.emit('close')
    await turns(1)
  })

  it('counts what was read, each record once', () => {
    const play = TailPlay.begun()
    play.take(3, 'abc')
    play.take(4, 'de')
    play.tail.flush()
    play.tail.flush()
    play.take(5, 'f')
    play.tail.flush()
    expect(play.charged).to.deep.equal([
      [2, 5],
      [1, 1]
    ])
    expect(play.tail.isFull).to.equal(false)
  })

  it('pauses while a quota is used up, and the last refusal counts', () => {
    const play = TailPlay.begun()
    play.retryAfterSeconds = 3
    play.take(3)
    play.tail.flush()
    expect(play.tail.isFull).to.equal(true)
    clock.tick(2_000)
    play.take(4)
    play.tail.flush()
    clock.tick(2_999)
    expect([play.tail.isFull, play.told]).to.deep.equal([true, []])
    clock.tick(1)
    expect([play.tail.isFull, play.told]).to.deep.equal([false, ['resume']])
  })

  it('pauses while its client does not take what it was sent', () => {
    const play = TailPlay.begun()
    play.response.hasCapacity = false
    play.take(3)
    play.tail.flush()
    expect(play.tail.isFull).to.equal(true)
    clock.tick(STALL_MS - 1)
    play.response.hasCapacity = true
    play.response.emit('drain')
    expect([play.tail.isFull, play.told]).to.deep.equal([false, ['resume']])
    clock.tick(STALL_MS)
    expect(play.response.isCut).to.equal(false)
  })

  it('is cut where its client takes nothing for too long, however much is written meanwhile', () => {
    const play = TailPlay.begun()
    play.response.hasCapacity = false
    play.tail.warn('one')
    clock.tick(STALL_MS - 1)
    play.tail.warn('two')
    expect(play.response.isCut).to.equal(false)
    clock.tick(1)
    expect(play.response.isCut).to.equal(true)
  })

  it('goes on when both its client and its quota have capacity', () => {
    const play = TailPlay.begun()
    play.retryAfterSeconds = 1
    play.response.hasCapacity = false
    play.take(3)
    play.tail.flush()
    play.response.emit('drain')
    expect([play.tail.isFull, play.told]).to.deep.equal([true, []])
    clock.tick(1_000)
    expect([play.tail.isFull, play.told]).to.deep.equal([false, ['resume']])
    play.take(4)
    play.tail.flush()
    clock.tick(1_000)
    expect([play.tail.isFull, play.told]).to.deep.equal([true, ['resume']])
    play.response.emit('drain')
    expect([play.tail.isFull, play.told]).to.deep.equal([false, ['resume', 'resume']])
  })

  it('reads nothing while there is no capacity for its events, and goes on when there is', async () => {
    const play = TailPlay.begun()
    const all = play.records.hold(play.records.maxBytes, 'others')
    expect([play.tail.isFull, play.tail.isFull, play.records.isShort]).to.deep.equal([true, true, true])
    await turns(1)
    expect(play.told).to.deep.equal([])
    all.release()
    expect(play.tail.isFull, 'its turn comes').to.equal(true)
    await turns(1)
    expect([play.tail.isFull, play.told, play.records.isShort]).to.deep.equal([false, ['resume'], false])
  })

  it('takes the capacity of its events until they have left, or the client has', () => {
    const play = TailPlay.begun()
    play.take(3)
    expect(play.records.bytesOf('a')).to.equal('0/3 v'.length)
    play.tail.flush()
    expect(play.records.heldBytes).to.equal(0)
    play.response.hasCapacity = false
    play.take(4)
    play.tail.flush()
    expect(play.records.heldBytes).to.equal('0/4 v'.length)
    play.response.emit('drain')
    expect(play.records.heldBytes).to.equal(0)
    play.take(5)
    play.response.emit('close')
    expect(play.records.heldBytes).to.equal(0)
  })

  it('waits for capacity no longer than its client', async () => {
    const play = TailPlay.begun()
    const all = play.records.hold(play.records.maxBytes, 'others')
    expect(play.tail.isFull).to.equal(true)
    play.response.emit('close')
    expect(play.records.isShort).to.equal(false)
    all.release()
    await turns(1)
    expect(play.told).to.deep.equal(['stop', 'over'])
  })

  it('has a comment where nothing was written for a while, and its client would take it', () => {
    const play = new TailPlay()
    clock.tick(HEARTBEAT_MS)
    expect(play.written).to.equal('')
    play.tail.begins(play.positions)
    expect(play.written).to.match(/^retry/)
    clock.tick(HEARTBEAT_MS)
    expect(play.written).to.equal('')
    clock.tick(HEARTBEAT_MS - 1)
    expect(play.written).to.equal('')
    clock.tick(1)
    expect(play.written).to.equal(HEARTBEAT)
    clock.tick(2 * HEARTBEAT_MS)
    expect(play.written).to.equal(HEARTBEAT + HEARTBEAT)
    play.response.hasCapacity = false
    play.tail.warn('full')
    expect(play.written).not.to.equal('')
    clock.tick(5 * HEARTBEAT_MS)
    expect(play.written).to.equal('')
  })

  it('tells what was skipped, and why it ends, behind the records before', () => {
    const play = TailPlay.begun()
    play.take(3)
    play.tail.warn('one "record"')
    expect(play.written).to.equal(`${event(3)}event: warning\nid: 0:4,1:7\ndata: {"warning":"one \\"record\\""}\n\n`)
    play.take(4)
    play.tail.ended({ message: 'gone' })
    expect(play.written).to.equal(`${event(4)}event: error\ndata: {"error":"gone"}\n\n`)
    expect([play.response.isEnded, play.told]).to.deep.equal([true, ['stop']])
    play.tail.warn('too late')
    expect(play.written).to.equal('')
  })

  it('ends with the records that were taken; one that has not begun is still to be answered', () => {
    const play = TailPlay.begun()
    play.take(3)
    play.tail.end()
    expect([play.written, play.response.isEnded, play.told]).to.deep.equal([event(3), true, ['stop']])
    const waiting = new TailPlay()
    waiting.tail.end()
    expect(waiting.response.isEnded).to.equal(false)
    waiting.tail.begins(waiting.positions)
    waiting.tail.follows(waiting.following)
    expect([waiting.response.headersSent, waiting.written, waiting.told]).to.deep.equal([false, '', ['stop']])
  })

  it('leaves nothing behind when its client is gone', () => {
    const play = TailPlay.begun()
    play.retryAfterSeconds = 1
    play.response.hasCapacity = false
    play.take(3)
    play.tail.flush()
    expect(clock.countTimers()).to.equal(3)
    play.response.emit('close')
    expect([clock.countTimers(), play.told]).to.deep.equal([0, ['stop', 'over']])
    expect(play.written).not.to.equal('')
    play.take(4)
    play.tail.flush()
    play.tail.warn('to nobody')
    play.tail.begins(play.positions)
    expect([clock.countTimers(), play.written]).to.deep.equal([0, ''])
    const early = new TailPlay()
    early.response.emit('close')
    early.tail.begins(early.positions)
    early.tail.follows(early.following)
    expect([early.told, early.response.headersSent, clock.countTimers()]).to.deep.equal([['over', 'stop'], false, 0])
  })
})
