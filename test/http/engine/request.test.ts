import { expect } from 'chai'
import { OverloadedError } from '../../../src/core/errors.js'
import type { Connections } from '../../../src/http/engine/connections.js'
import type { EngineRequest } from '../../../src/http/engine/request.js'
import { type Client, connectionsWith, post, Reader } from './fake-connections.js'

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const noCapacity = new OverloadedError('no room')

describe('http: a request of the engine', () => {
  let connections: Connections
  let client: Client
  let request: EngineRequest
  let hasRoom: boolean
  const BODY_BYTES = 2_000

  beforeEach(() => {
    const stage = connectionsWith({}, () => 0)
    connections = stage.connections
    const { take } = connections
    hasRoom = true
    connections.take = (...args) => (hasRoom ? take.apply(connections, args) : noCapacity)
    client = stage.connect()
    client.take(post('/', '', BODY_BYTES))
    request = client.answers[0]!.req
  })
  afterEach(() => client.socket.destroy())

  const push = (text: string, lasts = false): void => void client.take(text, lasts)
  const receiveRest = (): void => request.received()
  /** What the reader of the stream is told. */
  const readStream = (): string[] => {
    const told: string[] = []
    request.on('data', data => told.push(String(data)))
    request.on('end', () => told.push('end'))
    request.on('error', error => told.push(error.message))
    return told
  }

  it('is over once, and tells everybody who asked for it in their order, late ones at once', () => {
    const told: string[] = []
    for (const name of ['a', 'b', 'c']) request.whenOver(() => told.push(name))
    request.whenReceived(() => told.push('received'))
    request.over()
    request.over()
    request.whenOver(() => told.push('late'))
    expect([told, client.connection.openRequests]).to.deep.equal([['received', 'a', 'b', 'c', 'late'], 0])
  })

  it('counts an unread piece at what it costs, and one that is read at its length', () => {
    push('abc')
    push('x'.repeat(1_000))
    expect(request.heldBytes).to.equal(1_320)
    readStream()
    push('abc')
    expect([request.isRead, request.heldBytes]).to.deep.equal([true, 1_323])
  })

  it('is held and let go once each, let go when it is over, and not held afterwards', () => {
    const told: boolean[] = []
    client.connection.heldChanged = isHeld => void told.push(isHeld)
    request.letGo()
    request.hold()
    request.hold()
    request.letGo()
    request.hold()
    request.over()
    request.hold()
    expect(told).to.deep.equal([true, false, true, false])
  })

  describe('whose body is handed on', () => {
    it('gives it to its reader and not to the stream', () => {
      const reader = new Reader()
      expect([request.readInto(reader), request.isRead]).to.deep.equal([true, true])
      push('ab')
      push('cd', true)
      receiveRest()
      expect(reader.told).to.deep.equal(['passing chunk ab', 'lasting chunk cd', 'end'])
      expect(request.receivedAt).to.be.a('number')
      request.over()
      expect(reader.told.at(-1), 'nothing follows the end').to.equal('end')
    })

    it('is told a refusal once, and no end', () => {
      const reader = new Reader()
      request.readInto(reader)
      push('ab')
      hasRoom = false
      push('cd')
      request.refuse(noCapacity)
      receiveRest()
      expect([reader.told.slice(1), request.heldBytes]).to.deep.equal([['failed: no room'], 0])
    })

    const tooLate: Readonly<Record<string, () => void>> = {
      'all of it has come': () => receiveRest(),
      'some of it waits in the stream': () => push('a'),
      'it flows': () => request.resume(),
      'it was refused': () => request.refuse(noCapacity),
      'the request is over': () => request.over()
    }
    for (const [name, act] of Object.entries(tooLate)) {
      it(`has to be read from the stream when ${name}`, () => {
        act()
        const reader = new Reader()
        expect(request.readInto(reader)).to.equal(false)
        if (!request.complete) push('b')
        expect(reader.told).to.deep.equal([])
      })
    }
  })

  describe('that finds no capacity', () => {
    it('tells the reader of its stream, and takes no more', async () => {
      const told = readStream()
      push('ab')
      hasRoom = false
      push('cd')
      hasRoom = true
      push('ef')
      receiveRest()
      await nextTick()
      expect(told).to.include.members(['ab', 'no room']).and.not.include('cd').and.not.include('ef')
    })

    for (const hasCome of [true, false]) {
      it(`tells a reader that comes later, ${hasCome ? 'when' : 'before'} all of it has come, and no end`, async () => {
        request.refuse(noCapacity)
        if (hasCome) receiveRest()
        const told = readStream()
        await nextTick()
        expect(told).to.deep.equal(['no room'])
        request.over()
        if (!hasCome) receiveRest()
        await nextTick()
        expect(told.filter(each => each !== 'end')).to.deep.equal(['no room'])
      })
    }

    it('tells who waits to be let in: at once, or when it happens, and not once it was let go', () => {
      const told: string[] = []
      request.hold()
      request.whenRefused(() => told.push('let go'))
      request.letGo()
      request.hold()
      request.whenRefused(error => told.push(error.message))
      request.refuse(noCapacity)
      request.whenRefused(error => told.push(`late ${error.message}`))
      expect(told).to.deep.equal(['no room', 'late no room'])
    })

    it('is left alone when it is over', () => {
      const told = readStream()
      request.over()
      request.refuse(noCapacity)
      expect(told).to.deep.equal([])
    })
  })
})
