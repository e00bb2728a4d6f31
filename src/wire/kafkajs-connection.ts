import type { Socket } from 'node:net'
import Connection, { type KafkajsLogger, type KafkajsRequestQueue } from 'kafkajs/src/network/connection.js'
import { CastellanError, ProtocolError, TimedOutError, UnavailableError } from '../errors.js'
import type { BrokerAddress } from '../model.js'
import { type ConnectionSettings, DEFAULT_MAX_RESPONSE_BYTES, DEFAULT_MAX_THROTTLE_MS } from './connection-options.js'
import { connectionLost, connectionRefused } from './connection-trouble.js'
import { FrameReader } from './frame-reader.js'
import { InFlightRequests } from './in-flight-requests.js'
import { openSocket } from './open-socket.js'
import type { ApiVersionRanges } from './protocol/api-versions.js'
import { toKafkajsSasl } from './sasl.js'

const CORRELATION_ID_BYTES = 4
const SASL_AUTHENTICATE = 36

/** A request to send; see {@link InFlightRequests}. */
export interface Exchange {
  readonly apiName: string
  readonly timeoutMs: number
  /** The whole request in pieces. Called at once; they must stay as they are until the answer. */
  encode(correlationId: number): readonly Buffer[]
  onPayload(payload: Buffer): void
  onError(error: Error): void
}

/** kafkajs says a lot; what matters comes out as errors. */
const silent: KafkajsLogger = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }

/**
 * One socket, from opening to closing: kafkajs' Connection, which logs in and logs in again when a session ends, with
 * three of its organs replaced. Its request queue wakes a thousand times a second, keeps a connection whose answer is
 * overdue and never looks at the order of answers; its framing trusts every length; its socket waits for Nagle.
 */
export class KafkajsConnection {
  readonly #address: BrokerAddress
  readonly #settings: ConnectionSettings
  readonly #onClosed: (error: CastellanError) => void
  readonly #connection: Connection
  readonly #requests: InFlightRequests
  readonly #reader: FrameReader
  #socket: Socket | undefined
  #isConnected = false
  #answers = 0
  #closedBy: CastellanError | undefined
  #failStep: ((error: CastellanError) => void) | undefined

  /** @param onClosed called once, with the reason, when the connection is of no more use */
  constructor(address: BrokerAddress, settings: ConnectionSettings, onClosed: (error: CastellanError) => void) {
    this.#address = address
    this.#settings = settings
    this.#onClosed = onClosed
    this.#requests = new InFlightRequests(error => this.close(error))
    this.#reader = new FrameReader(settings.maxResponseBytes ?? DEFAULT_MAX_RESPONSE_BYTES, frame =>
      this.#onFrame(frame)
    )
    this.#connection = new Connection({
      host: address.host,
      port: address.port,
      clientId: settings.clientId,
      logger: silent,
      requestTimeout: settings.requestTimeoutMs,
      // The client has a timer for the whole of connecting, which comes first.
      connectionTimeout: settings.connectTimeoutMs + 1000,
      enforceRequestTimeout: false,
      ssl: settings.tls ?? null,
      sasl: settings.sasl === undefined ? null : toKafkajsSasl(settings.sasl),
      socketFactory: ({ onConnect }) => this.#openSocket(onConnect)
    })
    this.#connection.requestQueue = this.#queueForKafkajs()
  }

  get isOpen(): boolean {
    return this.#closedBy === undefined
  }

  /** False: `authenticate` has to be awaited before the next request. */
  get isAuthenticated(): boolean {
    return this.#settings.sasl === undefined || this.#connection.isAuthenticated()
  }

  /** Opens the socket, and TLS. Once. Any failure closes the connection. */
  open(): Promise<void> {
    return this.#orClose(this.#connection.connect(), error => this.#unreachable(error))
  }

  /** Logs in, or in again; shared by concurrent callers. Any failure closes the connection. */
  authenticate(ranges: ApiVersionRanges): Promise<void> {
    this.#connection.setVersions(Object.fromEntries(ranges))
    this.#connection.setSupportAuthenticationProtocol(ranges.has(SASL_AUTHENTICATE))
    return this.#orClose(this.#connection.authenticate(), error => this.#refusal(error))
  }

  /** Sends at once, on an open connection; a closed one fails the request at once. */
  exchange({ apiName, timeoutMs, encode, onPayload, onError }: Exchange): void {
    if (this.#closedBy !== undefined) {
      onError(this.#closedBy)
      return
    }
    const correlationId = this.#connection.nextCorrelationId()
    const pieces = encode(correlationId)
    this.#requests.send({ correlationId, apiName, timeoutMs, onPayload, onError, write: () => this.#write(pieces) })
  }

  /** Nothing is sent for so long, the broker's wish; gives how much of it is granted. */
  throttle(wantedMs: number): number {
    const durationMs = Math.min(wantedMs, this.#settings.maxThrottleMs ?? DEFAULT_MAX_THROTTLE_MS)
    this.#requests.throttle(durationMs)
    return durationMs
  }

  /** Closes the socket at once; every request in flight gets the error. Only the first reason counts. */
  close(error: CastellanError): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = error
    // With an error, since only then kafkajs forgets its own connect timer.
    this.#socket?.destroy(error)
    void this.#connection.disconnect()
    this.#failStep?.(error)
    this.#requests.failAll(error)
    this.#onClosed(error)
  }

  /** `host:port` */
  get name(): string {
    return `${this.#address.host}:${this.#address.port}`
  }

  #openSocket(onConnect: () => void): Socket {
    const reader = { room: () => this.#reader.room(), received: (bytes: number) => this.#received(bytes) }
    const socket = openSocket(this.#address, this.#settings.tls, reader, () => {
      this.#isConnected = true
      onConnect()
    })
    this.#socket = socket
    socket.on('error', error => this.close(this.#unreachable(error)))
    socket.on('close', () => this.close(this.#lost()))
    socket.on('end', () => this.close(this.#lost()))
    return socket
  }

  #received(bytes: number): void {
    if (this.#closedBy !== undefined) return
    try {
      this.#reader.received(bytes)
    } catch (error) {
      this.close(error instanceof CastellanError ? error : new ProtocolError('a response cannot be read', error))
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.#closedBy !== undefined) return
    this.#answers++
    this.#requests.answer(frame.readInt32BE(0), frame.subarray(CORRELATION_ID_BYTES))
  }

  #write(pieces: readonly Buffer[]): void {
    const socket = this.#socket!
    if (pieces.length > 1) socket.cork()
    for (const piece of pieces) socket.write(piece)
    if (pieces.length > 1) socket.uncork()
  }

  /** Settles with `step`, or when the connection is closed meanwhile, which kafkajs does not always notice. */
  #orClose(step: Promise<unknown>, explain: (error: Error) => CastellanError): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== undefined) return reject(this.#closedBy)
      this.#failStep = reject
      step.then(
        () => resolve(),
        (error: Error) => {
          this.close(explain(error))
          reject(this.#closedBy)
        }
      )
    })
  }

  /** The queue as kafkajs' own requests (SaslHandshake, SaslAuthenticate) see it. */
  #queueForKafkajs(): KafkajsRequestQueue {
    return {
      push: ({ entry, sendRequest }) => {
        if (this.#closedBy !== undefined) return entry.reject(this.#closedBy)
        this.#requests.send({
          correlationId: entry.correlationId,
          apiName: entry.apiName,
          timeoutMs: this.#settings.requestTimeoutMs,
          write: sendRequest,
          // kafkajs decodes later, when the bytes are no longer ours.
          onPayload: payload =>
            entry.resolve({
              correlationId: entry.correlationId,
              entry,
              size: payload.length,
              payload: Buffer.from(payload)
            }),
          onError: error => entry.reject(error)
        })
      },
      rejectAll: () => {},
      maybeThrottle: throttleTimeMs => void this.throttle(throttleTimeMs ?? 0),
      waitForPendingRequests: () => Promise.resolve(),
      scheduleRequestTimeoutCheck: () => {},
      destroy: () => {}
    }
  }

  #lost(): UnavailableError {
    return connectionLost(this.name, {
      isConnected: this.#isConnected,
      answers: this.#answers,
      isWaiting: this.#requests.count > 0,
      isTls: this.#settings.tls !== undefined,
      hasLogin: this.#settings.sasl !== undefined
    })
  }

  #unreachable(error: Error): UnavailableError {
    return connectionRefused(this.name, error, this.#settings.tls !== undefined)
  }

  #refusal(error: Error): CastellanError {
    if (error instanceof TimedOutError || error instanceof ProtocolError) return error
    // It says itself what went wrong before the broker was asked.
    if (error instanceof UnavailableError && error.brief !== undefined) return error
    const mechanism = this.#settings.sasl?.mechanism
    return new UnavailableError(
      'authenticationFailed',
      `${this.name} refuses the ${mechanism} login: ${error.message}`,
      error,
      `the broker refuses the ${mechanism} login`
    )
  }
}
