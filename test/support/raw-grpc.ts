import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'

/** Clients of gRPC that know only its frames, and keep to nothing. */

export interface Answered {
  /** `16`; `closed 8` where the stream ended without one. */
  readonly status: string
  readonly details: string
}

export async function connectHttp2(
  port: number,
  settings = {},
  host = '127.0.0.1',
  localAddress?: string
): Promise<ClientHttp2Session> {
  const options = { settings, maxSessionMemory: 1_000, ...(localAddress && { localAddress }) }
  const session = connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`, options)
  session.on('error', () => undefined)
  await new Promise((resolve, reject) => session.once('connect', resolve).once('close', reject))
  return session
}

/** Begins a call of a method of Kafka-Pixy; its request is to be written. */
export function openCall(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]> = {},
  method = 'Produce'
): ClientHttp2Stream {
  const path = `/KafkaPixy/${method}`
  const fixed = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
  const stream = session.request({ ...fixed, ...headers }, { endStream: false })
  stream.on('error', () => undefined)
  return stream.resume()
}

/** From the headers where there is no answer, else from the trailers. */
export function answerOf(stream: ClientHttp2Stream): Promise<Answered> {
  return new Promise(resolve => {
    const look = (headers: Record<string, unknown>): void => {
      const { 'grpc-status': status, 'grpc-message': details = '' } = headers
      if (status !== undefined) resolve({ status: String(status), details: decodeURIComponent(String(details)) })
    }
    stream.on('response', look).on('trailers', look)
    stream.on('close', () => resolve({ status: `closed ${stream.rstCode}`, details: '' }))
  })
}

/** Makes a call with one message. */
export function callWith(
  session: ClientHttp2Session,
  message: Buffer,
  { method = 'Produce', headers = {}, isCompressed = false } = {}
): Promise<Answered> {
  const stream = openCall(session, headers, method)
  const answer = answerOf(stream)
  stream.end(framed(message, isCompressed))
  return answer
}

/** A message as gRPC sends it. */
export function framed(message: Buffer, isCompressed = false): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = Number(isCompressed)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

export function varint(value: bigint | number): Buffer {
  const bytes: number[] = []
  let left = BigInt.asUintN(64, BigInt(value))
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128)
  return Buffer.from([...bytes, Number(left)])
}

const tag = (field: number, wireType: number): Buffer => varint((field << 3) | wireType)

/** A field of a text, of bytes or of a message. */
export const lengthField = (field: number, value: Buffer | string): Buffer =>
  Buffer.concat([tag(field, 2), varint(Buffer.byteLength(value)), Buffer.from(value)])

export const varintField = (field: number, value: bigint | number): Buffer =>
  Buffer.concat([tag(field, 0), varint(value)])

/** Nested as deep as asked. */
export const groupField = (field: number, depth: number): Buffer =>
  Buffer.concat([...Array(depth).fill(tag(field, 3)), ...Array(depth).fill(tag(field, 4))])

export const repeated = (field: Buffer, count: number): Buffer => Buffer.concat(Array(count).fill(field))

/** Everything that was sent before has been read, as far as the server reads. */
export const pinged = (session: ClientHttp2Session): Promise<void> =>
  new Promise((resolve, reject) => session.ping(error => (error ? reject(error) : resolve())))

/** Errors before do not count. */
export const closed = (what: NodeJS.EventEmitter): Promise<unknown> =>
  new Promise(resolve => what.once('close', resolve))

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
export const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
const DATA = 0
const HEADERS = 1
const END_HEADERS = 4

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const literal = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])

/** The headers of a call as they go over the wire, in a session of one's own making. */
export const headersFrame = (stream: number, path = '/KafkaPixy/Produce'): Buffer =>
  frame(
    HEADERS,
    END_HEADERS,
    stream,
    Buffer.concat([
      literal(':method', 'POST'),
      literal(':scheme', 'http'),
      literal(':authority', 'localhost'),
      literal(':path', path),
      literal('content-type', 'application/grpc'),
      literal('te', 'trailers')
    ])
  )

/** Bytes of a request, each of them in a frame of its own. */
export const byteFrames = (stream: number, bytes: Buffer): Buffer =>
  Buffer.concat(Array.from(bytes, byte => frame(DATA, 0, stream, Buffer.from([byte]))))

const SETTINGS = 4
const WINDOW_UPDATE = 8
const INITIAL_WINDOW_SIZE = 4
const MAX_WINDOW_BYTES = 2 ** 31 - 1
const FIRST_WINDOW_BYTES = 65_535
const END_STREAM = 1

/** What lets a server send everything at once, as far as HTTP/2 is concerned. */
export function widestWindow(): Buffer {
  const setting = Buffer.alloc(6)
  setting.writeUInt16BE(INITIAL_WINDOW_SIZE)
  setting.writeUInt32BE(MAX_WINDOW_BYTES, 2)
  const update = Buffer.alloc(4)
  update.writeUInt32BE(MAX_WINDOW_BYTES - FIRST_WINDOW_BYTES)
  return Buffer.concat([frame(SETTINGS, 0, 0, setting), frame(WINDOW_UPDATE, 0, 0, update)])
}

/** The message of a call, and its end. */
export const messageFrame = (stream: number, message: Buffer): Buffer =>
  frame(DATA, END_STREAM, stream, framed(message))
