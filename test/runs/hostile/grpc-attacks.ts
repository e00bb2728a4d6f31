import type { ClientHttp2Session } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { SeededRandom } from '../../support/random.js'
import {
  byteFrames,
  callWith,
  connectHttp2,
  EMPTY_SETTINGS,
  framed,
  groupField,
  headersFrame,
  lengthField,
  openCall,
  PREFACE,
  repeated,
  varintField
} from '../../support/raw-grpc.js'
import type { Attack, Targets } from './http-attacks.js'

const ofTopic = (...fields: readonly Buffer[]): Buffer => Buffer.concat([lengthField(2, 'attacked'), ...fields])
const ofGroup = (...fields: readonly Buffer[]): Buffer => ofTopic(lengthField(3, 'g'), ...fields)
const HEADERS = ofTopic(repeated(lengthField(7, ''), 520_000))
const COMPRESSED = { headers: { 'grpc-encoding': 'gzip' }, isCompressed: true }
const BOMB = gzipSync(ofTopic(lengthField(5, Buffer.alloc(20 * 1024 * 1024))))
const LARGE: readonly [message: Buffer, how: object][] = [
  [HEADERS, {}],
  [gzipSync(HEADERS), COMPRESSED],
  [BOMB, COMPRESSED],
  [ofGroup(repeated(lengthField(4, ''), 500_000)), { method: 'SetOffsets' }],
  [ofGroup(repeated(varintField(15, 0), 500_000)), { method: 'GetOffsets' }],
  [ofGroup(groupField(15, 500_000)), { method: 'Ack' }]
]
/** Calls that are still open when nobody sends anything more end with their connection. */
const PATIENCE_MS = 10_000

/** Some sessions, which are destroyed afterwards; fewer where the port has no place for more. */
async function sessions(
  { grpcPort }: Targets,
  count: number,
  act: (session: ClientHttp2Session) => Promise<unknown>
): Promise<undefined> {
  const opened = await Promise.all(Array.from({ length: count }, () => connectHttp2(grpcPort).catch(() => undefined)))
  const open = opened.filter(session => session !== undefined)
  await Promise.race([Promise.all(open.map(session => act(session).catch(() => undefined))), sleep(PATIENCE_MS)])
  for (const session of open) session.destroy()
  return undefined
}

async function sockets({ grpcPort }: Targets, count: number, random: SeededRandom, bytes: Buffer): Promise<undefined> {
  const open = Array.from(
    { length: count },
    (): Socket => connectTcp(grpcPort, '127.0.0.1').on('error', () => undefined)
  )
  for (const socket of open) if (bytes.length > 0) socket.write(bytes)
  await sleep(random.between(0, 1_500))
  for (const socket of open) socket.destroy()
  return undefined
}

const callsIn = (session: ClientHttp2Session, count: number) => Array.from({ length: count }, () => openCall(session))

export const grpcAttacks: Readonly<Record<string, Attack>> = {
  'calls of gRPC that become large': (targets, random) => {
    const [message, how] = random.pick(LARGE)
    return sessions(targets, 2, session =>
      Promise.all(Array.from({ length: 4 }, () => callWith(session, message, how)))
    )
  },

  'calls of gRPC that never arrive': (targets, random) =>
    sessions(targets, 4, async session => {
      for (const stream of callsIn(session, 250)) {
        if (random.between(0, 3) === 0) stream.write(framed(HEADERS).subarray(0, random.between(0, 20_000)))
      }
      await sleep(random.between(0, 1_500))
    }),

  'silent sockets at the port of gRPC': (targets, random) =>
    sockets(targets, 300, random, random.pick([Buffer.alloc(0), PREFACE.subarray(0, 10), PREFACE])),

  'frames of gRPC of one byte': (targets, random) => {
    const calls = Array.from({ length: 20 }, (_, at) => 2 * at + 1)
    const bytes = framed(HEADERS).subarray(0, 2_000)
    const frames = calls.flatMap(stream => [headersFrame(stream), byteFrames(stream, bytes)])
    return sockets(targets, 2, random, Buffer.concat([PREFACE, EMPTY_SETTINGS, ...frames]))
  },

  'calls of gRPC that are reset': (targets, random) =>
    sessions(targets, 3, async session => {
      for (let round = 0; round < 20 && !session.destroyed; round++) {
        for (const stream of callsIn(session, random.between(1, 50))) stream.close()
        await sleep(1)
      }
    }),

  'random bytes as gRPC': ({ grpcPort, ...targets }, random) => {
    const noise = Buffer.from(Array.from({ length: 500 }, () => random.between(0, 255)))
    const kinds = [
      noise,
      Buffer.concat([PREFACE, noise]),
      Buffer.concat([PREFACE, EMPTY_SETTINGS, headersFrame(1), noise])
    ]
    return sockets({ grpcPort, ...targets }, 10, random, random.pick(kinds))
  },

  'a polite call of gRPC': async ({ grpcPort }) => {
    const session = await connectHttp2(grpcPort)
    const asked = callWith(session, Buffer.concat([lengthField(2, 'polite'), lengthField(5, 'm')]))
    const { status, details } = await asked
    session.destroy()
    return status === '0' ? undefined : `it was answered ${status}: ${details}`
  }
}
