/**
 * The internals of kafkajs 2.2.4 (pinned exactly) that kafkajs-connection.ts stands on. test/kafka/kafkajs-internals.test.ts
 * holds them against the package.
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
  /** One request of its own (SaslHandshake, SaslAuthenticate) on its way to the queue. */
  interface KafkajsQueuedRequest {
    readonly entry: {
      readonly correlationId: number
      readonly apiName: string
      resolve(answer: { correlationId: number; entry: unknown; size: number; payload: Buffer }): void
      reject(error: Error): void
    }
    sendRequest(): void
  }
  /** What a connection asks of its queue. */
  interface KafkajsRequestQueue {
    push(request: KafkajsQueuedRequest): void
    rejectAll(error: Error): void
    maybeThrottle(throttleTimeMs: number | null | undefined): void
    waitForPendingRequests(): Promise<void>
    scheduleRequestTimeoutCheck(): void
    destroy(): void
  }
  /** The two halves of a SASL message, in kafkajs' form. */
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
    /** Set by kafkajs itself for the mechanisms it knows. */
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
      ssl: object | null
      sasl: KafkajsSasl | null
      socketFactory(args: { host: string; port: number; ssl: object | null; onConnect: () => void }): Socket
    })
    requestQueue: KafkajsRequestQueue
    connect(): Promise<boolean>
    disconnect(): Promise<boolean>
    isConnected(): boolean
    isAuthenticated(): boolean
    authenticate(): Promise<void>
    setVersions(versions: Record<number, { minVersion: number; maxVersion: number }>): void
    setSupportAuthenticationProtocol(isSupported: boolean): void
    nextCorrelationId(): number
  }
}
