import type { IncomingMessage } from 'node:http'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { openAccess } from '../../../src/http/access/access.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import type { PassOn } from '../../../src/http/api/key-owners.js'
import { delivered, FakeVerbs } from '../../support/fake-verbs.js'
import { localKeys } from '../../support/local-keys.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, startApi, until, untilNothingIsHeld } from '../server/stage.js'
import { requestHead } from './stage.js'

const MIB = 1024 * 1024
const RECORDS = '{"records":[{"topic":"t","data":"d"}],"wait_for_send":true}'
const V3 = '/v3/clusters/c/topics/t/records'

/** Bytes of gzip are others with each level. */
const codings: Readonly<Record<string, (body: Buffer) => readonly [coding: string | undefined, bytes: Buffer]>> = {
  'as it is': body => [undefined, body],
  'in gzip': body => ['gzip', gzipSync(body, { level: 9 })],
  'in other gzip': body => ['gzip', gzipSync(body, { level: 0 })],
  'in deflate': body => ['deflate', deflateSync(body)],
  'in brotli': body => ['br', brotliCompressSync(body)]
}

describe('a request that comes again with its key in another content coding', () => {
  let started: Started
  let verbs: FakeVerbs
  /** Bytes that clients were charged. */
  let charged: number
  afterEach(() => started.http.close())

  const start = async (name: string, settings: object = {}, owner?: PassOn): Promise<Idempotency> => {
    verbs = new FakeVerbs({ outcome: () => delivered(1, 7) })
    const owners = owner && {
      scope: 'deployment' as const,
      ownerOf: () => owner,
      serve: () => {},
      close: async () => {}
    }
    const idempotency = new Idempotency({ keys: localKeys(), owners, count: () => undefined })
    charged = 0
    const charge = (_records: number, bytes: number): undefined => void (charged += bytes)
    const access = {
      callerOf: (request: IncomingMessage) => ({ ...openAccess.callerOf(request), charge, spend: charge })
    }
    started = await startApi(name, verbs, settings, { idempotency, access })
    return idempotency
  }
  const requestOf = (path: string, type: string, body: Buffer, headers: Record<string, string> = {}): Buffer => {
    const all = { 'content-type': type, 'content-length': body.length, ...headers }
    return Buffer.concat([Buffer.from(requestHead('POST', path, all)), body])
  }
  const told = (answer: string): string =>
    `${answer.slice(9, 12)}${/^idempotent-replayed: true/im.test(answer) ? ' replayed' : ''}`
  /** Sends each over a connection of its own. */
  const outcomes = async (...requests: readonly Buffer[]): Promise<string[]> => {
    const all: string[] = []
    for (const request of requests) {
      const socket = await RawSocket.open(started.http.urls.shared)
      await socket.send(request)
      all.push(told(await socket.until(text => text.includes('\r\n\r\n'))))
      socket.destroy()
    }
    return all
  }
  const keyed = (
    path: string,
    type: string,
    key: string,
    body: string | Buffer,
    how: keyof typeof codings = 'as it is'
  ): Buffer => {
    const [coding, bytes] = codings[how]!(Buffer.from(body as string))
    return requestOf(path, type, bytes, { 'idempotency-key': key, ...(coding && { 'content-encoding': coding }) })
  }

  for (const [name, path, type, body] of [
    ['kprf', '/push', 'application/json', RECORDS],
    ['confluent', '/topics/t', 'application/vnd.kafka.json.v2+json', '{"records":[{"value":1}]}'],
    ['confluent', V3, 'application/json', '{"value":{"type":"STRING","data":"d"}}'],
    ['strimzi', '/topics/t', 'application/vnd.kafka.json.v2+json', '{"records":[{"value":"1"}]}'],
    ['cloudevents', '/t', 'application/cloudevents+json', '{"specversion":"1.0","id":"1","source":"s","type":"t"}']
  ] as const)
    it(`is the same request to ${name}, ${path}, whichever came first`, async () => {
      await start(name)
      const ways = Object.keys(codings)
      for (const [at, first] of ways.entries()) {
        const others = ways.filter(way => way !== first)
        const [began, ...again] = await outcomes(
          ...[first, ...others].map(way => keyed(path, type, `k${at}`, body, way))
        )
        expect(began, first).to.match(/^20[04]$/)
        expect(again, first).to.deep.equal(others.map(() => `${began} replayed`))
      }
      expect(verbs.records).to.have.length(ways.length)
      const other = [keyed(path, type, 'k0', `${body} `, 'in gzip'), keyed(path, type, 'k0', `${body} `)]
      expect(await outcomes(...other)).to.deep.equal(['422', '422'])
    })

  it('is another request to an API that keeps bodies as they are sent', async () => {
    await start('arion')
    const ways = ['in gzip', 'in gzip', 'in other gzip', 'as it is'] as const
    const sent = ways.map(way => keyed('/sync/t/k', 'text/plain', 'k', 'v', way))
    expect(await outcomes(...sent)).to.deep.equal(['201', '201 replayed', '422', '422'])
    expect(verbs.records.map(({ value }) => value)).to.deep.equal([codings['in gzip']!(Buffer.from('v'))[1]])
  })

  it('is refused in the words of its API where it cannot be decoded, and leaves its key free', async () => {
    await start('kprf')
    const broken = requestOf('/push', 'application/json', Buffer.from('no gzip'), {
      'idempotency-key': 'k',
      'content-encoding': 'gzip'
    })
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(broken)
    const answer = await socket.until(text => text.includes('coding says'))
    expect(answer).to.match(
      /^HTTP\/1\.1 400 [\s\S]*\r\nx-castellan-persisted: no\r\n[\s\S]*the body is not what its content/
    )
    const unknown = requestOf('/push', 'application/json', Buffer.from('x'), {
      'idempotency-key': 'k',
      'content-encoding': 'x-none'
    })
    const bomb = keyed('/push', 'application/json', 'k', Buffer.alloc(17 * MIB), 'in gzip')
    const good = keyed('/push', 'application/json', 'k', RECORDS, 'in gzip')
    const before = charged
    expect(await outcomes(bomb)).to.deep.equal(['413'])
    expect(charged - before).to.be.greaterThan(MIB)
    expect(await outcomes(unknown, bomb, good, good)).to.deep.equal(['415', '413', '200', '200 replayed'])
    socket.destroy()
    await untilNothingIsHeld(started)
  })

  it('may become larger than a whole body of version 3 of Confluent that is not compressed', async () => {
    await start('confluent')
    const body = `{"value":{"type":"STRING","data":"${'d'.repeat(2 * MIB)}"}}`
    const sent = ['in gzip', 'in brotli'].map(way => keyed(V3, 'application/json', 'k', body, way))
    expect(await outcomes(...sent)).to.deep.equal(['200', '200 replayed'])
    expect(verbs.records.map(({ value }) => value!.length)).to.deep.equal([2 * MIB])
  })

  it('is counted once where it comes in chunks and is larger than a message of Arion may be', async () => {
    await start('arion', { maxMessageBytes: 1_000 })
    const head =
      'POST /loud/sync/t/k HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k\r\ntransfer-encoding: chunked\r\n\r\n'
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(Buffer.from(`${head}5dc\r\n${'x'.repeat(1_500)}\r\n0\r\n\r\n`))
    const answer = await socket.until(text => text.includes('"limit"'))
    expect(answer).to.match(/^HTTP\/1\.1 400 [\s\S]*"size":1500,"limit":1000/)
    expect(charged).to.equal(1_500)
    socket.destroy()
  })

  it('is the same request where another process owns its key', async () => {
    const owner = await start('confluent')
    const ofOwner = verbs
    await started.http.close()
    await start('confluent', {}, request => owner.carryOut(request))
    const large = `{"value":{"type":"STRING","data":"${'d'.repeat(2 * MIB)}"}}`
    const small = '{"value":{"type":"STRING","data":"d"}}'
    const ways = Object.keys(codings)
    expect(await outcomes(...ways.map(way => keyed(V3, 'application/json', 'small', small, way)))).to.deep.equal([
      '200',
      ...ways.slice(1).map(() => '200 replayed')
    ])
    const sent = ['in gzip', 'in brotli'].map(way => keyed(V3, 'application/json', 'large', large, way))
    expect(await outcomes(...sent)).to.deep.equal(['200', '200 replayed'])
    expect(ofOwner.records.map(({ value }) => value!.length)).to.deep.equal([1, 2 * MIB])
  })

  it('keeps its place among the requests of its connection, whether these have keys or not', async () => {
    await start('kprf')
    const push = (data: string): string => `{"records":[{"topic":"t","data":"${data}"}]}`
    const plain = (data: string): Buffer => requestOf('/push', 'application/json', Buffer.from(push(data)))
    const padded = `${push('1')}${' '.repeat(MIB)}`
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(
      Buffer.concat([
        keyed('/push', 'application/json', 'k1', padded, 'in brotli'),
        plain('2'),
        keyed('/push', 'application/json', 'k3', push('3')),
        keyed('/push', 'application/json', 'k4', push('4'), 'in brotli'),
        keyed('/push', 'application/json', 'k1', padded, 'in gzip'),
        plain('5')
      ])
    )
    await socket.until(() => socket.answers === 6)
    expect(verbs.records.map(({ value }) => String(value))).to.deep.equal(['1', '2', '3', '4', '5'])
    socket.destroy()
    await untilNothingIsHeld(started)
  })

  it('keeps its place where it is long, and read in turns', async () => {
    await start('kprf')
    const records = Array.from({ length: 6_000 }, () => '{"topic":"t","data":"1"}')
    const long = `{"records":[${records.join()}]}`
    const socket = await RawSocket.open(started.http.urls.shared)
    await socket.send(
      Buffer.concat([
        keyed('/push', 'application/json', 'k1', long, 'in brotli'),
        requestOf('/push', 'application/json', Buffer.from('{"records":[{"topic":"t","data":"2"}]}'))
      ])
    )
    await socket.until(() => socket.answers === 2)
    expect(verbs.calls.map(call => call.records.length)).to.deep.equal([6_000, 1])
    socket.destroy()
    await untilNothingIsHeld(started)
  })

  describe('behind a request whose key is busy', () => {
    const push = (data: string, more = ''): string => `{"records":[{"topic":"t","data":"${data}"}]${more}}`
    const plain = (data: string): Buffer => requestOf('/push', 'application/json', Buffer.from(push(data)))
    const brotli = (data: string): Buffer => brotliCompressSync(Buffer.from(`${push(data)}${' '.repeat(MIB)}`))
    const large = (data: string, key?: string): Buffer =>
      requestOf('/push', 'application/json', brotli(data), {
        'content-encoding': 'br',
        ...(key !== undefined && { 'idempotency-key': key })
      })
    const small = (data: string): Buffer => keyed('/push', 'application/json', `k${data}`, push(data))
    const held = (): Buffer => keyed('/push', 'application/json', 'k', push('held', ',"wait_for_send":true'))
    const statuses = (socket: RawSocket): string[] => socket.received.match(/(?<=HTTP\/1\.1 )\d+/g) ?? []
    const twice = async (): Promise<readonly [RawSocket, RawSocket]> => [
      await RawSocket.open(started.http.urls.shared),
      await RawSocket.open(started.http.urls.shared)
    ]
    /** Until the decoder of a large body has long ended. */
    const decoded = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 200))

    /** Kafka has the record `held` when the test says so. */
    const startHeld = async (settings: object = { messageTimeoutMs: 30_000 }): Promise<(nth?: number) => void> => {
      await start('kprf', settings)
      const waiting: (() => void)[] = []
      verbs.produce = (records, options) => {
        const isHeld = String(records[0]!.value) === 'held'
        const pending = FakeVerbs.prototype.produce.call(verbs, records, options)
        const settled = isHeld ? new Promise<void>(resolve => waiting.push(resolve)) : Promise.resolve()
        return { ...pending, outcomes: () => settled.then(() => pending.outcomes()) }
      }
      return (nth = 0) => waiting[nth]!()
    }

    it('keeps its place among the requests of its connection', async () => {
      const settle = await startHeld()
      const [first, other] = await twice()
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      const behind = [plain('2'), large('3', 'k3'), plain('4'), large('5'), small('6'), large('7', 'k7'), plain('8')]
      await other.send(Buffer.concat([held(), ...behind]))
      await decoded()
      settle()
      await other.until(() => other.answers === 8)
      expect(verbs.records.map(({ value }) => String(value)).join(' ')).to.equal('held 2 3 4 5 6 7 8')
      for (const each of [first, other]) each.destroy()
      await untilNothingIsHeld(started)
    })

    it('keeps its place also where its own body came late', async () => {
      const settle = await startHeld()
      const [first, other] = await twice()
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      await other.send(Buffer.concat([large('1', 'k1'), held(), large('2', 'k2'), plain('3')]))
      await other.until(() => other.answers === 1)
      await decoded()
      await other.send(Buffer.concat([small('4'), held(), plain('5'), large('6', 'k6')]))
      await decoded()
      settle()
      await other.until(() => other.answers === 8)
      expect(statuses(other)).to.deep.equal(Array(8).fill('200'))
      expect(verbs.records.map(({ value }) => String(value)).join(' ')).to.equal('held 1 2 3 4 5 6')
      for (const each of [first, other]) each.destroy()
      await untilNothingIsHeld(started)
    })

    it('keeps its place where its length was not announced', async () => {
      const settle = await startHeld()
      const [first, other] = await twice()
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      const body = push('2')
      const head = `POST /loud/push HTTP/1.1\r\nhost: localhost\r\nidempotency-key: k2\r\n`
      const chunks = `transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
      await other.send(Buffer.concat([held(), Buffer.from(head + chunks), small('3')]))
      await decoded()
      settle()
      await other.until(() => other.answers === 3)
      expect(verbs.records.map(({ value }) => String(value)).join(' ')).to.equal('held 2 3')
      for (const each of [first, other]) each.destroy()
      await untilNothingIsHeld(started)
    })

    it('keeps its place where the rest of its body comes while another one is decoded', async () => {
      const settle = await startHeld()
      const [first, other] = await twice()
      const second = keyed('/push', 'application/json', 'h', push('held', ',"wait_for_send":true'))
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      const third = await RawSocket.open(started.http.urls.shared)
      await third.send(second)
      await until(() => verbs.calls.length === 2, 'the other key is busy')
      const long = brotliCompressSync(Buffer.from(`${push('2')}${' '.repeat(15 * MIB)}`))
      const decoding = requestOf('/push', 'application/json', long, { 'content-encoding': 'br' })
      const late = small('4')
      await other.send(Buffer.concat([held(), decoding, second, plain('3'), late.subarray(0, -3)]))
      await decoded()
      settle()
      await other.until(() => other.answers === 1)
      await other.send(late.subarray(-3))
      await other.until(() => other.answers === 2)
      await decoded()
      settle(1)
      await other.until(() => other.answers === 5)
      expect(verbs.records.map(({ value }) => String(value)).join(' ')).to.equal('held held 2 3 4')
      for (const each of [first, other, third]) each.destroy()
      await untilNothingIsHeld(started)
    })

    it('is passed on when those before it are answered', async () => {
      const passed: string[] = []
      let settle = (): void => undefined
      const answer = { status: 200, headers: [], body: Buffer.from('x') }
      await start('kprf', {}, async ({ body }) => {
        passed.push(/held|\d/.exec(String(body))![0])
        if (passed.length === 1) await new Promise<void>(resolve => (settle = resolve))
        return { answer, records: 0, bytes: 0 }
      })
      const socket = await RawSocket.open(started.http.urls.shared)
      await socket.send(Buffer.concat([held(), plain('2'), large('3', 'k3')]))
      await decoded()
      expect(passed).to.deep.equal(['held'])
      settle()
      await socket.until(() => socket.answers === 3)
      expect(statuses(socket)).to.deep.equal(['200', '200', '200'])
      expect(passed).to.deep.equal(['held', '3'])
      socket.destroy()
      await untilNothingIsHeld(started)
    })

    it('is carried out never when its client leaves before', async () => {
      const settle = await startHeld()
      const [first, other] = await twice()
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      await other.send(Buffer.concat([held(), large('3', 'k3')]))
      await decoded()
      other.destroy()
      await until(async () => (await started.metric('castellan_http_connections')) === 1, 'the client has left')
      settle()
      await first.until(() => first.answers === 1)
      expect(verbs.records).to.have.length(1)
      first.destroy()
      await untilNothingIsHeld(started)
    })

    it('is told that the key is busy, where its body waited for another one', async () => {
      const settle = await startHeld({ messageTimeoutMs: 500 })
      const [first, other] = await twice()
      await first.send(held())
      await until(() => verbs.calls.length === 1, 'the key is busy')
      await other.send(Buffer.concat([large('1', 'k1'), held()]))
      await other.until(() => other.answers === 2)
      expect(statuses(other)).to.deep.equal(['200', '409'])
      settle()
      for (const each of [first, other]) each.destroy()
      await untilNothingIsHeld(started)
    })
  })
})
