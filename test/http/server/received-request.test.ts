import { EventEmitter } from 'node:events'
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { expect } from 'chai'
import { OverloadedError } from '../../../src/core/errors.js'
import { ReceivedRequest } from '../../../src/http/server/received-request.js'
import { FakeHolder, noCapacity, Reader } from './fake-holder.js'

class FakeResponse extends EventEmitter {
  shouldKeepAlive = true
  headersSent = false
  destroyed = false
  closed = false
  readonly written: string[] = []
  writeContinue(): void {
    this.written.push('100')
  }
  get asResponse(): ServerResponse {
    return this as unknown as ServerResponse
  }
}

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('http: a request', () => {
  let holder: FakeHolder
  let request: ReceivedRequest
  let response: FakeResponse

  /** A request whose headers have come. */
  const receive = (headers: IncomingHttpHeaders = {}, method = 'POST'): void => {
    holder = new FakeHolder()
    request = new ReceivedRequest(new Socket(), holder, undefined as never)
    Object.assign(request, { headers, method })
    response = new FakeResponse()
  }
  const begin = (): void => {
    request.begin(response.asResponse)
    holder.newly()
  }
  beforeEach(() => {
    receive()
    begin()
  })
  const push = (text: string): boolean => request.push(Buffer.from(text))
  /** The parser has seen the end of the body. */
  const finish = (): boolean => {
    request.complete = true
    return request.push(null)
  }

  it('belongs to its connection from its head on, and to its response from its beginning on', () => {
    receive()
    expect([holder.receiving === request, request.isOver, holder.newly()]).to.deep.equal([true, true, []])
    request.begin(response.asResponse)
    expect([request.isOver, holder.newly()]).to.deep.equal([false, ['begin']])
    expect(request.isAnswerBegun).to.equal(false)
    response.headersSent = true
    expect(request.isAnswerBegun).to.equal(true)
  })

  it('has a body when its headers say so, and none of the length 0', () => {
    const cases: [IncomingHttpHeaders, boolean][] = [
      [{}, false],
      [{ 'content-length': '0' }, false],
      [{ 'content-length': '1' }, true],
      [{ 'transfer-encoding': 'chunked' }, true],
      [{ 'content-length': '0', 'transfer-encoding': 'chunked' }, true]
    ]
    for (const [headers, hasBody] of cases) {
      receive(headers)
      expect(request.hasBody, JSON.stringify(headers)).to.equal(hasBody)
    }
  })

  it('is over once, and tells everybody who asked for it in their order, late ones at once', () => {
    const told: string[] = []
    for (const name of ['a', 'b', 'c']) request.whenOver(() => told.push(name))
    request.whenReceived(() => told.push('received'))
    expect(told).to.deep.equal([])
    request.over()
    request.over()
    expect(told).to.deep.equal(['received', 'a', 'b', 'c'])
    expect(holder.newly()).to.deep.equal(['end'])
    request.whenOver(() => told.push('late'))
    expect(told.at(-1)).to.equal('late')
  })

  it('counts an unread piece at what it costs, and one that is read at its length', () => {
    push('abc')
    push('x'.repeat(1_000))
    expect(holder.newly()).to.deep.equal(['take 320', 'take 1000'])
    request.resume()
    expect(request.isRead).to.equal(true)
    push('abc')
    expect(holder.newly()).to.deep.equal(['take 3'])
  })

  it('is read by who takes its body, by who lets it flow, and when it is over', () => {
    expect(request.isRead).to.equal(false)
    request.over()
    expect(request.isRead).to.equal(true)
    receive()
    begin()
    request.handOn(new Reader())
    expect(request.isRead).to.equal(true)
  })

  it('drops what comes after it is over, and tells the connection when all of it has come', () => {
    push('ab')
    request.over()
    holder.newly()
    expect([push('abc'), holder.newly()]).to.deep.equal([true, []])
    finish()
    expect(holder.newly()).to.deep.equal(['end'])
  })

  it('knows when its body had come, and tells who waits for that', () => {
    const received: unknown[] = []
    request.whenReceived(() => received.push(request.receivedAt))
    expect(request.receivedAt).to.equal(undefined)
    finish()
    expect(received).to.have.length(1)
    expect(received[0]).to.be.a('number')
    expect(holder.newly(), 'it is not over').to.deep.equal([])
  })

  it('is held and let go once each, let go when it is over, and not held afterwards', () => {
    request.letGo()
    request.hold()
    request.hold()
    expect([request.isHeld, holder.newly()]).to.deep.equal([true, ['hold']])
    request.letGo()
    request.letGo()
    expect([request.isHeld, holder.newly()]).to.deep.equal([false, ['let go']])
    request.hold()
    request.over()
    expect([request.isHeld, holder.newly()]).to.deep.equal([false, ['hold', 'let go', 'end']])
    request.hold()
    expect([request.isHeld, holder.newly()]).to.deep.equal([false, []])
  })

  describe('whose body is handed on', () => {
    it('gives it to its reader and not to the stream', () => {
      const reader = new Reader()
      expect(request.handOn(reader)).to.equal(true)
      push('ab')
      push('cd')
      expect(request.readableEnded).to.equal(false)
      let ends = 0
      request.on('end', () => ends++)
      finish()
      expect([reader.told, ends, request.readableLength]).to.deep.equal([['chunk ab', 'chunk cd', 'end'], 1, 0])
      expect(request.readableEnded).to.equal(true)
      request._dump()
      expect(request.readableFlowing, 'Node has nothing to empty').to.equal(null)
      request.over()
      expect(reader.told.at(-1)).to.equal('closed')
    })

    it('is told a refusal once, and no end', () => {
      const reader = new Reader()
      request.handOn(reader)
      holder.capacityBytes = 1
      push('ab')
      push('cd')
      request.refuse(new OverloadedError('another'))
      finish()
      expect(reader.told).to.deep.equal(['failed: no room'])
      expect(holder.newly()).to.deep.equal(['give'])
    })

    const tooLate: [string, () => void][] = [
      ['all of it has come', () => finish()],
      ['some of it waits in the stream', () => push('a')],
      ['it flows', () => request.resume()],
      ['it was stopped', () => request.pause()],
      ['its client waits to be asked for it', () => request.waitForContinue(response.asResponse)],
      ['it was refused', () => request.refuse(noCapacity)],
      ['the request is over', () => request.over()]
    ]
    for (const [name, act] of tooLate) {
      it(`has to be read from the stream when ${name}`, () => {
        act()
        const reader = new Reader()
        expect(request.handOn(reader)).to.equal(false)
        push('b')
        expect(reader.told).to.deep.equal([])
      })
    }
  })

  describe('that finds no room', () => {
    it('gives back what it holds, tells the reader of its stream, and takes no more', () => {
      const errors: Error[] = []
      request.on('error', error => errors.push(error))
      push('ab')
      holder.capacityBytes = 0
      push('cd')
      holder.capacityBytes = 10_000
      push('ef')
      expect(errors).to.deep.equal([noCapacity])
      expect(holder.newly()).to.deep.equal(['take 320', 'give'])
      expect(request.destroyed).to.equal(false)
    })

    it('keeps the end back from a reader that has not been told, until it is over', async () => {
      request.refuse(noCapacity)
      expect(finish(), 'the end').to.equal(false)
      const told: string[] = []
      request.on('error', error => told.push(error.message))
      request.on('end', () => told.push('end'))
      request.resume()
      await nextTick()
      expect(told).to.deep.equal(['no room'])
      request.over()
      await nextTick()
      expect(told).to.deep.equal(['no room', 'end'])
    })

    it('tells who waits to be let in: at once, or when it happens, and not once it was let go', () => {
      const told: string[] = []
      request.hold()
      request.whenRefused(error => told.push(error.message))
      expect(told).to.deep.equal([])
      request.refuse(noCapacity)
      expect(told).to.deep.equal(['no room'])
      request.whenRefused(error => told.push(`late ${error.message}`))
      expect(told).to.deep.equal(['no room', 'late no room'])
      receive()
      begin()
      request.hold()
      request.whenRefused(() => told.push('let go'))
      request.letGo()
      request.refuse(noCapacity)
      expect(told).to.have.length(2)
    })

    it('is left alone when it is over', () => {
      request.over()
      holder.newly()
      request.refuse(noCapacity)
      expect(holder.newly()).to.deep.equal([])
    })
  })

  describe('whose client waits for 100 Continue', () => {
    beforeEach(() => request.waitForContinue(response.asResponse))

    it('is asked for the body once, when somebody reads it; until then its answer ends the connection', () => {
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([[], false])
      request.resume()
      request.read()
      request.read()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([['100'], true])
    })

    it('is asked although all of the body came along with its head, when somebody reads it', () => {
      request.on('data', () => undefined)
      push('ab')
      finish()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([['100'], true])
    })

    it('is asked although all of the body came before somebody reads it, and not by a look whether anything came', async () => {
      push('ab')
      finish()
      request.read(0)
      await nextTick()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([[], false])
      request.on('data', () => undefined)
      await nextTick()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([['100'], true])
    })

    it('is not asked when it was answered before, or has left', () => {
      response.headersSent = true
      request.read()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([[], false])
      for (const end of [() => (response.destroyed = true), () => request.over()]) {
        receive()
        begin()
        request.waitForContinue(response.asResponse)
        end()
        request.read()
        expect(response.written).to.deep.equal([])
      }
    })

    it('is not asked for the body of a broken request, whose refusal only waits for other answers', () => {
      holder.broken = request
      request.read()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([[], false])
    })

    it('does not keep a connection that was to end anyway', () => {
      receive()
      begin()
      response.shouldKeepAlive = false
      request.waitForContinue(response.asResponse)
      request.read()
      expect([response.written, response.shouldKeepAlive]).to.deep.equal([['100'], false])
    })
  })

  describe('whose connection ends', () => {
    it('is over, and its answer is told in a turn of its own that it has ended, unless it was told before', async () => {
      let closes = 0
      response.on('close', () => closes++)
      request.connectionEnded()
      expect([request.isOver, closes]).to.deep.equal([true, 0])
      await nextTick()
      expect([response.destroyed, closes]).to.deep.equal([true, 1])
      receive()
      begin()
      response.on('close', () => closes++)
      response.closed = true
      request.connectionEnded()
      await nextTick()
      expect([response.destroyed, closes]).to.deep.equal([false, 1])
    })

    it('tells readers of its body that nothing more comes, unless they have all of it', () => {
      request.connectionEnded()
      expect(request.destroyed).to.equal(true)
      receive()
      request.complete = true
      request.connectionEnded()
      expect(request.destroyed).to.equal(false)
    })

    it('may have had no answer to tell', async () => {
      receive()
      request.connectionEnded()
      await nextTick()
      expect(request.isOver).to.equal(true)
    })
  })

  describe('that asks for another protocol', () => {
    const WEBSOCKET = { upgrade: 'websocket' }

    it('gets it as a websocket that no other request precedes; CONNECT always leaves HTTP', () => {
      const cases: [string, IncomingHttpHeaders, number, boolean][] = [
        ['GET', WEBSOCKET, 0, true],
        ['GET', WEBSOCKET, 1, false],
        ['POST', WEBSOCKET, 0, false],
        ['GET', { upgrade: 'h2c' }, 0, false],
        ['CONNECT', {}, 1, true]
      ]
      for (const [method, headers, openRequests, expected] of cases) {
        receive(headers, method)
        holder.openRequests = openRequests
        request.upgrade = true
        expect(request.upgrade, `${method} ${JSON.stringify(headers)}`).to.equal(expected)
        holder.openRequests = 1 - openRequests
        expect(request.upgrade, 'decided once').to.equal(expected)
      }
    })

    it('has to ask', () => {
      receive(WEBSOCKET, 'GET')
      expect(request.upgrade).to.equal(false)
    })

    it('is upgraded when somebody has taken the connection, and says so', () => {
      let told = 0
      request.whenUpgraded(() => told++)
      expect([request.isUpgraded, told]).to.deep.equal([false, 0])
      request.upgraded({ leave: () => undefined, silent: () => undefined })
      expect([request.isUpgraded, told]).to.deep.equal([true, 1])
    })
  })
})
