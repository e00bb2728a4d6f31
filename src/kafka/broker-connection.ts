import type { Socket } from 'node:net'
import type { KafkajsLogger, KafkajsRequestQueue } from 'kafkajs/src/network/connection.js'
import Connection from 'kafkajs/src/network/connection.js'
import { type CastellanError, ProtocolError, TimedOutError, UnavailableError } from '../core/errors.js'
import type { BrokerAddress } from '../core/model.js'
import { asError } from '../core/node-errors.js'
import { type ConnectionSettings, DEFAULT_MAX_RESPONSE_BYTES, DEFAULT_MAX_THROTTLE_MS } from './broker-client.js'
import { connectionLost, connectionRefused, speaksAnotherProtocol } from './connection-trouble.js'
import type { ApiVersionRanges } from './protocol/api.js'
import { toKafkajsSasl } from './sasl.js'
import { ForeignProtocolError, FrameReader, openSocket, resetSocket } from './socket.js'

/** A request in flight. Exactly one of `onPayload` and `onError` is called, once. */
interface OutgoingRequest {
  readonly correlationId: number
  /** Kafka's name of the call, for example `Fetch`, for error messages. */
  readonly apiName: string
  readonly timeoutMs: number
  /** Returns false when the connection has failed before the operating system took a byte of the request. */
  write(): boolean
  /** Gets the response without its correlation id. The bytes are valid during the call only. Must not throw. */
  onPayload(payload: Buffer): void
  /**
   * @param wasLost true: the connection was lost before a byte of the request was sent, and no other request was in
   * flight, so that the request may be sent again without overtaking another one
   */
  onError(error: Error, wasLost: boolean): void
}
interface SentRequest {
  readonly request: OutgoingRequest
  readonly timer: NodeJS.Timeout
  isWritten: boolean
}

/**
 * The requests of one connection. Kafka answers in order, so an answer belongs to the oldest request in flight. An
 * answer with another correlation id breaks the connection.
 *
 * Each request has a timer, which starts when the request is sent. A request that times out breaks the connection,
 * because a late answer could be taken for the answer to the next request. While the broker throttles the client
 * (KIP-219), requests wait unsent.
 */
export class InFlightRequests {
  readonly #breakConnection: (error: CastellanError) => void
  #inFlight: SentRequest[] = []
  #throttled: OutgoingRequest[] = []
  #throttleTimer: NodeJS.Timeout | undefined
  #throttledUntil = 0

  /** @param breakConnection closes the connection and calls `failAll` */
  constructor(breakConnection: (error: CastellanError) => void) {
    this.#breakConnection = breakConnection
  }

  /** Number of requests that have no answer yet. */
  get count(): number {
    return this.#inFlight.length + this.#throttled.length
  }

  send(request: OutgoingRequest): void {
    if (this.#throttleTimer !== undefined) this.#throttled.push(request)
    else this.#write(request)
  }

  /** @throws ProtocolError when the answer is not for the oldest request */
  answer(correlationId: number, payload: Buffer): void {
    const oldest = this.#inFlight[0]
    if (oldest?.request.correlationId !== correlationId) {
      const expected = oldest === undefined ? 'none' : oldest.request.correlationId
      throw new ProtocolError(`a response has correlation id ${correlationId}, expected ${expected}`)
    }
    this.#inFlight.shift()
    clearTimeout(oldest.timer)
    oldest.request.onPayload(payload)
  }

  /** Holds back requests for this time. When pauses overlap, the latest end counts. */
  throttle(durationMs: number): void {
    const until = performance.now() + durationMs
    if (durationMs <= 0 || until <= this.#throttledUntil) return
    this.#throttledUntil = until
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = setTimeout(() => {
      this.#throttleTimer = undefined
      for (const request of this.#throttled.splice(0)) this.#write(request)
    }, durationMs)
  }

  /** @param isLost the broker or the network has ended the connection */
  failAll(error: Error, isLost = false): void {
    clearTimeout(this.#throttleTimer)
    this.#throttleTimer = undefined
    const wasLost = isLost && this.count === 1 && this.#inFlight[0]?.isWritten !== true
    const sent = this.#inFlight.splice(0)
    for (const { timer } of sent) clearTimeout(timer)
    const all = [...sent.map(({ request }) => request), ...this.#throttled.splice(0)]
    for (const request of all) request.onError(error, wasLost)
  }

  #write(request: OutgoingRequest): void {
    const timer = setTimeout(() => this.#onTimeout(sent), request.timeoutMs)
    const sent: SentRequest = { request, timer, isWritten: true }
    this.#inFlight.push(sent)
    sent.isWritten = request.write()
  }

  /** Lets Node read the socket first, because the answer may have arrived while the event loop was blocked. */
  #onTimeout(sent: SentRequest): void {
    setImmediate(() => {
      if (!this.#inFlight.includes(sent)) return
      const { apiName, timeoutMs } = sent.request
      this.#breakConnection(new TimedOutError(apiName, timeoutMs))
    })
  }
}

/** A session is renewed with the first request after this share of its lifetime, as Kafka's own clients do. */
const RENEWED_AT_SHARE_OF_SESSION = 0.85
/** Brokers take no further login so soon after the last one (KIP-368). */
const BETWEEN_LOGINS_MS = 1_000
const CORRELATION_ID_BYTES = 4
const SASL_AUTHENTICATE = 36

/** A request to send; see {@link InFlightRequests}. */
export interface CallInFlight extends Omit<OutgoingRequest, 'correlationId' | 'write'> {
  /**
   * Returns the whole request in pieces. The pieces must not change until the answer arrives. Called once, without
   * delay.
   */
  encode(correlationId: number): readonly Buffer[]
}

/** Drops the log of kafkajs, because kafkajs also throws every failure that it logs. */
const silent: KafkajsLogger = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} }

/**
 * One socket, from opening to closing. The Connection of kafkajs logs in, and logs in again when the login expires.
 * Three parts of kafkajs are replaced, for these reasons:
 * - its request queue wakes a thousand times a second, keeps a connection whose answer is overdue, and does not check
 *   the order of answers
 * - its framing trusts every length
 * - its socket uses Nagle's algorithm
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
  /** When the login has to be renewed, by the monotonic clock. */
  #loginEndsAt = Number.NEGATIVE_INFINITY
  #login: Promise<void> | undefined
  #answers = 0
  #closedBy: CastellanError | undefined
  #isLost = false
  #failStep: ((error: CastellanError) => void) | undefined
  /** The memory of an answered request, which the broker has read, for the next one. */
  spareMemory: Buffer | undefined

  /** @param onClosed called once, with the reason, when the connection is closed */
  constructor(address: BrokerAddress, settings: ConnectionSettings, onClosed: (error: CastellanError) => void) {
    this.#address = address
    // TLS and login may change for later connections.
    this.#settings = { ...settings }
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
      // The broker client has a timer for all steps of connecting, which fires before this timer.
      connectionTimeout: settings.connectTimeoutMs + 1000,
      enforceRequestTimeout: false,
      // When a session is renewed is decided here.
      reauthenticationThreshold: Number.MAX_SAFE_INTEGER,
      ssl: settings.tls ?? null,
      sasl: this.#settings.sasl === undefined ? null : toKafkajsSasl(this.#settings.sasl),
      socketFactory: ({ onConnect }) => this.#openSocket(onConnect)
    })
    this.#connection.requestQueue = this.#queueForKafkajs()
  }

  get isOpen(): boolean {
    return this.#closedBy === undefined
  }

  /** False: the caller must await `authenticate` before the next request. */
  get isAuthenticated(): boolean {
    return this.#settings.sasl === undefined || performance.now() < this.#loginEndsAt
  }

  /** Opens the socket, with TLS if set. Called once. Any failure closes the connection. */
  open(): Promise<void> {
    return this.#orClose(this.#connection.connect(), error => this.#unreachable(error))
  }

  /**
   * Logs in, or logs in again. Concurrent callers share one login, and send nothing before it is over. Any failure closes the
   * connection.
   */
  authenticate(ranges: ApiVersionRanges): Promise<void> {
    if (this.isAuthenticated) return Promise.resolve()
    this.#login ??= this.#logIn(ranges).finally(() => (this.#login = undefined))
    return this.#login
  }

  #logIn(ranges: ApiVersionRanges): Promise<void> {
    this.#connection.setVersions(Object.fromEntries(ranges))
    this.#connection.setSupportAuthenticationProtocol(ranges.has(SASL_AUTHENTICATE))
    // The session of a broker began before its answer, which may have come late.
    const startedAt = performance.now()
    const done = this.#connection.authenticate().then(() => {
      const lifetimeMs = this.#connection.sessionLifetime.toNumber() || Number.POSITIVE_INFINITY
      const renewAt = startedAt + lifetimeMs * RENEWED_AT_SHARE_OF_SESSION
      this.#loginEndsAt = Math.max(renewAt, performance.now() + BETWEEN_LOGINS_MS)
    })
    return this.#orClose(done, error => this.#refusal(error))
  }

  /** Sends the request; a closed connection fails it at once. */
  exchange({ apiName, timeoutMs, encode, onPayload, onError }: CallInFlight): void {
    if (this.#closedBy !== undefined) {
      onError(this.#closedBy, this.#isLost)
      return
    }
    const correlationId = this.#connection.nextCorrelationId()
    const pieces = encode(correlationId)
    this.#requests.send({ correlationId, apiName, timeoutMs, onPayload, onError, write: () => this.#write(pieces) })
  }

  /** Holds back requests for the time that the broker asks for, within a limit. Returns the length of the pause. */
  throttle(wantedMs: number): number {
    const durationMs = Math.min(wantedMs, this.#settings.maxThrottleMs ?? DEFAULT_MAX_THROTTLE_MS)
    this.#requests.throttle(durationMs)
    return durationMs
  }

  /**
   * Closes the socket at once and fails every request in flight. Only the first call has an effect.
   *
   * @param isLost the broker or the network has ended the connection
   */
  close(error: CastellanError, isLost = false): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = error
    this.#isLost = isLost
    if (this.#socket !== undefined) this.#closeSocket(this.#socket, error)
    void this.#connection.disconnect()
    this.#failStep?.(error)
    // Before its requests fail: they may be sent again at once, on another connection.
    this.#onClosed(error)
    this.#requests.failAll(error, isLost)
  }

  /** `host:port` */
  get name(): string {
    return `${this.#address.host}:${this.#address.port}`
  }

  #openSocket(onConnect: () => void): Socket {
    const reader = { space: () => this.#reader.space(), received: (bytes: number) => this.#received(bytes) }
    const socket = openSocket(this.#address, this.#settings.tls, reader, () => {
      this.#isConnected = true
      onConnect()
    })
    this.#socket = socket
    socket.on('error', error => this.close(this.#unreachable(error), true))
    socket.on('close', () => this.close(this.#lost(), true))
    socket.on('end', () => this.close(this.#lost(), true))
    return socket
  }

  /** Destroys the socket with an error, because kafkajs clears its connect timer only after an error. */
  #closeSocket(socket: Socket, error: CastellanError): void {
    if (this.#requests.count > 0) resetSocket(socket, error)
    else socket.destroy(error)
  }

  #received(bytes: number): void {
    if (this.#closedBy !== undefined) return
    try {
      this.#reader.received(bytes)
    } catch (error) {
      this.close(this.#unreadable(error))
    }
  }

  #unreadable(error: unknown): CastellanError {
    if (error instanceof ForeignProtocolError) return speaksAnotherProtocol(this.name, error)
    const why = error instanceof ProtocolError ? error.message : 'a response cannot be read'
    return new ProtocolError(`broker ${this.name}: ${why}`, error)
  }

  #onFrame(frame: Buffer): void {
    if (this.#closedBy !== undefined) return
    this.#answers++
    this.#requests.answer(frame.readInt32BE(0), frame.subarray(CORRELATION_ID_BYTES))
  }

  /**
   * Node tells at once when the operating system takes no byte, as of a connection that was reset. Any other failure it
   * tells later.
   */
  #write(pieces: readonly Buffer[]): boolean {
    const socket = this.#socket!
    if (pieces.length > 1) socket.cork()
    for (const piece of pieces) socket.write(piece)
    if (pieces.length > 1) socket.uncork()
    return socket.errored === null && !socket.destroyed
  }

  /** Settles as `step` does, but rejects when the connection is closed first. kafkajs does not always notice this. */
  #orClose(step: Promise<unknown>, explain: (error: Error) => CastellanError): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closedBy !== undefined) return reject(this.#closedBy)
      this.#failStep = reject
      step.then(
        () => resolve(),
        (error: unknown) => {
          this.close(explain(asError(error)))
          reject(this.#closedBy)
        }
      )
    })
  }

  /** The queue for the requests of kafkajs itself: SaslHandshake, SaslAuthenticate. */
  #queueForKafkajs(): KafkajsRequestQueue {
    return {
      push: ({ entry, sendRequest }) => {
        if (this.#closedBy !== undefined) return entry.reject(this.#closedBy)
        this.#requests.send({
          correlationId: entry.correlationId,
          apiName: entry.apiName,
          timeoutMs: this.#settings.requestTimeoutMs,
          write: () => {
            sendRequest()
            return true
          },
          // kafkajs decodes later, when the bytes are no longer valid.
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
    const { tls } = this.#settings
    return connectionRefused(this.name, error, tls !== undefined, tls?.ca !== undefined)
  }

  #refusal(error: Error): CastellanError {
    if (error instanceof TimedOutError || error instanceof ProtocolError) return error
    // The error comes from a step before the login, and names its cause already.
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
