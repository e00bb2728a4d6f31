import type { ConnectionOptions } from 'node:tls'
import type { BrokerAddress, Logger } from '../core/model.js'
import { describeAclsV1 } from './protocol/acls.js'
import * as administration from './protocol/administration.js'
import type { Api } from './protocol/api.js'
import { fetchV13 } from './protocol/fetch.js'
import * as groups from './protocol/groups.js'
import { metadataV12 } from './protocol/metadata.js'
import { listOffsetsV4, offsetCommitV7, offsetFetchV7, offsetForLeaderEpochV3 } from './protocol/offsets.js'
import { initProducerIdV1, produceV8 } from './protocol/produce.js'
import * as share from './protocol/share.js'
import * as transactions from './protocol/transactions.js'

export * from './calls.js'
export type { FindCoordinatorResponse, ListGroupsResponse } from './protocol/groups.js'
export type * from './protocol/offsets.js'
export { EARLIEST_TIMESTAMP, LATEST_TIMESTAMP } from './protocol/offsets.js'
export type { AddPartitionsToTxnResponse, TxnOffsetCommitResponse } from './protocol/transactions.js'

/**
 * One connection to one broker, with one method per call; {@link calledApis} lists them. A broker answers the calls of a
 * connection one after another, so a call that must not wait for others needs a client of its own. A call connects
 * first when there is no connection.
 *
 * A call rejects with
 * - UnavailableError: the connection was refused or lost, or authentication failed
 * - TimedOutError: no answer came in time. The connection is then closed, because a late answer could be taken for the
 *   answer to the next call
 * - ProtocolError: the answer cannot be read. The connection is then closed
 * - KafkaError 35: the broker does not support any version of the call that Castellan knows
 * - InvalidRequestError: the call cannot be expressed, for example a name beyond 32,767 bytes
 *
 * Kafka's error codes are values in the response, per partition; no call rejects because of them. A broker may ask for a pause
 * (`throttleTimeMs`). The client limits this pause, holds back its own calls meanwhile, and reports the limited pause.
 */
export interface BrokerClient extends ApiCalls {
  readonly address: BrokerAddress
  readonly isConnected: boolean
  /** Opens the socket, asks for the versions, and authenticates. Idempotent; a closed client may be connected again. */
  connect(): Promise<void>
  /** Whether the broker offers a call, in a version that Castellan knows. False without a connection. */
  offers(name: CallName): boolean
  /** Closes the socket at once; calls in flight reject. Idempotent, never rejects. */
  close(): Promise<void>
}

/**
 * Creates a client, which connects at its first call. `purpose` names the client in logs: `fetch-tail`, `control`, …
 */
export type BrokerClientFactory = (
  address: BrokerAddress,
  purpose: string,
  expectedClusterId?: ExpectedClusterId
) => BrokerClient

/**
 * The id of the cluster that a new connection must belong to; `undefined`: any cluster. A broker of another cluster counts as
 * unreachable, and no call is sent to it.
 */
export type ExpectedClusterId = () => string | undefined

export type SaslOptions =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
      readonly username: string
      readonly password: string
    }
  | {
      readonly mechanism: 'oauthbearer'
      /** If this is a function, every authentication calls it, so it can renew the token. */
      readonly token: string | (() => Promise<string>)
      /** Called with a token that a broker has refused. */
      readonly refused?: ((token: string) => void) | undefined
    }

/** The same, as other clients of Kafka write it, too: with the name of the mechanism in capitals. */
export type GivenSaslOptions<Options extends SaslOptions = SaslOptions> = Options extends SaslOptions
  ? Omit<Options, 'mechanism'> & { readonly mechanism: Options['mechanism'] | Uppercase<Options['mechanism']> }
  : never

export interface ConnectionSettings {
  /** The client id in the logs and quotas of brokers. */
  readonly clientId: string
  /** Time limit for an answer, unless the call has one of its own. */
  readonly requestTimeoutMs: number
  /** Time limit for socket, TLS, ApiVersions and authentication together. */
  readonly connectTimeoutMs: number
  /** Options for `tls.connect`. The server name is the broker's host by default. Absent: no TLS. */
  readonly tls?: ConnectionOptions | undefined
  readonly sasl?: SaslOptions | undefined
  /** Limit of a response. A response that claims more bytes closes its connection. Default: 100 MiB. */
  readonly maxResponseBytes?: number | undefined
  /** The longest pause that a broker may ask for (KIP-219). A longer pause is shortened. Default: 10 s. */
  readonly maxThrottleMs?: number | undefined
  readonly log: Logger
}

export const DEFAULT_MAX_THROTTLE_MS = 10_000
export const DEFAULT_MAX_RESPONSE_BYTES = 100 * 1024 * 1024

/** All calls, each in its newest version. To add a call, write its codec in protocol/ and a line here. */
export const calledApis = {
  metadata: metadataV12,
  produce: produceV8,
  fetch: fetchV13,
  listOffsets: listOffsetsV4,
  offsetForLeaderEpoch: offsetForLeaderEpochV3,
  findCoordinator: groups.findCoordinatorV2,
  offsetCommit: offsetCommitV7,
  offsetFetch: offsetFetchV7,
  joinGroup: groups.joinGroupV5,
  syncGroup: groups.syncGroupV3,
  heartbeat: groups.heartbeatV3,
  leaveGroup: groups.leaveGroupV3,
  describeGroups: groups.describeGroupsV4,
  describeConsumerGroups: groups.describeConsumerGroupsV1,
  listGroups: groups.listGroupsV4,
  shareGroupHeartbeat: share.shareGroupHeartbeatV1,
  shareGroupDescribe: share.shareGroupDescribeV1,
  shareFetch: share.shareFetchV2,
  shareAcknowledge: share.shareAcknowledgeV2,
  describeShareGroupOffsets: share.describeShareGroupOffsetsV1,
  alterShareGroupOffsets: share.alterShareGroupOffsetsV0,
  deleteShareGroupOffsets: share.deleteShareGroupOffsetsV0,
  initProducerId: initProducerIdV1,
  initTransactionalId: transactions.initProducerIdV4,
  addPartitionsToTxn: transactions.addPartitionsToTxnV3,
  addOffsetsToTxn: transactions.addOffsetsToTxnV3,
  endTxn: transactions.endTxnV3,
  txnOffsetCommit: transactions.txnOffsetCommitV3,
  describeConfigs: administration.describeConfigsV2,
  alterConfigs: administration.incrementalAlterConfigsV0,
  describeAcls: describeAclsV1,
  createTopics: administration.createTopicsV4,
  deleteTopics: administration.deleteTopicsV6,
  createPartitions: administration.createPartitionsV1,
  deleteRecords: administration.deleteRecordsV1,
  deleteGroups: administration.deleteGroupsV1
} as const

export type CallName = keyof typeof calledApis

export type ApiCalls = {
  readonly [Name in CallName]: (typeof calledApis)[Name] extends Api<infer Call, infer Response>
    ? (call: Call) => Promise<Response>
    : never
}
