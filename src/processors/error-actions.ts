import { errorCodes, kafkaErrorOf } from '../wire/error-codes.js'

/** What a processor does about an error code. Total: a code nobody here has heard of is `fail`. */
export type ErrorAction =
  | 'success'
  | 'outOfRange'
  | 'corrupt'
  | 'unknownTopicOrPartition'
  | 'notLeader'
  | 'notCoordinator'
  | 'retryLater'
  | 'staleTopic'
  | 'fail'

/** Fetch and ListOffsets: one code per partition. Source: notes on Kafka's Errors, 10.4 of the specification. */
export function partitionAction(errorCode: number): ErrorAction {
  switch (errorCode) {
    case 0:
      return 'success'
    case 1:
      return 'outOfRange'
    case 2:
      return 'corrupt'
    case 3:
    case 100: // UNKNOWN_TOPIC_ID
    case 103: // INCONSISTENT_TOPIC_ID
      return 'unknownTopicOrPartition'
    case 5:
    case 6:
    case 8:
    case 9:
    case 72: // LISTENER_NOT_FOUND
    case 74: // FENCED_LEADER_EPOCH: what we know is old
      return 'notLeader'
    case 56: // KAFKA_STORAGE_ERROR
    case 75: // UNKNOWN_LEADER_EPOCH: the broker is behind, or the topic was created anew
    case 109: // OFFSET_MOVED_TO_TIERED_STORAGE
      return 'staleTopic'
    case -1:
    case 7:
    case 13:
    case 70: // the three of fetch sessions, which we do not use
    case 71:
    case 78: // OFFSET_NOT_AVAILABLE, right after an election
    case 89: // THROTTLING_QUOTA_EXCEEDED
    case 106:
      return 'retryLater'
    default:
      return 'fail'
  }
}

/**
 * OffsetCommit and OffsetFetch: asked of the group's coordinator. `corrupt` is only a success where a value is present,
 * as Castle has it: an offset that was read. A commit with it is not in the coordinator's log.
 */
export function groupAction(errorCode: number): ErrorAction {
  switch (errorCode) {
    case errorCodes.NONE:
      return 'success'
    case errorCodes.CORRUPT_MESSAGE:
    case errorCodes.REPLICA_NOT_AVAILABLE:
      return 'corrupt'
    case errorCodes.UNKNOWN_TOPIC_OR_PARTITION:
    case errorCodes.UNKNOWN_TOPIC_ID:
      return 'unknownTopicOrPartition'
    case errorCodes.COORDINATOR_NOT_AVAILABLE:
    case errorCodes.NOT_COORDINATOR:
    case errorCodes.LEADER_NOT_AVAILABLE: // what a partition leader that is no coordinator may say
    case errorCodes.NOT_LEADER_OR_FOLLOWER:
      return 'notCoordinator'
    case errorCodes.UNKNOWN_SERVER_ERROR:
    case errorCodes.REQUEST_TIMED_OUT:
    case errorCodes.NETWORK_EXCEPTION:
    case errorCodes.COORDINATOR_LOAD_IN_PROGRESS:
    case errorCodes.KAFKA_STORAGE_ERROR:
    case errorCodes.UNSTABLE_OFFSET_COMMIT:
    case errorCodes.THROTTLING_QUOTA_EXCEEDED:
      return 'retryLater'
    default:
      return 'fail'
  }
}

/** Calls any broker can answer, with one code for the whole call. */
export function anyBrokerAction(errorCode: number): 'success' | 'retryLater' | 'fail' {
  if (errorCode === 0) return 'success'
  return errorCode !== errorCodes.UNSUPPORTED_VERSION && kafkaErrorOf(errorCode).retriable ? 'retryLater' : 'fail'
}
