export interface KafkaErrorCode {
  readonly code: number
  /** Kafka's name of the code, for example `NOT_LEADER_OR_FOLLOWER`. */
  readonly name: string
  /** The same request may succeed later. */
  readonly retriable: boolean
  /** Name, code and likely cause, for logs and errors. */
  readonly message: string
}

type Reaction = 'final' | 'retry'

/**
 * Code, name, reaction, and likely cause. The reactions are those of the Java client with three exceptions: -1, because the broker
 * may recover, and 41 and 129, because fresh metadata helps.
 * Source: org.apache.kafka.common.protocol.Errors of kafka-clients 4.3.1, names and classes.
 */
const table = [
  [-1, 'UNKNOWN_SERVER_ERROR', 'retry', 'the broker failed with an unexpected error; see its log'],
  [0, 'NONE', 'final'],
  [1, 'OFFSET_OUT_OF_RANGE', 'final', 'the offset lies outside the log'],
  [2, 'CORRUPT_MESSAGE', 'retry', 'the batch failed its checksum or its validation'],
  [3, 'UNKNOWN_TOPIC_OR_PARTITION', 'retry', 'the topic or partition does not exist on this broker'],
  [4, 'INVALID_FETCH_SIZE', 'final'],
  [5, 'LEADER_NOT_AVAILABLE', 'retry', 'the partition has no leader at the moment'],
  [6, 'NOT_LEADER_OR_FOLLOWER', 'retry', 'another broker leads the partition now'],
  [7, 'REQUEST_TIMED_OUT', 'retry', 'the in-sync replicas did not answer in time; the record may have been written'],
  [8, 'BROKER_NOT_AVAILABLE', 'final'],
  [9, 'REPLICA_NOT_AVAILABLE', 'retry', 'the replica is not available'],
  [10, 'MESSAGE_TOO_LARGE', 'final', 'the batch is larger than max.message.bytes of the topic'],
  [11, 'STALE_CONTROLLER_EPOCH', 'final'],
  [12, 'OFFSET_METADATA_TOO_LARGE', 'final', 'the metadata of the commit is larger than offset.metadata.max.bytes'],
  [13, 'NETWORK_EXCEPTION', 'retry'],
  [14, 'COORDINATOR_LOAD_IN_PROGRESS', 'retry', 'the coordinator is still loading'],
  [15, 'COORDINATOR_NOT_AVAILABLE', 'retry', 'the group has no coordinator at the moment'],
  [16, 'NOT_COORDINATOR', 'retry', 'another broker coordinates the group now'],
  [17, 'INVALID_TOPIC_EXCEPTION', 'final', 'the topic name is not allowed'],
  [18, 'RECORD_LIST_TOO_LARGE', 'final', 'the batch is larger than a segment of the topic'],
  [19, 'NOT_ENOUGH_REPLICAS', 'retry', 'fewer replicas are in sync than min.insync.replicas requires'],
  [
    20,
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    'retry',
    'the batch was written to fewer replicas than min.insync.replicas requires'
  ],
  [21, 'INVALID_REQUIRED_ACKS', 'final', 'the acks setting is not allowed'],
  [22, 'ILLEGAL_GENERATION', 'final', 'the group has moved on to another generation'],
  [
    23,
    'INCONSISTENT_GROUP_PROTOCOL',
    'final',
    'the group is of another kind, such as a share group, or its members use an assignor that this one does not have'
  ],
  [24, 'INVALID_GROUP_ID', 'final', 'the group id is not allowed'],
  [25, 'UNKNOWN_MEMBER_ID', 'final', 'the group does not know this member'],
  [26, 'INVALID_SESSION_TIMEOUT', 'final'],
  [27, 'REBALANCE_IN_PROGRESS', 'final', 'the group is rebalancing'],
  [28, 'INVALID_COMMIT_OFFSET_SIZE', 'final'],
  [29, 'TOPIC_AUTHORIZATION_FAILED', 'final', 'not authorized for the topic'],
  [30, 'GROUP_AUTHORIZATION_FAILED', 'final', 'not authorized for the group'],
  [31, 'CLUSTER_AUTHORIZATION_FAILED', 'final', 'not authorized for the cluster'],
  [32, 'INVALID_TIMESTAMP', 'final', 'the timestamp is outside the range the topic accepts'],
  [33, 'UNSUPPORTED_SASL_MECHANISM', 'final', 'the broker does not offer this SASL mechanism'],
  [34, 'ILLEGAL_SASL_STATE', 'final', 'the request is not allowed at this point of the SASL exchange'],
  [35, 'UNSUPPORTED_VERSION', 'final', 'the broker does not speak this version of the request'],
  [36, 'TOPIC_ALREADY_EXISTS', 'final', 'the topic exists already'],
  [37, 'INVALID_PARTITIONS', 'final', 'the number of partitions is not allowed'],
  [38, 'INVALID_REPLICATION_FACTOR', 'final', 'the replication factor is below 1 or above the number of brokers'],
  [39, 'INVALID_REPLICA_ASSIGNMENT', 'final'],
  [40, 'INVALID_CONFIG', 'final'],
  [41, 'NOT_CONTROLLER', 'retry', 'another broker is the controller now'],
  [42, 'INVALID_REQUEST', 'final', 'the broker finds the request malformed'],
  [43, 'UNSUPPORTED_FOR_MESSAGE_FORMAT', 'final'],
  [44, 'POLICY_VIOLATION', 'final', 'a policy of the broker refuses the request'],
  [
    45,
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    'final',
    'the sequence number does not follow the last number that the broker knows'
  ],
  [46, 'DUPLICATE_SEQUENCE_NUMBER', 'final', 'the batch was written before'],
  [47, 'INVALID_PRODUCER_EPOCH', 'final', 'a newer epoch of this producer exists'],
  [48, 'INVALID_TXN_STATE', 'final'],
  [49, 'INVALID_PRODUCER_ID_MAPPING', 'final'],
  [50, 'INVALID_TRANSACTION_TIMEOUT', 'final'],
  [51, 'CONCURRENT_TRANSACTIONS', 'retry'],
  [52, 'TRANSACTION_COORDINATOR_FENCED', 'final'],
  [53, 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'final', 'not authorized for the transactional id'],
  [54, 'SECURITY_DISABLED', 'final', 'no authorizer is configured'],
  [55, 'OPERATION_NOT_ATTEMPTED', 'final'],
  [56, 'KAFKA_STORAGE_ERROR', 'retry', 'the broker has trouble with its disk'],
  [57, 'LOG_DIR_NOT_FOUND', 'final'],
  [58, 'SASL_AUTHENTICATION_FAILED', 'final', 'authentication failed'],
  [59, 'UNKNOWN_PRODUCER_ID', 'final', 'the broker has forgotten this producer'],
  [60, 'REASSIGNMENT_IN_PROGRESS', 'final'],
  [61, 'DELEGATION_TOKEN_AUTH_DISABLED', 'final'],
  [62, 'DELEGATION_TOKEN_NOT_FOUND', 'final'],
  [63, 'DELEGATION_TOKEN_OWNER_MISMATCH', 'final'],
  [64, 'DELEGATION_TOKEN_REQUEST_NOT_ALLOWED', 'final'],
  [65, 'DELEGATION_TOKEN_AUTHORIZATION_FAILED', 'final'],
  [66, 'DELEGATION_TOKEN_EXPIRED', 'final'],
  [67, 'INVALID_PRINCIPAL_TYPE', 'final'],
  [68, 'NON_EMPTY_GROUP', 'final'],
  [69, 'GROUP_ID_NOT_FOUND', 'final', 'there is no such group, or it is of another kind'],
  [70, 'FETCH_SESSION_ID_NOT_FOUND', 'retry'],
  [71, 'INVALID_FETCH_SESSION_EPOCH', 'retry'],
  [72, 'LISTENER_NOT_FOUND', 'retry', 'the leader has no listener with the requested name'],
  [73, 'TOPIC_DELETION_DISABLED', 'final'],
  [74, 'FENCED_LEADER_EPOCH', 'retry', 'the leader epoch is older than the one of the broker'],
  [75, 'UNKNOWN_LEADER_EPOCH', 'retry', 'the leader epoch is newer than the one of the broker'],
  [76, 'UNSUPPORTED_COMPRESSION_TYPE', 'final', 'the topic does not take this compression'],
  [77, 'STALE_BROKER_EPOCH', 'final'],
  [78, 'OFFSET_NOT_AVAILABLE', 'retry', 'the new leader cannot report offsets yet'],
  [79, 'MEMBER_ID_REQUIRED', 'final', 'the member needs an id first'],
  [80, 'PREFERRED_LEADER_NOT_AVAILABLE', 'retry'],
  [81, 'GROUP_MAX_SIZE_REACHED', 'final', 'the group has as many members as the broker allows'],
  [82, 'FENCED_INSTANCE_ID', 'final'],
  [83, 'ELIGIBLE_LEADERS_NOT_AVAILABLE', 'retry'],
  [84, 'ELECTION_NOT_NEEDED', 'retry'],
  [85, 'NO_REASSIGNMENT_IN_PROGRESS', 'final'],
  [86, 'GROUP_SUBSCRIBED_TO_TOPIC', 'final'],
  [87, 'INVALID_RECORD', 'final', 'the broker refuses the record'],
  [88, 'UNSTABLE_OFFSET_COMMIT', 'retry'],
  [89, 'THROTTLING_QUOTA_EXCEEDED', 'retry', 'a quota is used up'],
  [90, 'PRODUCER_FENCED', 'final'],
  [91, 'RESOURCE_NOT_FOUND', 'final'],
  [92, 'DUPLICATE_RESOURCE', 'final'],
  [93, 'UNACCEPTABLE_CREDENTIAL', 'final'],
  [94, 'INCONSISTENT_VOTER_SET', 'final'],
  [95, 'INVALID_UPDATE_VERSION', 'final'],
  [96, 'FEATURE_UPDATE_FAILED', 'final'],
  [97, 'PRINCIPAL_DESERIALIZATION_FAILURE', 'final'],
  [98, 'SNAPSHOT_NOT_FOUND', 'final'],
  [99, 'POSITION_OUT_OF_RANGE', 'final'],
  [100, 'UNKNOWN_TOPIC_ID', 'retry'],
  [101, 'DUPLICATE_BROKER_REGISTRATION', 'final'],
  [102, 'BROKER_ID_NOT_REGISTERED', 'final'],
  [103, 'INCONSISTENT_TOPIC_ID', 'retry'],
  [104, 'INCONSISTENT_CLUSTER_ID', 'final'],
  [105, 'TRANSACTIONAL_ID_NOT_FOUND', 'final'],
  [106, 'FETCH_SESSION_TOPIC_ID_ERROR', 'retry'],
  [107, 'INELIGIBLE_REPLICA', 'final'],
  [108, 'NEW_LEADER_ELECTED', 'final'],
  [109, 'OFFSET_MOVED_TO_TIERED_STORAGE', 'final'],
  [110, 'FENCED_MEMBER_EPOCH', 'final'],
  [111, 'UNRELEASED_INSTANCE_ID', 'final'],
  [112, 'UNSUPPORTED_ASSIGNOR', 'final'],
  [113, 'STALE_MEMBER_EPOCH', 'final'],
  [114, 'MISMATCHED_ENDPOINT_TYPE', 'final'],
  [115, 'UNSUPPORTED_ENDPOINT_TYPE', 'final'],
  [116, 'UNKNOWN_CONTROLLER_ID', 'final'],
  [117, 'UNKNOWN_SUBSCRIPTION_ID', 'final'],
  [118, 'TELEMETRY_TOO_LARGE', 'final'],
  [119, 'INVALID_REGISTRATION', 'final'],
  [120, 'TRANSACTION_ABORTABLE', 'final'],
  [121, 'INVALID_RECORD_STATE', 'final', 'the member has not acquired the record, or no longer has it'],
  [122, 'SHARE_SESSION_NOT_FOUND', 'retry', 'the share session has ended'],
  [123, 'INVALID_SHARE_SESSION_EPOCH', 'retry', 'the share session expects another call'],
  [124, 'FENCED_STATE_EPOCH', 'final'],
  [125, 'INVALID_VOTER_KEY', 'final'],
  [126, 'DUPLICATE_VOTER', 'final'],
  [127, 'VOTER_NOT_FOUND', 'final'],
  [128, 'INVALID_REGULAR_EXPRESSION', 'final'],
  [129, 'REBOOTSTRAP_REQUIRED', 'retry'],
  [130, 'STREAMS_INVALID_TOPOLOGY', 'final'],
  [131, 'STREAMS_INVALID_TOPOLOGY_EPOCH', 'final'],
  [132, 'STREAMS_TOPOLOGY_FENCED', 'final'],
  [133, 'SHARE_SESSION_LIMIT_REACHED', 'retry', 'the broker has as many share sessions as it allows']
] as const satisfies readonly (readonly [number, string, Reaction, string?])[]

export type KafkaErrorName = (typeof table)[number][1]

/** Every code by Kafka's own name: `errorCodes.NOT_COORDINATOR` is 16. */
export const errorCodes = Object.fromEntries(table.map(([code, name]) => [name, code])) as {
  readonly [Name in KafkaErrorName]: Extract<(typeof table)[number], readonly [number, Name, ...unknown[]]>[0]
}

/** The codes of these names: `codesOf('REQUEST_TIMED_OUT')` holds 7. */
export const codesOf = (...names: readonly KafkaErrorName[]): ReadonlySet<number> =>
  new Set(names.map(name => errorCodes[name]))

/** Answers of brokers about a topic that does not exist, or cannot exist. */
export const NO_SUCH_TOPIC = codesOf('UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION')

const describe = (code: number, name: string, reaction: Reaction, cause?: string): KafkaErrorCode => ({
  code,
  name,
  retriable: reaction !== 'final',
  message: cause ? `${name} (${code}): ${cause}` : `${name} (${code})`
})

const known: ReadonlyMap<number, KafkaErrorCode> = new Map(
  table.map(([code, name, reaction, cause]) => [code, describe(code, name, reaction, cause)])
)

const DENIALS = codesOf(
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED'
)

/**
 * What a broker says of an error, where it may be shown. A broker that refuses a right may show its own request: its
 * addresses, and who has asked.
 *
 * @returns `undefined`: it said nothing, or may not be shown
 */
export const shownWords = (code: number, words: string | null | undefined): string | undefined =>
  words && !DENIALS.has(code) ? words : undefined

/**
 * An unknown code counts as retriable, because it may be a temporary error of a newer broker.
 *
 * @param words of the broker, which stand in place of the likely cause where they may be shown. Absent, or empty: it has sent none
 */
export function kafkaErrorOf(code: number, words?: string): KafkaErrorCode {
  const error =
    known.get(code) ??
    describe(code, `UNKNOWN_ERROR_${code}`, 'retry', 'this version of Castellan does not know the code')
  const shown = shownWords(code, words)
  return shown === undefined ? error : { ...error, message: `${error.name} (${code}): ${shown}` }
}
