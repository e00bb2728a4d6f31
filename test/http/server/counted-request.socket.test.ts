import { Socket } from 'node:net'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { answeredBefore, byHand } from '../../../src/http/api/by-hand.js'
import { type Head, readHead } from '../../../src/http/engine/head.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { CountedRequest } from '../../../src/http/server/counted-request.js'
import { RawSocket } from '../../support/raw-socket.js'
import { FakeHolder, noCapacity, Reader } from './fake-holder.js'
import { startHttp, untilNothingIsHeld } from './fixtures.js'

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('http: a request of the engine', () => {
  let holder: FakeHolder
  let request: CountedRequest
  let bodyHolds: boolean[]
  let answer: { headersSent: boolean }

  const receive = (bodyBytes = 4): void => {
    holder = new FakeHolder()
    bodyHolds = []
    answer = { headersSent: false }
    const connection = { socket: new Socket(), holdBody: (isHeld: boolean) => void bodyHolds.push(isHeld) }
    const text = `POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${bodyBytes}\r\n\r\n`
    const head = readHead(Buffer.from(text), 0, { maxHeaderBytes: 1_000, maxHeaders: 10 }) as Head
    request = new CountedRequest(connection, head, holder, undefined as never)
  }
  const begin = (): void => {
    request.begin(answer as never)
    holder.newly()
  }
  beforeEach(() => {
    receive()
    begin()
  })
  const push = (text: string, lasts = false): void => request.receive(Buffer.from(text), lasts)
  /** What the reader of the stream is told. */
  const readStream = (): string[] => {
    const told: string[] = []
    request.on('data', data => told.push(String(data)))
    request.on('end', () => told.push('end'))
    request.on('error', error => told.push(error.message))
    return told
  }

  it('belongs to its connection from its head on, and to its answer from its beginning on', () => {
    receive(0)
    expect([holder.receiving === request, request.isOver, request.hasBody]).to.deep.equal([true, true, false])
    expect(request.isAnswerBegun).to.equal(false)
    request.begin(answer as never)
    expect([request.isOver, holder.newly(), request.address]).to.deep.equal([false, ['begin'], holder.address])
    answer.headersSent = true
    expect(request.isAnswerBegun).to.equal(true)
    expect([request.upgrade, request.isUpgraded, request.owner]).to.deep.equal([false, false, undefined])
    request.whenUpgraded(() => expect.fail('nobody upgrades it'))
  })

  it('is over once, and tells everybody who asked for it in their order, late ones at once', () => {
    const told: string[] = []
    for (const name of ['a', 'b', 'c']) request.whenOver(() => told.push(name))
    request.whenReceived(() => told.push('received'))
    request.over()
    request.over()
    request.whenOver(() => told.push('late'))
    expect(told).to.deep.equal(['received', 'a', 'b', 'c', 'late'])
    expect(holder.newly()).to.deep.equal(['end'])
  })

  it('counts an unread piece at what it costs, and one that is read at its length', () => {
    push('abc')
    push('x'.repeat(1_000))
    expect(holder.newly()).to.deep.equal(['take 320', 'take 1000'])
    readStream()
    push('abc')
    expect([request.isRead, holder.newly()]).to.deep.equal([true, ['take 3']])
  })

  it('drops what comes after it is over, and tells the connection when all of it has come', () => {
    push('ab')
    request.over()
    holder.newly()
    push('cd')
    expect(holder.newly()).to.deep.equal(['discard 2'])
    request.received()
    expect(holder.newly()).to.deep.equal(['changed'])
  })

  it('is held and let go once each, let go when it is over, and not held afterwards', () => {
    request.letGo()
    request.hold()
    request.hold()
    request.letGo()
    request.hold()
    request.over()
    request.hold()
    expect(holder.newly()).to.deep.equal(['hold', 'let go', 'hold', 'let go', 'end'])
  })

  describe('whose body is handed on', () => {
    it('gives it to its reader and not to the stream', () => {
      const reader = new Reader()
      expect([request.handOn(reader), request.isRead]).to.deep.equal([true, true])
      push('ab')
      push('cd', true)
      request.received()
      expect(reader.told).to.deep.equal(['passing chunk ab', 'lasting chunk cd', 'end'])
      expect(request.receivedAt).to.be.a('number')
      request.over()
      expect(reader.told.at(-1), 'nothing follows the end').to.equal('end')
    })

    it('is told a refusal once, and no end', () => {
      const reader = new Reader()
      request.handOn(reader)
      holder.capacityBytes = 1
      push('ab')
      push('cd')
      request.refuse(noCapacity)
      request.received()
      expect(reader.told).to.deep.equal(['failed: no room'])
      expect(holder.newly()).to.deep.equal(['give'])
    })

    const tooLate: Readonly<Record<string, () => void>> = {
      'all of it has come': () => request.received(),
      'some of it waits in the stream': () => push('a'),
      'it flows': () => request.resume(),
      'it was refused': () => request.refuse(noCapacity),
      'the request is over': () => request.over()
    }
    for (const [name, act] of Object.entries(tooLate)) {
      it(`has to be read from the stream when ${name}`, () => {
        act()
        const reader = new Reader()
        expect(request.handOn(reader)).to.equal(false)
        if (!request.complete) push('b')
        expect(reader.told).to.deep.equal([])
      })
    }
  })

  describe('that finds no room', () => {
    it('tells the reader of its stream, and takes no more', async () => {
      const told = readStream()
      push('ab')
      holder.capacityBytes = 0
      push('cd')
      holder.capacityBytes = 10_000
      push('ef')
      request.received()
      await nextTick()
      expect(told).to.include.members(['ab', 'no room']).and.not.include('cd').and.not.include('ef')
    })

    for (const hasCome of [true, false]) {
      it(`tells a reader that comes later, ${hasCome ? 'when' : 'before'} all of it has come, and no end`, async () => {
        request.refuse(noCapacity)
        if (hasCome) request.received()
        const told = readStream()
        await nextTick()
        expect(told).to.deep.equal(['no room'])
        request.over()
        if (!hasCome) request.received()
        await nextTick()
        expect(told.filter(each => each !== 'end')).to.deep.equal(['no room'])
      })
    }

    it('tells who waits to be let in: at once, or when it happens, and not once it was let go', () => {
      const told: string[] = []
      request.hold()
      request.whenRefused(error => told.push(error.message))
      request.refuse(noCapacity)
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
})

it('a body that finds no room before anybody reads it is no empty one', async () => {
  let open!: () => void
  let arrive!: () => void
  const isOpen = new Promise<void>(resolve => (open = resolve))
  const arrived = new Promise<void>(resolve => (arrive = resolve))
  const pool = new BufferPool(1024)
  const receive = ({ request, response, payload }: Exchange): void => {
    collectBody(payload, Number(request.headers['content-length']), 100_000, pool, body => {
      response.end(Buffer.isBuffer(body) ? `a body of ${body.length}` : `failed: ${body}`)
    })
  }
  const plugin = async (app: FastifyInstance): Promise<void> => {
    app.addHook('onRequest', async () => {
      arrive()
      await isOpen
    })
    app.post('/push', { preParsing: byHand(receive) }, answeredBefore)
  }
  const http = { perAddress: { maxBodiesInFlightBytes: 1_000 } }
  const started = await startHttp({ http, plugin })
  const client = await RawSocket.open(started.http.urls.shared)
  const body = 'x'.repeat(12_000)
  await client.send(`POST /loud/push HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  await arrived
  await nextTick()
  open()
  expect(await client.until(text => /failed|a body of/.test(text))).not.to.contain('a body of')
  client.destroy()
  await untilNothingIsHeld(started)
  await started.http.close()
})
