import type { BrokerAddress } from '../core/model.js'
import type { ApiCalls } from './api-calls.js'

export * from './calls.js'

/**
 * One connection to one broker, with one method per call; api-calls.ts lists them. A broker answers the calls of one
 * connection in order, one at a time, so a call that must not wait for others needs a client of its own.
 *
 * Every method rejects with UnavailableError (connection refused, lost, authentication failed), TimedOutError (the
 * connection is closed as well, since a late answer cannot be told from the next) or ProtocolError (connection closed).
 * Kafka's error codes are values in the response, per partition; nothing throws for them. A call whose version the
 * broker does not speak rejects with KafkaError 35, one that cannot be expressed (a name beyond 32,767 bytes) with
 * InvalidRequestError; both leave the connection alone. `connect` is idempotent and shared by concurrent callers; every
 * call connects when needed.
 *
 * A broker may ask for a pause (`throttleTimeMs`). The client limits the pause, holds back its own calls for that time, and
 * reports the limited time.
 *
 * Responses may be large: batches of a Fetch own their bytes, everything else is plain data.
 */
export interface BrokerClient extends ApiCalls {
  readonly address: BrokerAddress
  readonly isConnected: boolean
  /** Opens socket, TLS, ApiVersions, SASL. Idempotent; a closed client may be connected again. */
  connect(): Promise<void>
  /** Closes the socket at once; calls in flight reject. Idempotent, never rejects. */
  close(): Promise<void>
}

/** Makes clients; the Router opens several per broker. `purpose` names the connection in logs: `fetch-tail`, `control`, … */
export type BrokerClientFactory = (
  address: BrokerAddress,
  purpose: string,
  expectedClusterId?: ExpectedClusterId
) => BrokerClient

/**
 * The cluster a connection must belong to, asked whenever one is opened: a broker that names another cluster is refused,
 * as if it could not be reached, before anything else is sent. `undefined`: any cluster.
 */
export type ExpectedClusterId = () => string | undefined
