import type { ServerHttp2Stream } from 'node:http2'
import { Metadata, type ServerInterceptingCallInterface, type ServerInterceptor, status } from '@grpc/grpc-js'
import type { OverloadedError } from '../../../core/errors.js'
import type { Access, Caller } from '../../../http/access/access.js'
import type { CountedCall } from '../../../http/exchange/counted-calls.js'
import { type Admission, admit } from './admit-call.js'
import type { ConnectedCall, GrpcConnection } from './connections.js'
import { MessageReader } from './message-reader.js'
import { StatusError, statusOfError } from './statuses.js'

export interface ArrivalLimits {
  /** Calls whose request has not arrived: each may hold a message. */
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
  /** `undefined`: the connection has ended. */
  readonly connectionOf: (peer: string) => GrpcConnection | undefined
  /** A bug; gives the status to answer. */
  readonly broken: (error: unknown) => StatusError
}

const GIVES_WAY = 'the connection gives way to one of an address that has fewer (apis.kafka-pixy.grpcMaxConnections)'

/** A request that has arrived, as its bytes. */
export interface ReceivedRequest {
  readonly bytes: Buffer
  readonly caller: Caller
  /** The key under which the address of the client is counted. */
  readonly address: string
  /** Counts further memory that the call takes until its end, or refuses the call. @throws StatusError */
  hold(sizeBytes: number): void
  /**
   * From now on the call only waits for a message, so its connection may have to give way to another one.
   *
   * @param end called at most once, when it has to
   * @returns to be called when the call waits no longer; further calls do nothing
   */
  waits(end: (error: StatusError) => void): () => void
}

type Answer = Parameters<ServerInterceptingCallInterface['sendStatus']>[0]
/** What its own listener is told of a call by grpc-js. */
type Listener = Parameters<ServerInterceptingCallInterface['start']>[0]

/**
 * Calls on their way in and out. Nothing of a request but its headers is read before its client is admitted; then it has
 * to arrive in time, and so has its answer at the client.
 *
 *   headers ── admitted ──▶ arriving ── whole request ──▶ served ── answer ──▶ taken by the client
 *      └───── refused           └─── too late                         └─── too late: the connection is cut
 *
 * Where too many calls arrive, the connection that has most of them, of the address that has most, loses its oldest: so no
 * client can keep others out by calls that never arrive.
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  readonly #arriving = new Set<Arrival>()
  #seen = 0
  /** Told of each call that was refused to make place for another one. */
  onDisplaced: () => void = () => undefined

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** Calls whose request has not arrived. */
  get arriving(): number {
    return this.#arriving.size
  }

  readonly interceptor: ServerInterceptor = (_, call) => {
    const connection = this.#options.connectionOf(call.getPeer())
    // grpc-js has no class for a call that is not read by itself.
    return new Arrival(this.#options, call, connection, this) as unknown as ReturnType<ServerInterceptor>
  }

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

/** One call. It reads its stream by itself: grpc-js would hold and decode a whole message before its limits apply. */
class Arrival implements ServerInterceptingCallInterface, ConnectedCall {
  readonly connection: GrpcConnection | undefined
  readonly #options: ArrivalsOptions
  readonly #call: ServerInterceptingCallInterface
  readonly #stream: ServerHttp2Stream
  readonly #arrivals: Arrivals
  #counted: CountedCall | undefined
  #listener: Listener | undefined
  #admission: Admission | undefined
  #reader: MessageReader | undefined
  #timer: NodeJS.Timeout | undefined
  #isArriving = false
  #isServed = false
  /** It is being served, and only waits for a message. */
  #endWaiting: ((error: StatusError) => void) | undefined
  #isRefused = false
  #isOver = false

  constructor(
    options: ArrivalsOptions,
    call: ServerInterceptingCallInterface,
    connection: GrpcConnection | undefined,
    arrivals: Arrivals
  ) {
    this.#options = options
    this.#call = call
    this.connection = connection
    this.#arrivals = arrivals
    // It has no method for that.
    this.#stream = (call as unknown as { stream: ServerHttp2Stream }).stream
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

  /** Another call needs the place. */
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
    else this.#admit(metadata)
  }

  #admit(metadata: Metadata): void {
    const { access } = this.#options
    const { socket, address } = this.connection!
    const head = { metadata, peer: this.#call.getPeer(), socket, address }
    admit(access, head, this.#arrivals.nextId()).then(
      admission => {
        // Who may do nothing is told so before a message is received, decompressed and looked through.
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

  /** Counts what comes before it waits in the stream, and reads it when the stream flows. */
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
    return { bytes, caller, address: this.connection!.address, hold, waits: end => this.#waits(end) }
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

  #refuse({ code, message: details }: StatusError): void {
    if (this.#isOver || this.#isRefused) return
    this.#isRefused = true
    this.#leave()
    this.#release()
    this.#call.sendStatus({ code, details })
    this.#refuseRest()
  }

  /** The request has arrived, or will not. */
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
   * Closes the stream of a call that was answered before its request had come: grpc-js would read and discard whatever the
   * client goes on to send. Node sends the answer at the end of this turn; from Node 22 on a reset in the same turn would
   * overtake it.
   */
  #refuseRest(): void {
    setImmediate(() => {
      if (!this.#stream.destroyed) this.#stream.close()
    })
  }
}

const exhausted = ({ message }: OverloadedError): StatusError => new StatusError(status.RESOURCE_EXHAUSTED, message)

/** grpc-js has taken the header out of the metadata. */
const encodingOf = (call: ServerInterceptingCallInterface): string =>
  (call as unknown as { incomingEncoding: string }).incomingEncoding

/** A chunk that shares its memory with much else that came from the socket would keep all of that. */
const separate = (chunk: Buffer): Buffer => (2 * chunk.length < chunk.buffer.byteLength ? Buffer.from(chunk) : chunk)

/** As HTTP/2 counts headers (RFC 9113 6.5.2), more or less. */
function sizeOf(metadata: Metadata): number {
  let sizeBytes = 0
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) sizeBytes += name.length + value.length + 32
  }
  return sizeBytes
}
