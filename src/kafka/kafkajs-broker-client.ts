import {
  type CastellanError,
  KafkaError,
  ProtocolError,
  ResponseTooLargeError,
  TimedOutError,
  UnavailableError
} from '../core/errors.js'
import type { BrokerAddress } from '../core/model.js'
import { apiCalls } from './api-calls.js'
import type * as client from './broker-client.js'
import { prepareCompression } from './compression.js'
import type { ConnectionSettings } from './connection-options.js'
import { errorCodes } from './error-codes.js'
import { KafkajsConnection } from './kafkajs-connection.js'
import type { Api } from './protocol/api.js'
import { type ApiVersionRanges, apiVersionsV0, apiVersionsV1 } from './protocol/api-versions.js'
import { metadataV12 } from './protocol/metadata.js'
import { RequestWriter } from './protocol/request-writer.js'
import { ResponseReader } from './protocol/response-reader.js'

type VersionRange = { readonly minVersion: number; readonly maxVersion: number }
type Throttled = { readonly throttleTimeMs: number }

/** A connection that is ready for calls, and the versions that its broker supports. */
interface Session {
  readonly connection: KafkajsConnection
  readonly ranges: ApiVersionRanges
}

/** {@link client.BrokerClient} over a connection of kafkajs and codecs of our own; every (re)connect is a new connection. */
export function createKafkajsBrokerClient(...args: ConstructorParameters<typeof KafkajsSessions>): client.BrokerClient {
  const sessions = new KafkajsSessions(...args)
  return Object.assign(
    sessions,
    apiCalls((api, call) => sessions.call(api, call))
  )
}

/** Keeps one session with a broker, opened by the first call and again by the first after it was lost. */
class KafkajsSessions {
  readonly address: BrokerAddress
  readonly #purpose: string
  readonly #settings: ConnectionSettings
  readonly #expectedClusterId: client.ExpectedClusterId
  #session: Session | undefined
  #connecting: { readonly connection: KafkajsConnection; readonly session: Promise<Session> } | undefined

  constructor(
    address: BrokerAddress,
    purpose: string,
    settings: ConnectionSettings,
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

  async close(): Promise<void> {
    const connection = this.#session?.connection ?? this.#connecting?.connection
    connection?.close(
      new UnavailableError('brokerUnreachable', `the connection to ${this.#name} was closed on our side`)
    )
  }

  get #name(): string {
    return `${this.address.host}:${this.address.port}`
  }

  /** Sends at once when the connection is ready. Otherwise it connects, or logs in again, first. */
  call<Call extends client.CallOptions, Response extends Throttled>(
    api: Api<Call, Response>,
    call: Call
  ): Promise<Response> {
    const session = this.#session
    return session?.connection.isAuthenticated
      ? this.#exchange(session, api, call)
      : this.#readySession().then(ready => this.#exchange(ready, api, call))
  }

  async #readySession(): Promise<Session> {
    const session = this.#session ?? (await this.#openSession())
    if (!session.connection.isAuthenticated) await session.connection.authenticate(session.ranges)
    return session
  }

  #exchange<Call extends client.CallOptions, Response extends Throttled>(
    session: Session,
    api: Api<Call, Response>,
    call: Call
  ): Promise<Response> {
    const range = session.ranges.get(api.key)
    const spoken = range && newestWithin(api, range, call)
    if (!spoken) return Promise.reject(this.#unsupported(api, range))
    return send(
      session.connection,
      spoken,
      call,
      call.timeoutMs ?? this.#settings.requestTimeoutMs,
      this.#settings.clientId
    )
  }

  #unsupported<Call, Response extends Throttled>(
    api: Api<Call, Response>,
    range: VersionRange | undefined
  ): KafkaError {
    const { version } = oldest(api)
    const spoken = range === undefined ? 'does not offer it' : `speaks v${range.minVersion} to v${range.maxVersion}`
    return new KafkaError(
      errorCodes.UNSUPPORTED_VERSION,
      `${api.name} v${version} is needed, but ${this.#name} ${spoken}; Castellan needs Kafka 2.3 or later`,
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

  /** Since the last connection, another cluster may have come up behind the address. */
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
    const { connectTimeoutMs, clientId } = this.#settings
    let response = await send(connection, apiVersionsV1, {}, connectTimeoutMs, clientId)
    if (response.errorCode === errorCodes.UNSUPPORTED_VERSION) {
      response = await send(connection, apiVersionsV0, {}, connectTimeoutMs, clientId)
    }
    if (response.errorCode !== errorCodes.NONE) {
      throw new ProtocolError(`${this.#name} answers ApiVersions with code ${response.errorCode}`)
    }
    return response.ranges
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

/** The newest version that both sides know and that can express the call; `undefined`: none. */
function newestWithin<Call, Response extends Throttled>(
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

const oldest = <Call, Response extends Throttled>(api: Api<Call, Response>): Api<Call, Response> =>
  api.older ? oldest(api.older) : api

/** One call on an open connection. A response that cannot be read closes the connection. */
function send<Call, Response extends Throttled>(
  connection: KafkajsConnection,
  api: Api<Call, Response>,
  call: Call,
  timeoutMs: number,
  clientId: string
): Promise<Response> {
  return new Promise((resolve, reject) => {
    connection.exchange({
      apiName: api.name,
      timeoutMs,
      encode(correlationId) {
        const writer = new RequestWriter(api.key, api.version, correlationId, clientId, api.isFlexible)
        api.encode(writer, call)
        return writer.finish()
      },
      onPayload(payload) {
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
      onError: reject
    })
  })
}

/** Adds the name of the broker. */
function explain(error: unknown, apiName: string, broker: string): CastellanError {
  const what = `broker ${broker}: a ${apiName} response`
  if (error instanceof ResponseTooLargeError) return new ResponseTooLargeError(`${what} is too large: ${error.message}`)
  const why = error instanceof ProtocolError ? `: ${error.message}` : ''
  return new ProtocolError(`${what} cannot be read${why}`, error)
}

/** @throws ProtocolError when the bytes are no such response, ResponseTooLargeError when it holds too much */
export function decode<Call, Response extends Throttled>(
  api: Api<Call, Response>,
  payload: Buffer,
  call: Call
): Response {
  const reader = new ResponseReader(payload)
  if (api.isFlexible) reader.skipTags()
  const response = api.decode(reader, call)
  reader.end()
  return response
}
