/**
 * Types of the internals of kafkajs that broker-connection.ts uses. Its version is pinned to 2.2.4.
 * test/kafka/kafkajs-internals.test.ts compares the types with the package.
 */
declare module 'kafkajs/src/network/connection.js' {
  import type { Socket } from 'node:net'

  interface KafkajsLogger {
    namespace(name: string): KafkajsLogger
    debug(message: string, extra?: object): void
    info(message: string, extra?: object): void
    warn(message: string, extra?: object): void
    error(message: string, extra?: object): void
  }
  /** A request of kafkajs itself (SaslHandshake, SaslAuthenticate), to be queued. */
  interface KafkajsQueuedRequest {
    readonly entry: {
      readonly correlationId: number
      readonly apiName: string
      resolve(answer: { correlationId: number; entry: unknown; size: number; payload: Buffer }): void
      reject(error: Error): void
    }
    sendRequest(): void
  }
  /** The methods of the queue that a connection calls. */
  interface KafkajsRequestQueue {
    push(request: KafkajsQueuedRequest): void
    rejectAll(error: Error): void
    maybeThrottle(throttleTimeMs: number | null | undefined): void
    waitForPendingRequests(): Promise<void>
    scheduleRequestTimeoutCheck(): void
    destroy(): void
  }
  /** A SASL message in the form of kafkajs. */
  interface SaslMessage<Answer> {
    readonly request: { encode(): Promise<Buffer> | Buffer }
    readonly response: {
      decode(bytes: Buffer): Promise<Buffer> | Buffer
      parse(bytes: Buffer): Promise<Answer> | Answer
    }
  }
  type SaslAuthenticationProvider = (args: {
    saslAuthenticate<Answer>(message: SaslMessage<Answer>): Promise<Answer>
  }) => { authenticate(): Promise<void> }
  interface KafkajsSasl {
    readonly mechanism: string
    readonly username?: string
    readonly password?: string
    /** kafkajs sets it for its own mechanisms. */
    authenticationProvider?: SaslAuthenticationProvider
  }

  export default class Connection {
    constructor(options: {
      host: string
      port: number
      clientId: string
      logger: KafkajsLogger
      requestTimeout: number
      connectionTimeout: number
      enforceRequestTimeout: boolean
      reauthenticationThreshold: number
      ssl: object | null
      sasl: KafkajsSasl | null
      socketFactory(args: { host: string; port: number; ssl: object | null; onConnect: () => void }): Socket
    })
    requestQueue: KafkajsRequestQueue
    connect(): Promise<boolean>
    disconnect(): Promise<boolean>
    /** Milliseconds since the login, as the broker has told; 0: it does not end. */
    readonly sessionLifetime: { toNumber(): number }
    authenticate(): Promise<void>
    setVersions(versions: Record<number, { minVersion: number; maxVersion: number }>): void
    setSupportAuthenticationProtocol(isSupported: boolean): void
    nextCorrelationId(): number
  }
}
declare module 'snappyjs' {
  const snappy: { compress(bytes: Buffer): Buffer }
  export default snappy
}
