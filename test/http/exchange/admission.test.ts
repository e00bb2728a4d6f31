import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { OverloadedError } from '../../../src/core/errors.js'
import type { EngineRequest } from '../../../src/http/engine/request.js'
import { Admission } from '../../../src/http/exchange/admission.js'

const KIB = 1024
const MIB = 1024 * KIB

class FakeCapacity {
  readonly what = 'the buffer of records for kafka'
  readonly setting = 'delivery.maxBytes'
  readonly maxBytes = 10 * MIB
  usedBytes = 0
  stuckBytes = 0
  #freed = (): void => undefined

  onFreed(freed: () => void): void {
    this.#freed = freed
  }

  free(bytes: number): void {
    this.usedBytes -= bytes
    this.#freed()
  }
}

class FakeRequest {
  readonly headers: Record<string, string>
  readonly socket: object
  isHeld = false
  isOver = false
  #over = (): void => undefined
  #received = (): void => undefined
  #refused = (_error: OverloadedError): void => undefined

  constructor(sizeBytes: number | undefined, socket: object) {
    this.headers = sizeBytes === undefined ? {} : { 'content-length': String(sizeBytes) }
    this.socket = socket
  }

  hold(): void {
    this.isHeld = true
  }

  letGo(): void {
    this.isHeld = false
  }

  whenOver(over: () => void): void {
    this.#over = over
  }

  whenReceived(received: () => void): void {
    this.#received = received
  }

  whenRefused(refused: (error: OverloadedError) => void): void {
    this.#refused = refused
  }

  /** What has come of the body found no capacity. */
  beRefused(error: OverloadedError): void {
    if (this.isHeld) this.#refused(error)
  }

  receive(): void {
    this.#received()
  }

  leave(): void {
    this.isOver = true
    this.#received()
    this.#over()
  }
}

describe('admission', () => {
  let clock: SinonFakeTimers
  let capacity: FakeCapacity
  let admission: Admission
  let entered: string[]
  let refused: OverloadedError[]

  const ask = (name: string, sizeBytes: number | undefined, socket: object = {}): FakeRequest => {
    const request = new FakeRequest(sizeBytes, socket)
    admission.admit(
      request as unknown as EngineRequest,
      () => entered.push(name),
      error => refused.push(error)
    )
    return request
  }
  const nextTurn = () => clock.next()

  beforeEach(() => {
    clock = useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'performance']
    })
    capacity = new FakeCapacity()
    admission = new Admission(capacity, 1_000, () => performance.now())
    entered = []
    refused = []
  })
  afterEach(() => {
    clock.runAll()
    clock.restore()
  })

  it('lets requests in at once while there is capacity', () => {
    const request = ask('a', 4 * KIB)
    expect(entered).to.deep.equal(['a'])
    expect(request.isHeld).to.equal(false)
  })

  it('keeps a request from being read while the capacity is nearly full, and lets it in when some of it is free', () => {
    capacity.usedBytes = 9 * MIB
    const request = ask('a', 4 * KIB)
    expect(entered).to.deep.equal([])
    expect(request.isHeld).to.equal(true)
    capacity.free(2 * MIB)
    clock.tick(0)
    expect(entered).to.deep.equal(['a'])
    expect(request.isHeld).to.equal(false)
    expect(admission.waiting).to.equal(0)
  })

  it('refuses a request for which no capacity was found in time, and says what is full', () => {
    capacity.usedBytes = 10 * MIB
    const request = ask('a', 4 * KIB)
    clock.tick(999)
    expect(refused).to.have.length(0)
    clock.tick(51)
    expect(refused[0]?.code).to.equal('overloaded')
    expect(refused[0]?.message).to.contain('delivery.maxBytes').and.to.contain('http.admissionWaitMs')
    expect(request.isHeld).to.equal(false)
    capacity.free(10 * MIB)
    clock.tick(100)
    expect(entered).to.deep.equal([])
  })

  it('refuses a request at once whose body found no capacity while it waited, and only once', () => {
    capacity.usedBytes = 10 * MIB
    const request = ask('a', 100 * KIB)
    const behind = ask('b', 4 * KIB, request.socket)
    const why = new OverloadedError('no room for bodies')
    request.beRefused(why)
    expect(refused).to.deep.equal([why])
    expect(request.isHeld).to.equal(false)
    expect(admission.waiting).to.equal(1)
    request.beRefused(why)
    capacity.free(10 * MIB)
    clock.tick(0)
    expect(entered).to.deep.equal(['b'])
    expect(behind.isHeld).to.equal(false)
    clock.tick(2_000)
    expect(refused).to.have.length(1)
  })

  it('answers each request once, and stops its timer when none waits', () => {
    capacity.usedBytes = 10 * MIB
    for (const name of ['a', 'b', 'c']) ask(name, 4 * KIB)
    clock.tick(500)
    capacity.free(5 * MIB)
    clock.tick(5_000)
    expect(entered).to.deep.equal(['a', 'b', 'c'])
    expect(refused).to.have.length(0)
    expect(clock.countTimers()).to.equal(0)
  })

  it('tells how long requests have waited', () => {
    const waited: number[] = []
    admission = new Admission(
      capacity,
      1_000,
      () => performance.now(),
      waitedMs => waited.push(waitedMs)
    )
    ask('at once', 4 * KIB)
    clock.tick(0)
    capacity.usedBytes = 10 * MIB
    ask('a', 4 * KIB)
    clock.tick(310)
    capacity.free(5 * MIB)
    clock.tick(0)
    capacity.usedBytes = 10 * MIB
    ask('b', 4 * KIB)
    clock.tick(1_100)
    expect(entered).to.deep.equal(['at once', 'a'])
    expect(refused).to.have.length(1)
    expect(waited[0]).to.equal(310)
    expect(waited[1]).to.be.within(1_000, 1_050)
    expect(waited).to.have.length(2)
  })

  it('forgets a request whose client has left', () => {
    capacity.usedBytes = 10 * MIB
    ask('gone', 4 * KIB).leave()
    ask('stays', 4 * KIB)
    capacity.free(5 * MIB)
    clock.tick(0)
    expect(entered).to.deep.equal(['stays'])
    clock.tick(2_000)
    expect(refused).to.have.length(0)
    expect(clock.countTimers()).to.equal(0)
  })

  it('reads only so much in a turn of the event loop, so that delivery has its turn', () => {
    for (let at = 0; at < 25; at++) ask(`a${at}`, 100 * KIB)
    expect(entered).to.have.length(10)
    nextTurn()
    expect(entered).to.have.length(20)
    nextTurn()
    expect(entered).to.have.length(25)
  })

  it('lets small bodies in at once, however many come in one turn', () => {
    for (let at = 0; at < 100; at++) ask(`a${at}`, 32 * KIB)
    expect(entered).to.have.length(100)
  })

  it('lets small bodies in by turns, too, once reading them has taken long', () => {
    let nowMs = 0
    admission = new Admission(capacity, 1_000, () => nowMs)
    for (let at = 0; at < 100; at++) {
      ask(`a${at}`, 32 * KIB)
      nowMs += 2
    }
    expect(entered).to.have.length(50)
    nextTurn()
    expect(entered).to.have.length(82)
    nextTurn()
    expect(entered).to.have.length(100)
  })

  it('lets a body in that is larger than what is read in a turn', () => {
    ask('large', 16 * MIB)
    expect(entered).to.deep.equal(['large'])
  })

  it('counts bodies that are announced and have not come', () => {
    capacity.usedBytes = 4 * MIB
    const coming = [1, 2, 3].map(at => {
      const request = ask(`a${at}`, 1 * MIB)
      clock.tick(0)
      return request
    })
    expect(entered).to.deep.equal(['a1', 'a2', 'a3'])
    ask('b', 1 * MIB)
    clock.tick(0)
    expect(entered).to.have.length(3)
    coming[0]!.receive()
    clock.tick(0)
    expect(entered).to.deep.equal(['a1', 'a2', 'a3', 'b'])
  })

  it('is closed to large bodies by announcements for a moment only, and never to small ones', () => {
    for (let at = 0; at < 20; at++) {
      ask(`silent${at}`, 1 * MIB)
      clock.tick(0)
    }
    expect(entered).to.have.length(5)
    ask('small', 4 * KIB)
    clock.tick(0)
    expect(entered.slice(5)).to.deep.equal(['small'])
    clock.tick(600)
    expect(entered).to.have.length(16)
    expect(refused).to.have.length(0)
  })

  it('lets a large request into a small capacity that is empty', () => {
    admission = new Admission(Object.assign(new FakeCapacity(), { maxBytes: 64 * KIB }), 1_000, () => performance.now())
    ask('large', 16 * MIB)
    expect(entered).to.deep.equal(['large'])
  })

  it('lets requests without a body in, whatever there is capacity for', () => {
    capacity.usedBytes = 10 * MIB
    const request = new FakeRequest(undefined, {})
    admission.admit(
      request as unknown as EngineRequest,
      () => entered.push('probe'),
      error => refused.push(error)
    )
    expect(entered).to.deep.equal(['probe'])
  })

  it('counts a body of unknown length', () => {
    capacity.usedBytes = 9 * MIB
    const request = new FakeRequest(undefined, {})
    request.headers['transfer-encoding'] = 'chunked'
    admission.admit(
      request as unknown as EngineRequest,
      () => entered.push('chunked'),
      error => refused.push(error)
    )
    expect(entered).to.deep.equal([])
    expect(request.isHeld).to.equal(true)
  })

  it('believes no announcement beyond 1 MiB', () => {
    capacity.usedBytes = 5 * MIB
    ask('boaster', 16 * MIB)
    clock.tick(0)
    ask('b', 1 * MIB)
    clock.tick(0)
    expect(entered).to.deep.equal(['boaster', 'b'])
  })

  it('lets requests in beside records that are stuck, by what is left to the others', () => {
    capacity.usedBytes = 8 * MIB
    capacity.stuckBytes = 8 * MIB
    for (let at = 0; at < 4; at++) ask(`a${at}`, 4 * KIB)
    expect(entered).to.have.length(4)
    capacity.usedBytes = 9.5 * MIB
    ask('b', 4 * KIB)
    expect(entered).to.have.length(4)
    capacity.free(MIB)
    clock.tick(0)
    expect(entered).to.contain('b')
  })

  it('lets one request at a time in when nearly everything is stuck', () => {
    capacity.usedBytes = 9.9 * MIB
    capacity.stuckBytes = 9.9 * MIB
    const first = ask('a', MIB)
    ask('b', MIB)
    clock.tick(0)
    expect(entered).to.deep.equal(['a'])
    first.receive()
    clock.tick(0)
    expect(entered).to.deep.equal(['a', 'b'])
  })

  it('lets connections take turns, whatever each of them has waiting', () => {
    capacity.usedBytes = 10 * MIB
    const greedy = {}
    for (let at = 0; at < 6; at++) ask(`greedy${at}`, 32 * KIB, greedy)
    ask('modest', 4 * KIB)
    capacity.free(10 * MIB)
    clock.tick(0)
    expect(entered.indexOf('modest')).to.equal(2)
    expect(entered).to.have.length(7)
  })

  it('lets small requests pass a large one for which there is no capacity', () => {
    capacity.usedBytes = 7 * MIB
    ask('large', MIB)
    clock.tick(0)
    for (let at = 0; at < 10; at++) ask(`small${at}`, KIB)
    clock.tick(0)
    expect(entered).to.have.length(10)
    expect(refused).to.have.length(0)
  })

  it('lets no stream of small requests keep a large one out', () => {
    capacity.usedBytes = 7.4 * MIB
    ask('large', MIB)
    let small = 0
    for (let at = 0; at < 90 && !entered.includes('large'); at++) {
      // As much comes as goes, as long as it is let in.
      ask(`small${at}`, 32 * KIB)
      clock.tick(10)
      const come = entered.filter(name => name !== 'large').length
      capacity.usedBytes += (come - small) * 32 * KIB
      small = come
      capacity.free(Math.min(32 * KIB, capacity.usedBytes))
      clock.tick(0)
    }
    expect(entered).to.contain('large')
    expect(refused).to.have.length(0)
  })

  it('lets in those behind a request that was refused, when there is capacity for them', () => {
    capacity.usedBytes = 7 * MIB
    ask('large', MIB)
    clock.tick(500)
    ask('small', KIB)
    clock.tick(600)
    expect(refused).to.have.length(1)
    expect(entered).to.deep.equal(['small'])
  })
})
