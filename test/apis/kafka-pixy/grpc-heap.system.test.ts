import type { ClientHttp2Session } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { Children, Gateway } from '../../cli/child.js'
import {
  type Answered,
  byteFrames,
  callWith,
  connectHttp2,
  EMPTY_SETTINGS,
  framed,
  groupField,
  headersFrame,
  lengthField,
  PREFACE,
  repeated,
  varintField
} from '../../support/raw-grpc.js'

const CALLS = 200
const SESSIONS = 20
/** On a busy machine 200 MB may take longer than a request has to arrive. */
const TOO_LATE = '4'
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=256' }
const POLITE = Buffer.concat([lengthField(2, 'polite'), lengthField(5, 'm')])
const EMPTY_HEADER = lengthField(7, '')
const EMPTY_OFFSET = lengthField(4, '')

interface Attack {
  readonly method: string
  readonly message: Buffer
  readonly headers?: Record<string, string>
  readonly isCompressed?: boolean
  readonly statuses: readonly string[]
}

const ofTopic = (...fields: readonly Buffer[]): Buffer => Buffer.concat([lengthField(2, 'attacked'), ...fields])
const ofGroup = (...fields: readonly Buffer[]): Buffer => ofTopic(lengthField(3, 'g'), ...fields)
const compressed = (message: Buffer) => ({
  message: gzipSync(message),
  headers: { 'grpc-encoding': 'gzip' },
  isCompressed: true
})
const headers = (count: number): Buffer => ofTopic(repeated(EMPTY_HEADER, count))

/** What 200 clients send at once, and what they may be answered. */
const attacks: Readonly<Record<string, Attack>> = {
  '520,000 empty headers': { method: 'Produce', message: headers(520_000), statuses: ['3', '8'] },
  '520,000 empty headers in 1 kB of gzip': {
    method: 'Produce',
    ...compressed(headers(520_000)),
    statuses: ['3', '8']
  },
  'as many headers as one message may have': { method: 'Produce', message: headers(1_000), statuses: ['0', '8'] },
  '500,000 empty offsets': {
    method: 'SetOffsets',
    message: ofGroup(repeated(EMPTY_OFFSET, 500_000)),
    statuses: ['3', '8']
  },
  '500,000 fields that nobody knows': {
    method: 'Ack',
    message: ofGroup(repeated(varintField(15, 0), 500_000)),
    statuses: ['3', '5', '8', '13']
  },
  'groups in groups, 500,000 deep': {
    method: 'GetOffsets',
    message: ofGroup(groupField(15, 500_000)),
    statuses: ['8', '13']
  },
  'a message that unpacks to a thousand times its size': {
    method: 'Produce',
    ...compressed(ofTopic(lengthField(5, Buffer.alloc(50 * 1024 * 1024)))),
    statuses: ['8']
  }
}

describe('kafka-pixy: a process of 256 MB and hostile calls of gRPC', function () {
  this.timeout(120_000)
  const children = new Children()
  let gateway: Gateway
  let port: number
  let polite: ClientHttp2Session
  const hostile: ClientHttp2Session[] = []

  before(async () => {
    gateway = await Gateway.start(children, ['--set', 'apis.kafka-pixy.grpcPort=0'], SMALL_HEAP)
    const [, bound] = await gateway.child.line(/"port":(\d+),"msg":"Kafka-Pixy's gRPC service listens"/)
    port = Number(bound)
    polite = await connectHttp2(port)
    expect(await callWith(polite, POLITE)).to.include({ status: '0' })
    for (let at = 0; at < SESSIONS; at++) hostile.push(await connectHttp2(port))
  })
  after(async () => {
    for (const session of [polite, ...hostile]) session?.destroy()
    await children.stopAll()
  })

  const ofEach = (run: (session: ClientHttp2Session) => Promise<Answered>): Promise<Answered[]> =>
    Promise.all(Array.from({ length: CALLS }, (_, at) => run(hostile[at % SESSIONS]!)))

  const send = (socket: Socket, ...frames: readonly Buffer[]): Promise<unknown> =>
    new Promise(resolve => socket.write(Buffer.concat([PREFACE, EMPTY_SETTINGS, ...frames]), resolve))

  for (const [what, { method, message, statuses, ...how }] of Object.entries(attacks)) {
    it(`lives through 200 calls at once of ${what}, and serves a polite client meanwhile`, async () => {
      const attacked = ofEach(session => callWith(session, message, { method, ...how }))
      const served = [await callWith(polite, POLITE), await callWith(polite, POLITE)]
      const answered = await attacked
      expect(new Set(answered.map(({ status }) => status))).to.satisfy((all: Set<string>) =>
        [...all].every(status => status === TOO_LATE || statuses.includes(status))
      )
      expect(served.map(({ status }) => status)).to.deep.equal(['0', '0'])
      expect(gateway.child.isRunning).to.equal(true)
    })
  }

  it('lives through 50,000 calls that do not come', async () => {
    const calls = Buffer.concat(Array.from({ length: 100 }, (_, at) => headersFrame(2 * at + 1)))
    const sockets = Array.from({ length: 500 }, () =>
      connectTcp(port, '127.0.0.1')
        .on('error', () => undefined)
        .resume()
    )
    await Promise.all(sockets.map(socket => send(socket, calls)))
    // A late event loop refuses calls, as those of HTTP.
    expect((await callWith(polite, POLITE)).status).to.be.oneOf(['0', '8'])
    for (const socket of sockets) socket.destroy()
    while ((await callWith(polite, POLITE)).status !== '0') await sleep(20)
    expect(gateway.child.isRunning).to.equal(true)
  })

  it('lives through calls that come in frames of one byte, and do not end', async () => {
    const bytes = framed(headers(400)).subarray(0, -1)
    const sockets = Array.from({ length: 10 }, () => connectTcp(port, '127.0.0.1').on('error', () => undefined))
    await Promise.all(
      sockets.map(async socket => {
        const calls = Array.from({ length: 100 }, (_, at) => 2 * at + 1)
        const frames = calls.flatMap(stream => [headersFrame(stream), byteFrames(stream, bytes)])
        await send(socket, ...frames)
      })
    )
    expect(await callWith(polite, POLITE)).to.include({ status: '0' })
    for (const socket of sockets) socket.destroy()
    expect(await callWith(polite, POLITE)).to.include({ status: '0' })
    expect(gateway.child.isRunning).to.equal(true)
  })

  it('holds nothing afterwards', async () => {
    const held = async (): Promise<string> => {
      const metrics = await (await fetch(`${gateway.management}/metrics`)).text()
      return /^castellan_http_bodies_in_flight_bytes (\d+)/m.exec(metrics)![1]!
    }
    while ((await held()) !== '0') await sleep(50)
  })
})
