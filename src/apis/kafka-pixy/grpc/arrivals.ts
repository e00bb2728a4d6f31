import type { ServerHttp2Stream } from 'node:http2'
import { Metadata, type ServerInterceptingCallInterface, type ServerInterceptor, status } from '@grpc/grpc-js'
import type { OverloadedError } from '../../../core/errors.js'
import type { RecordHeader } from '../../../core/model.js'
import type { Access, Caller } from '../../../http/access/access.js'
import type { RefusedByApi } from '../../../http/api/refused-records.js'
import type { CountedCall } from '../../../http/exchange/other-protocols.js'
import { MAX_RECORD_HEADERS_BYTES, type RecordHeaders } from '../../../http/exchange/record-headers.js'
import { type Admission, admit } from './admit-call.js'
import type { ConnectedCall, GrpcConnection } from './connections.js'
import { MessageReader } from './message-reader.js'
import { countRefused, StatusError, statusOfError } from './statuses.js'

export interface ArrivalLimits {
  /** Limit of calls whose request has not arrived: each may hold a message. */
  readonly maxArriving: number
  /** How long a request may take to arrive. */
  readonly arrivalMs: number
  /** How long the client may take for the answer. */
  readonly answerMs: number
  /** How long a new connection may take until it speaks HTTP/2. */
  readonly prefaceMs: number
}

export interface ArrivalsOptions {
  readonly access: Access
  readonly limits: ArrivalLimits
  readonly maxHeaderBytes: number
  readonly maxMessageBytes: number
  /** Metadata that becomes headers of records; absent: none does. */
  readonly recordHeaders?: RecordHeaders | undefined
  /** `undefined`: the connection has ended. */
  readonly connectionOf: (peer: string) => GrpcConnection | undefined
  /** Counts messages that are refused. */
  readonly refused: RefusedByApi
  /** Logs a bug and returns the status to answer. */
  readonly broken: (error: unknown) => StatusError
}

const GIVES_WAY =
  'the connection was closed in favour of an address with fewer connections (advanced.apis.kafka-pixy.grpcMaxConnections)'

const PRODUCE = '/KafkaPixy/Produce'

/** A request that has arrived, as its bytes. */
export interface ReceivedRequest {
  readonly bytes: Buffer
  readonly caller: Caller
  /** The key under which the address of the client is counted. */
  readonly address: string
  /** Metadata of the call that its record gets as headers. Absent: there is none. */
  readonly recordHeaders?: readonly RecordHeader[] | undefined
  /** Counts further memory that the call takes until its end, or refuses the call. @throws StatusError */
  hold(sizeBytes: number): void
  /**
   * From now on the call only waits for a message, so its connection may be closed in favour of another one.
   *
   * @param end called at most once, when the connection is closed for that reason
   * @returns a function to call when the call no longer waits; further calls of it do nothing
   */
  waits(end: (error: StatusError) => void): () => void
}

type Answer = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]
/** The listener to which grpc-js reports the events of a call. */
type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]

/**
 * Calls on their way in and out. Before its client is admitted, only the headers of a request are read. Then the
 * request has to arrive in time, and its answer has to reach the client in time.
 *
 *   headers ── admitted ──▶ arriving ── whole request ──▶ served ── answer ──▶ taken by the client
 *      └───── refused           └─── too late                         └─── too late: the connection is cut
 *
 * If too many calls arrive, the address with most of them loses the oldest call of its busiest connection, so that no
 * client can keep others out by calls that never arrive.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  readonly #arriving = new Set<Arrival>()
  #seen = 0
  /** Called for each call that was refused in favour of another one. */
  onDisplaced: () => void = () => undefined

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** Calls whose request has not arrived. */
  get arriving(): number {
    return this.#arriving.size
  }

  /** An interceptor for grpc-js. Its type names a class of grpc-js, but only the interface is called. */
  readonly interceptor = (
    { path }: Parameters<ServerInterceptor>[0],
    call: ServerInterceptingCallInterface
  ): ServerInterceptingCallInterface =>
    new Arrival(this.#options, path === PRODUCE, call, this.#options.connectionOf(call.getPeer()), this)

  nextId(): string {
    return `grpc-${++this.#seen}`
  }

  enter(arrival: Arrival): void {
    if (this.#arriving.size >= this.#options.limits.maxArriving) this.#displace()
    this.#arriving.add(arrival)
  }

  leave(arrival: Arrival): void {
    this.#arriving.delete(arrival)
  }

  #displace(): void {
    const byAddress = new Map<string, number>()
    const byConnection = new Map<GrpcConnection | undefined, number>()
    for (const { connection } of this.#arriving) {
      const address = connection?.address ?? ''
      byAddress.set(address, (byAddress.get(address) ?? 0) + 1)
      byConnection.set(connection, (byConnection.get(connection) ?? 0) + 1)
    }
    const most = Math.max(...byAddress.values())
    let victim: Arrival | undefined
    for (const arrival of this.#arriving) {
      const { connection } = arrival
      if (byAddress.get(connection?.address ?? '') !== most) continue
      if (victim === undefined || byConnection.get(connection)! > byConnection.get(victim.connection)!) victim = arrival
    }
    this.onDisplaced()
    victim!.displace()
  }
}

/** One call. It reads its stream by itself: grpc-js holds and decodes a whole message before it applies limits. */
class Arrival implements ServerInterceptingCallInterface, ConnectedCall {
  readonly connection: GrpcConnection | undefined
  readonly #options: ArrivalsOptions
  readonly #call: ServerInterceptingCallInterface
  readonly #stream: ServerHttp2Stream
  readonly #arrivals: Arrivals
  readonly #isProduce: boolean
  #counted: CountedCall | undefined
  #listener: Listener | undefined
  #admission: Admission | undefined
  #recordHeaders: readonly RecordHeader[] | undefined
  #reader: MessageReader | undefined
  #timer: NodeJS.Timeout | undefined
  #isArriving = false
  #isServed = false
  /** Set while the call only waits for a message. */
  #endWaiting: ((error: StatusError) => void) | undefined
  #isRefused = false
  #isOver = false

  constructor(
    options: ArrivalsOptions,
    isProduce: boolean,
    call: ServerInterceptingCallInterface,
    connection: GrpcConnection | undefined,
    arrivals: Arrivals
  ) {
    this.#options = options
    this.#isProduce = isProduce
    this.#call = call
    this.connection = connection
    this.#arrivals = arrivals
    // The interface of a call does not include its stream.
    this.#stream = (call as ServerInterceptingCallInterface & { stream: ServerHttp2Stream }).stream
  }

  start(listener: Listener): void {
    this.#listener = listener
    this.#call.start({
      onReceiveMetadata: metadata => this.#begin(metadata),
      onReceiveMessage: () => undefined,
      onReceiveHalfClose: () => undefined,
      onCancel: () => {
        this.#end()
        listener.onCancel()
      }
    })
  }

  /** The whole request is read at once. */
  startRead(): void {}

  sendMetadata(metadata: Metadata): void {
    this.#call.sendMetadata(metadata)
  }

  /** The stream ends when the client has taken the answer. */
  sendMessage(message: unknown, callback: () => void): void {
    if (!this.#isOver) {
      const { limits } = this.#options
      this.#timer = setTimeout(() => this.connection?.cut(), limits.answerMs)
    }
    this.#call.sendMessage(message, callback)
  }

  sendStatus(answer: Answer): void {
    this.#call.sendStatus(answer)
  }

  getPeer = () => this.#call.getPeer()
  getDeadline = () => this.#call.getDeadline()
  getHost = () => this.#call.getHost()
  getAuthContext = () => this.#call.getAuthContext()
  getConnectionInfo = () => this.#call.getConnectionInfo()
  getMetricsRecorder = () => this.#call.getMetricsRecorder()

  /** The call is refused in favour of another one. */
  displace(): void {
    this.#refuse(new StatusError(status.RESOURCE_EXHAUSTED, 'too many calls arrive at a time'))
  }

  giveWay(): void {
    const error = new StatusError(status.UNAVAILABLE, GIVES_WAY)
    if (this.#isArriving) this.#refuse(error)
    else this.#endWaiting?.(error)
  }

  #begin(metadata: Metadata): void {
    const { limits, maxHeaderBytes, maxMessageBytes } = this.#options
    this.#isArriving = true
    this.#arrivals.enter(this)
    if (this.connection === undefined || this.connection.givesWay) {
      this.#refuse(new StatusError(status.UNAVAILABLE, 'the connection has ended'))
      return
    }
    this.connection.began(this.#stream.session, this)
    this.#counted = this.connection.counted.begin(refusal => this.#refuse(exhausted(refusal)))
    this.#reader = new MessageReader(maxMessageBytes, encodingOf(this.#call), this.#counted)
    this.#readAlong()
    this.#timer = setTimeout(() => {
      this.#refuse(
        new StatusError(status.DEADLINE_EXCEEDED, `the request did not arrive within ${limits.arrivalMs} ms`)
      )
    }, limits.arrivalMs)
    const headerBytes = sizeOf(metadata)
    const refusal = this.#counted.refusal()
    const noCapacity = refusal ?? this.#counted.take(headerBytes)
    if (headerBytes > maxHeaderBytes) {
      this.#refuse(new StatusError(status.RESOURCE_EXHAUSTED, `the headers have more than ${maxHeaderBytes} bytes`))
    } else if (noCapacity !== undefined) this.#refuseBy(noCapacity)
    else if (this.#orRefuse(() => this.#keepHeaders(metadata))) this.#admit(metadata)
  }

  /** @throws StatusError */
  #keepHeaders(metadata: Metadata): void {
    const { recordHeaders } = this.#options
    if (recordHeaders === undefined) return
    const raw = rawHeadersOf(metadata)
    if (recordHeaders.areTooLarge(raw)) {
      const message = `the metadata for records has more than ${MAX_RECORD_HEADERS_BYTES} bytes`
      throw new StatusError(status.RESOURCE_EXHAUSTED, message)
    }
    this.#recordHeaders = recordHeaders.ofRequest(raw)
  }

  #admit(metadata: Metadata): void {
    const { access } = this.#options
    const { socket, address } = this.connection!
    const head = { metadata, peer: this.#call.getPeer(), socket, address }
    admit(access, head, this.#arrivals.nextId()).then(
      admission => {
        // A client without any permission is refused before its message is received and decompressed.
        const refusal = this.#isOver || this.#isRefused ? undefined : admission.caller.refusalOfUnruled()
        if (refusal) this.#refuseBy(refusal)
        if (this.#isOver || this.#isRefused) admission.end()
        else {
          this.#admission = admission
          this.#listener!.onReceiveMetadata(new Metadata())
          this.#stream.resume()
        }
      },
      error => this.#refuseBy(error)
    )
  }

  /** Counts each chunk before it waits in the stream, and reads it when the stream flows. */
  #readAlong(): void {
    const stream = this.#stream
    const push = stream.push.bind(stream)
    stream.push = (chunk: Buffer | null, encoding) => {
      if (chunk === null) return push(chunk, encoding)
      if (!this.#isArriving) return true
      return this.#orRefuse(() => this.#reader!.arrived(chunk)) ? push(separate(chunk), encoding) : true
    }
    stream.removeAllListeners('data')
    stream.on('data', chunk => {
      if (this.#isArriving) this.#orRefuse(() => this.#reader!.read(chunk as Buffer))
    })
    stream.on('end', () => {
      if (this.#isArriving) void this.#arrive()
    })
  }

  #orRefuse(run: () => void): boolean {
    try {
      run()
      return true
    } catch (error) {
      this.#refuseBy(error)
      return false
    }
  }

  async #arrive(): Promise<void> {
    try {
      const bytes = await this.#reader!.end()
      if (!this.#isArriving) return
      this.#leave()
      this.connection!.serves(1)
      this.#isServed = true
      if (bytes !== undefined) this.#listener!.onReceiveMessage(this.#received(bytes))
      this.#listener!.onReceiveHalfClose()
    } catch (error) {
      this.#refuseBy(error)
    }
  }

  #received(bytes: Buffer): ReceivedRequest {
    const { caller } = this.#admission!
    const hold = (sizeBytes: number): void => {
      const refusal = this.#counted!.take(sizeBytes)
      if (refusal !== undefined) throw exhausted(refusal)
    }
    const { address } = this.connection!
    const recordHeaders = this.#recordHeaders
    return { bytes, caller, address, recordHeaders, hold, waits: end => this.#waits(end) }
  }

  #waits(end: (error: StatusError) => void): () => void {
    if (!this.#isServed) return () => undefined
    this.#endWaiting = end
    this.connection!.waits(1)
    return () => this.#waitsNoLonger()
  }

  #waitsNoLonger(): void {
    if (this.#endWaiting === undefined) return
    this.#endWaiting = undefined
    this.connection!.waits(-1)
  }

  #refuseBy(error: unknown): void {
    this.#refuse(statusOfError(error, true) ?? this.#options.broken(error))
  }

  #refuse(error: StatusError): void {
    if (this.#isOver || this.#isRefused) return
    this.#isRefused = true
    if (this.#isProduce) countRefused(this.#options.refused, error)
    this.#leave()
    this.#release()
    this.#call.sendStatus({ code: error.code, details: error.message })
    this.#refuseRest()
  }

  /** Ends the arrival, whether the request has arrived or never will. */
  #leave(): void {
    clearTimeout(this.#timer)
    if (!this.#isArriving) return
    this.#isArriving = false
    this.#reader = undefined
    this.#arrivals.leave(this)
    this.#counted?.received()
  }

  /** The stream has ended, or its last frame has been sent. */
  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isArriving) this.#refuseRest()
    this.#leave()
    this.#release()
  }

  #release(): void {
    if (this.#counted !== undefined) this.connection!.ended(this)
    this.#waitsNoLonger()
    if (this.#isServed) this.connection!.serves(-1)
    this.#isServed = false
    this.#counted?.end()
    this.#counted = undefined
    this.#admission?.end()
    this.#admission = undefined
  }

  /**
   * Closes the stream of a call that was answered before its request had come: grpc-js would read and discard whatever
   * the client goes on to send. Node sends the answer at the end of this tick; from Node 22 on a reset in the same tick
   * would overtake it.
   */
  #refuseRest(): void {
    setImmediate(() => {
      if (!this.#stream.destroyed) this.#stream.close()
    })
  }
}

const exhausted = ({ message }: OverloadedError): StatusError => new StatusError(status.RESOURCE_EXHAUSTED, message)

/** The encoding of a message. grpc-js has removed its header from the metadata. */
const encodingOf = (call: ServerInterceptingCallInterface): string =>
  (call as ServerInterceptingCallInterface & { incomingEncoding: string }).incomingEncoding

/** Copies a chunk that is part of a larger read from the socket: a view keeps all of that memory. */
const separate = (chunk: Buffer): Buffer => (2 * chunk.length < chunk.buffer.byteLength ? Buffer.from(chunk) : chunk)

/** Names and values in turn, one character for each byte. */
const rawHeadersOf = (metadata: Metadata): string[] =>
  Object.entries(metadata.toJSON()).flatMap(([name, values]) =>
    values.flatMap(value => [name, typeof value === 'string' ? value : value.toString('latin1')])
  )

/** The size of headers, approximately as HTTP/2 counts it (RFC 9113 6.5.2). */
function sizeOf(metadata: Metadata): number {
  let sizeBytes = 0
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) sizeBytes += name.length + value.length + 32
  }
  return sizeBytes
}
