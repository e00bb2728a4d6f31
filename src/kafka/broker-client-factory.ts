import {
  type CastellanError,
  KafkaError,
  ProtocolError,
  ResponseTooLargeError,
  TimedOutError,
  UnavailableError
} from '../core/errors.js'
import type { BrokerAddress } from '../core/model.js'
import * as client from './broker-client.js'
import { KafkajsConnection } from './broker-connection.js'
import { prepareCompression } from './compression.js'
import { errorCodes } from './error-codes.js'
import { type Api, type ApiVersionRanges, apiVersionsV0, apiVersionsV1 } from './protocol/api.js'
import { ProtocolReader, RequestWriter } from './protocol/encoding.js'
import { metadataV12 } from './protocol/metadata.js'

type VersionRange = { readonly minVersion: number; readonly maxVersion: number }

/** A connection that is ready for calls, and the versions that its broker supports. */
interface Session {
  readonly connection: KafkajsConnection
  readonly ranges: ApiVersionRanges
}

/** Exactly one of the two is called, once. */
interface WaitingCall {
  /** Must not throw. */
  send(session: Session): void
  fail(error: unknown): void
}

/** Creates clients of one cluster. They use connections of kafkajs, and the codecs in protocol/. */
export const createBrokerClientFactory =
  (settings: client.ConnectionSettings): client.BrokerClientFactory =>
  (address, purpose, expectedClusterId) => {
    const sessions = new KafkajsSessions(address, purpose, settings, expectedClusterId)
    return Object.assign(
      sessions,
      apiCalls((api, call) => sessions.call(api, call))
    )
  }

/** One method per call, which passes the call to `exchange`. */
export function apiCalls(
  exchange: <Call extends client.CallTimeLimit, Response extends client.Throttled>(
    api: Api<Call, Response>,
    call: Call
  ) => Promise<Response>
): client.ApiCalls {
  const methods = Object.entries(client.calledApis).map(([name, api]) => [
    name,
    (call: never) => exchange(api as never, call)
  ])
  return Object.fromEntries(methods) as client.ApiCalls
}

/**
 * Keeps one session with a broker. The first call opens a session, and the first call after a loss opens a new session.
 */
class KafkajsSessions {
  readonly address: BrokerAddress
  readonly #purpose: string
  readonly #settings: client.ConnectionSettings
  readonly #expectedClusterId: client.ExpectedClusterId
  #session: Session | undefined
  #connecting: { readonly connection: KafkajsConnection; readonly session: Promise<Session> } | undefined
  /** Calls that wait for a connection or a login. Later calls wait behind them. */
  #waiting: WaitingCall[] = []

  constructor(
    address: BrokerAddress,
    purpose: string,
    settings: client.ConnectionSettings,
    expectedClusterId: client.ExpectedClusterId = () => undefined
  ) {
    this.address = address
    this.#purpose = purpose
    this.#settings = settings
    this.#expectedClusterId = expectedClusterId
  }

  get isConnected(): boolean {
    return this.#session !== undefined
  }

  async connect(): Promise<void> {
    if (this.#session === undefined) await this.#openSession()
  }

  offers(name: client.CallName): boolean {
    const api: { readonly key: number; readonly version: number } = client.calledApis[name]
    const range = this.#session?.ranges.get(api.key)
    const { version } = oldest(client.calledApis[name] as Api<never, client.Throttled>)
    return range !== undefined && version <= range.maxVersion && api.version >= range.minVersion
  }

  async close(): Promise<void> {
    const connection = this.#session?.connection ?? this.#connecting?.connection
    connection?.close(
      new UnavailableError('brokerUnreachable', `the connection to ${this.#name} was closed by Castellan`)
    )
  }

  get #name(): string {
    return `${this.address.host}:${this.address.port}`
  }

  /**
   * Sends at once when the connection is ready; otherwise connects, or logs in again, before it sends. A call that was
   * alone on a connection that is lost before a byte of the call was sent is sent once more, on another connection.
   * Calls that wait are sent in the order in which they came, and before all later ones.
   */
  call<Call extends client.CallTimeLimit, Response extends client.Throttled>(
    api: Api<Call, Response>,
    call: Call
  ): Promise<Response> {
    const session = this.#session
    const onNew = () =>
      new Promise<Response>((resolve, fail) =>
        this.#sendWhenReady({ send: ready => resolve(this.#exchange(ready, api, call)), fail })
      )
    const isReady = this.#waiting.length === 0 && session?.connection.isAuthenticated
    return isReady ? this.#exchange(session!, api, call, onNew) : onNew()
  }

  #sendWhenReady(call: WaitingCall): void {
    if (this.#waiting.push(call) === 1) void this.#sendWaiting()
  }

  async #sendWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      try {
        const session = await this.#readySession()
        // The login may have ended since.
        if (session.connection.isAuthenticated) for (const { send } of this.#waiting.splice(0)) send(session)
      } catch (error) {
        for (const { fail } of this.#waiting.splice(0)) fail(error)
      }
    }
  }

  async #readySession(): Promise<Session> {
    const session = this.#session ?? (await this.#openSession())
    if (!session.connection.isAuthenticated) await session.connection.authenticate(session.ranges)
    return session
  }

  #exchange<Call extends client.CallTimeLimit, Response extends client.Throttled>(
    session: Session,
    api: Api<Call, Response>,
    call: Call,
    sendAgain?: () => Promise<Response>
  ): Promise<Response> {
    const range = session.ranges.get(api.key)
    const spoken = range && newestWithin(api, range, call)
    if (!spoken) return Promise.reject(this.#unsupported(api, range))
    const timeoutMs = call.timeoutMs ?? this.#settings.requestTimeoutMs
    return this.#send(session.connection, spoken, call, timeoutMs, sendAgain)
  }

  #unsupported<Call, Response extends client.Throttled>(
    api: Api<Call, Response>,
    range: VersionRange | undefined
  ): KafkaError {
    const { requirement } = api
    const { version } = requirement === undefined ? oldest(api) : api
    const spoken = range === undefined ? 'does not offer it' : `speaks v${range.minVersion} to v${range.maxVersion}`
    return new KafkaError(
      errorCodes.UNSUPPORTED_VERSION,
      `${api.name} v${version} is needed, but ${this.#name} ${spoken}; ${requirement ?? 'Castellan needs Kafka 2.3'} or later`,
      false
    )
  }

  #openSession(): Promise<Session> {
    this.#connecting ??= this.#startSession()
    return this.#connecting.session
  }

  #startSession() {
    const connection = new KafkajsConnection(this.address, this.#settings, error => this.#onClosed(connection, error))
    const { connectTimeoutMs } = this.#settings
    const timer = setTimeout(() => {
      connection.close(new TimedOutError(`connecting to ${this.#name}`, connectTimeoutMs))
    }, connectTimeoutMs)
    const session = this.#negotiate(connection).finally(() => clearTimeout(timer))
    return { connection, session }
  }

  async #negotiate(connection: KafkajsConnection): Promise<Session> {
    try {
      await Promise.all([connection.open(), prepareCompression()])
      const ranges = await this.#askVersions(connection)
      if (!connection.isAuthenticated) await connection.authenticate(ranges)
      const session = { connection, ranges }
      await this.#checkCluster(session)
      if (!connection.isOpen)
        throw new UnavailableError('brokerUnreachable', `the connection to ${this.#name} was lost`)
      this.#connecting = undefined
      this.#session = session
      this.#settings.log.debug({ broker: this.#name, purpose: this.#purpose }, 'connected to a broker')
      return session
    } catch (error) {
      connection.close(error as CastellanError)
      throw error
    }
  }

  /** Another cluster may have started at the address since the last connection. */
  async #checkCluster(session: Session): Promise<void> {
    const expected = this.#expectedClusterId()
    if (expected === undefined) return
    const timeoutMs = this.#settings.connectTimeoutMs
    const call = { topics: [], allowAutoTopicCreation: false, timeoutMs }
    const { clusterId } = await this.#exchange(session, metadataV12, call)
    if (clusterId === null || clusterId === expected) return
    throw new UnavailableError('brokerUnreachable', `${this.#name} belongs to cluster ${clusterId}, not to ${expected}`)
  }

  async #askVersions(connection: KafkajsConnection): Promise<ApiVersionRanges> {
    const { connectTimeoutMs } = this.#settings
    let response = await this.#send(connection, apiVersionsV1, {}, connectTimeoutMs)
    if (response.errorCode === errorCodes.UNSUPPORTED_VERSION) {
      response = await this.#send(connection, apiVersionsV0, {}, connectTimeoutMs)
    }
    if (response.errorCode !== errorCodes.NONE) {
      throw new ProtocolError(`${this.#name} answers ApiVersions with code ${response.errorCode}`)
    }
    return response.ranges
  }

  /**
   * Sends one call on an open connection. A response that cannot be read closes the connection.
   *
   * @param sendAgain absent: a call is not sent again
   */
  #send<Call, Response extends client.Throttled>(
    connection: KafkajsConnection,
    api: Api<Call, Response>,
    call: Call,
    timeoutMs: number,
    sendAgain?: () => Promise<Response>
  ): Promise<Response> {
    const { clientId } = this.#settings
    return new Promise((resolve, reject) => {
      let memory: Buffer | undefined
      connection.exchange({
        apiName: api.name,
        timeoutMs,
        encode(correlationId) {
          const { key, version, isFlexible } = api
          const writer = new RequestWriter(key, version, correlationId, clientId, isFlexible, connection.spareMemory)
          connection.spareMemory = undefined
          api.encode(writer, call)
          memory = writer.memory
          return writer.finish()
        },
        onPayload(payload) {
          connection.spareMemory = memory
          try {
            const response = decode(api, payload, call)
            const throttleTimeMs = connection.throttle(response.throttleTimeMs)
            resolve(throttleTimeMs === response.throttleTimeMs ? response : { ...response, throttleTimeMs })
          } catch (error) {
            const failure = explain(error, api.name, connection.name)
            reject(failure)
            if (!(failure instanceof ResponseTooLargeError)) connection.close(failure)
          }
        },
        onError: (error, wasLost) => {
          // At once: a call that comes later waits behind this one.
          if (wasLost && sendAgain !== undefined) resolve(sendAgain())
          else reject(error)
        }
      })
    })
  }

  #onClosed(connection: KafkajsConnection, error: CastellanError): void {
    if (this.#session?.connection === connection) this.#session = undefined
    if (this.#connecting?.connection === connection) this.#connecting = undefined
    this.#settings.log.debug(
      { broker: this.#name, purpose: this.#purpose, err: error },
      'connection to a broker closed'
    )
  }
}

/** The newest version that both sides support and that can express the call; `undefined`: there is none. */
function newestWithin<Call, Response extends client.Throttled>(
  api: Api<Call, Response>,
  { minVersion, maxVersion }: VersionRange,
  call: Call
): Api<Call, Response> | undefined {
  for (let candidate: Api<Call, Response> | undefined = api; candidate; candidate = candidate.older) {
    const isSpoken = candidate.version >= minVersion && candidate.version <= maxVersion
    if (isSpoken && (candidate.canExpress?.(call) ?? true)) return candidate
  }
  return undefined
}

const oldest = <Call, Response extends client.Throttled>(api: Api<Call, Response>): Api<Call, Response> =>
  api.older ? oldest(api.older) : api

/** Adds the names of the broker and of the call to an error of decoding. */
function explain(error: unknown, apiName: string, broker: string): CastellanError {
  const what = `broker ${broker}: a ${apiName} response`
  if (error instanceof ResponseTooLargeError) return new ResponseTooLargeError(`${what} is too large: ${error.message}`)
  const why = error instanceof ProtocolError ? `: ${error.message}` : ''
  return new ProtocolError(`${what} cannot be read${why}`, error)
}

/**
 * @throws ProtocolError when the bytes are not a response of this call, ResponseTooLargeError when its lists are too
 *   long
 */
export function decode<Call, Response extends client.Throttled>(
  api: Api<Call, Response>,
  payload: Buffer,
  call: Call
): Response {
  const reader = new ProtocolReader(payload, api.isFlexible, api.asked?.(call))
  reader.tags()
  const response = api.decode(reader, call)
  reader.end()
  return response
}
