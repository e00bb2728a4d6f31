import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js'
import type { CastellanError } from '../../../core/errors.js'
import type { RecordHeader } from '../../../core/model.js'
import type { HeldRecords, RecordBudget } from '../../../core/record-budget.js'
import type { Access, Caller, IncomingRequest } from '../../../http/access/access.js'
import type { ApiProducer } from '../../../http/api/api-producer.js'
import { leavesBy } from '../../../http/exchange/leaving-records.js'
import type { CountedCall, CountedConnection } from '../../../http/exchange/other-protocols.js'
import { MAX_RECORD_HEADERS_BYTES, type RecordHeaders } from '../../../http/exchange/record-headers.js'
import { countRefused, StatusError, statusOfError } from './protocol.js'

/** A connection of the gRPC port, those during the TLS handshake included. */
export interface GrpcConnection {
  readonly counted: CountedConnection
  /** The socket that carries HTTP/2: that of TLS, or the raw one without TLS. */
  readonly socket: Socket
  /** Calls that have begun and not ended. */
  calls: number
}

export interface CallLimits {
  /** Limit of calls whose request has not arrived, of all connections. Beyond it the oldest one is refused. */
  readonly maxArriving: number
  readonly arrivalMs: number
  readonly answerMs: number
}

export interface CallsOptions {
  readonly access: Access
  readonly limits: CallLimits
  readonly maxHeaderBytes: number
  readonly maxMessageBytes: number
  /** Metadata that becomes headers of records; absent: none does. */
  readonly recordHeaders?: RecordHeaders | undefined
  readonly records: RecordBudget
  /** `undefined`: the connection has ended. */
  readonly connectionOf: (peer: string) => GrpcConnection | undefined
  readonly producer: ApiProducer
  /** Logs a bug and returns the status to answer. */
  readonly broken: (error: unknown) => StatusError
}

export interface ReceivedRequest {
  readonly bytes: Buffer
  readonly caller: Caller
  /** The key under which the address of the client is counted. */
  readonly address: string
  /** Metadata of the call that its record gets as headers. Absent: there is none. */
  readonly recordHeaders?: readonly RecordHeader[] | undefined
  /** Counts further memory that the call takes until its end. @throws CastellanError when there is none */
  hold(sizeBytes: number): void
  /** Holds records of the answer until the client has taken it, or has gone away. */
  holdRecords(held: HeldRecords): void
  /** Called once the answer has been handed to the connection, or could not be, because the client has gone away. */
  answered?: (isSent: boolean) => void
}

/** Measured: memory that V8 and Node use for a chunk of one byte that waits for the rest of its message. */
const CHUNK_BYTES = 320
/** Largest number of bytes that zlib makes of one byte. */
const MAX_EXPANSION = 1_032
const ZLIB_BYTES = 64 * 1024

/** Half of the bytes that HTTP/2 counts for a header in addition to its name and value (RFC 9113 6.5.2). */
const HEADER_PART_BYTES = 16

const PRODUCE = '/KafkaPixy/Produce'

type InterceptedCall = Parameters<ServerInterceptor>[1]
/**
 * Members of a call in grpc-js that its interface does not include (docs/develop/dependencies.md). In addition, grpc-js
 * refuses a message by `sendStatus` of the same object.
 */
interface CallParts {
  readonly stream: ServerHttp2Stream
  decompressMessage(message: Buffer, encoding: string): Promise<Buffer> | Buffer
}
const partsOf = (call: object): CallParts => call as CallParts

/**
 * Calls on their way in and out. Before its client is admitted, only the headers of a request are read. Then the
 * request has to arrive in time, and its answer has to reach the client in time.
 */
export class Calls {
  readonly options: CallsOptions
  #seen = 0
  /** Calls whose request has not arrived, the oldest first. */
  readonly arriving = new Set<IncomingCall>()

  constructor(options: CallsOptions) {
    this.options = options
  }

  readonly interceptor: ServerInterceptor = ({ path }, intercepted) => {
    const call = new IncomingCall(this, intercepted, path === PRODUCE, `grpc-${++this.#seen}`)
    return new ServerInterceptingCall(intercepted, {
      start: next =>
        next({
          onReceiveMetadata: (metadata, pass) => void call.begin(metadata, () => pass(new Metadata())),
          onReceiveMessage: (bytes, pass) => pass(call.received(bytes)),
          onReceiveHalfClose: pass => {
            call.arrived()
            pass()
          },
          onCancel: () => call.end()
        }),
      sendMessage: (message, pass) => {
        call.answers()
        pass(message)
      }
    })
  }
}

/** A call. For the access check it has the form of a request over HTTP. */
class IncomingCall implements IncomingRequest {
  readonly #calls: Calls
  readonly #call: InterceptedCall
  readonly #isProduce: boolean
  readonly #connection: GrpcConnection | undefined
  /** The key under which the access check remembers the caller. */
  readonly request = { headers: {} } as IncomingRequest['request']
  readonly requestId: string
  readonly peer: string
  readonly isUnixSocket = false
  authorization: string | undefined
  #counted: CountedCall | undefined
  #recordHeaders: readonly RecordHeader[] | undefined
  readonly #ends: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(calls: Calls, call: InterceptedCall, isProduce: boolean, id: string) {
    this.#isProduce = isProduce
    this.#calls = calls
    this.#call = call
    this.requestId = id
    this.peer = call.getPeer()
    this.#connection = calls.options.connectionOf(this.peer)
  }

  get address(): string {
    return this.#connection!.counted.addressKey
  }

  get socket(): Socket {
    return this.#connection!.socket
  }

  onEnd(ended: () => void): void {
    this.#ends.push(ended)
  }

  async begin(metadata: Metadata, pass: () => void): Promise<void> {
    const { arriving, options } = this.#calls
    const [oldest] = arriving
    if (arriving.size >= options.limits.maxArriving) {
      oldest!.#refuse(new StatusError(status.RESOURCE_EXHAUSTED, 'too many calls arrive at a time'))
    }
    arriving.add(this)
    try {
      if (this.#connection === undefined) throw new StatusError(status.UNAVAILABLE, 'the connection has ended')
      this.#count(this.#connection, metadata)
      await this.#admit(metadata)
      if (this.#isOver) return this.#leave()
      // A client without any permission is refused before its message is received and decompressed.
      const refusal = this.#caller.refusalOfUnruled()
      if (refusal) throw refusal
      pass()
    } catch (error) {
      this.#refuse(error)
    }
  }

  /** Admits the call by the same checks as requests over HTTP: quotas, authentication, rules. */
  async #admit(metadata: Metadata): Promise<void> {
    const [authorization] = metadata.get('authorization')
    this.authorization = authorization === undefined ? undefined : String(authorization)
    const { access } = this.#calls.options
    const refusal = await new Promise<CastellanError | undefined>(resolve => {
      if (access.enter) access.enter(this, resolve)
      else resolve(undefined)
    })
    if (refusal !== undefined) throw refusal
  }

  get #caller(): Caller {
    return this.#calls.options.access.callerOf(this.request)
  }

  received(bytes: Buffer): ReceivedRequest {
    return {
      bytes,
      caller: this.#caller,
      address: this.address,
      recordHeaders: this.#recordHeaders,
      hold: sizeBytes => this.#take(sizeBytes),
      holdRecords: held => this.#holdRecords(held)
    }
  }

  arrived(): void {
    if (this.#isOver) return
    clearTimeout(this.#timer)
    this.#calls.arriving.delete(this)
    this.#counted!.received()
  }

  #holdRecords(held: HeldRecords): void {
    if (this.#isOver) {
      held.release()
      return
    }
    const over = leavesBy(this.socket, this.#calls.options.records, held)
    this.#ends.push(() => {
      over()
      held.release()
    })
  }

  /** The stream ends when the client has taken the answer. */
  answers(): void {
    if (!this.#isOver) this.#timer = setTimeout(() => this.socket.destroy(), this.#calls.options.limits.answerMs)
  }

  /** The stream has ended, or its last frame has been sent. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    if (this.#counted !== undefined) this.#connection!.calls--
    this.#counted?.end()
    this.#leave()
    if (!this.#calls.arriving.delete(this)) return
    // grpc-js would read and discard whatever the client goes on to send. Node sends the answer at the end of this
    // tick; from Node 22 on a reset in the same tick would overtake it.
    const { stream } = partsOf(this.#call)
    setImmediate(() => {
      if (!stream.destroyed) stream.close()
    })
  }

  /** The call is not in flight any more. */
  #leave(): void {
    for (const ended of this.#ends.splice(0)) ended()
  }

  /** @throws CastellanError */
  #count(connection: GrpcConnection, metadata: Metadata): void {
    const { limits, maxHeaderBytes, recordHeaders } = this.#calls.options
    this.#counted = connection.counted.begin(refusal => this.#refuse(refusal))
    connection.calls++
    this.#timer = setTimeout(() => {
      this.#refuse(
        new StatusError(status.DEADLINE_EXCEEDED, `the request did not arrive within ${limits.arrivalMs} ms`)
      )
    }, limits.arrivalMs)
    const raw = rawHeadersOf(metadata)
    const headerBytes = raw.reduce((sum, text) => sum + text.length + HEADER_PART_BYTES, 0)
    if (headerBytes > maxHeaderBytes) throw tooLarge(`the headers have more than ${maxHeaderBytes} bytes`)
    const refusal = this.#counted.refusal()
    if (refusal) throw refusal
    this.#take(headerBytes)
    if (recordHeaders?.areTooLarge(raw)) {
      throw tooLarge(`the metadata for records has more than ${MAX_RECORD_HEADERS_BYTES} bytes`)
    }
    this.#recordHeaders = recordHeaders?.ofRequest(raw)
    this.#countMessage()
  }

  /** Counts the bytes of the message as they come, and as what they may become: grpc-js decompresses each one at once. */
  #countMessage(): void {
    const parts = partsOf(this.#call)
    const push = parts.stream.push.bind(parts.stream)
    // Chunks may wait in the stream before the client is admitted.
    parts.stream.push = (chunk: Buffer | null, encoding) => {
      if (chunk === null) return push(chunk, encoding)
      if (!this.#isOver) this.#orRefuse(() => this.#take(Math.max(chunk.length, CHUNK_BYTES)))
      return this.#isOver || push(separate(chunk), encoding)
    }
    const decompress = parts.decompressMessage.bind(parts)
    let messages = 0
    const sendStatus = this.#call.sendStatus.bind(this.#call)
    this.#call.sendStatus = answer => {
      // #refuse was not called: grpc-js itself refuses the message.
      if (this.#calls.arriving.has(this) && answer.code !== status.DEADLINE_EXCEEDED) {
        const reason = answer.code === status.RESOURCE_EXHAUSTED ? 'recordTooLarge' : undefined
        this.#countRefused(new StatusError(answer.code!, answer.details ?? '', reason))
      }
      sendStatus(answer)
    }
    parts.decompressMessage = async (message, encoding) => {
      if (messages++ > 0) throw { code: status.UNIMPLEMENTED, details: 'Received a second request message' }
      if (encoding === 'identity') return decompress(message, encoding)
      const mostBytes = ZLIB_BYTES + Math.min(this.#calls.options.maxMessageBytes, message.length * MAX_EXPANSION)
      this.#orRefuse(() => this.#take(mostBytes))
      if (this.#isOver) throw { code: status.CANCELLED, details: 'the call is over' }
      const result = await decompress(message, encoding)
      if (!this.#isOver) this.#counted!.give(mostBytes - result.length)
      return result
    }
  }

  /** @throws CastellanError */
  #take(sizeBytes: number): void {
    const refusal: CastellanError | undefined = this.#counted!.take(sizeBytes)
    if (refusal) throw refusal
  }

  #orRefuse(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#refuse(error)
    }
  }

  #refuse(error: unknown): void {
    if (this.#isOver) return
    const refusal = statusOfError(error, true) ?? this.#calls.options.broken(error)
    this.#countRefused(refusal)
    this.end()
    this.#call.sendStatus({ code: refusal.code, details: refusal.message })
  }

  #countRefused(refusal: StatusError): void {
    if (this.#isProduce) countRefused(this.#calls.options.producer, refusal)
  }
}

const tooLarge = (details: string): StatusError => new StatusError(status.RESOURCE_EXHAUSTED, details)

/** Copies a chunk that is part of a larger read from the socket: a view keeps all of that memory. */
const separate = (chunk: Buffer): Buffer => (2 * chunk.length < chunk.buffer.byteLength ? Buffer.from(chunk) : chunk)

/** Names and values in turn, one character for each byte. */
const rawHeadersOf = (metadata: Metadata): string[] =>
  Object.entries(metadata.toJSON()).flatMap(([name, values]) =>
    values.flatMap(value => [name, typeof value === 'string' ? value : value.toString('latin1')])
  )
