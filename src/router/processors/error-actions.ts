import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import type { Failure } from '../messages/request.js'
import { kafkaFailure } from '../requests/failures.js'

/** The actions of a processor for error codes. The action for an unknown code is `fail`. */
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

/**
 * The action for Fetch and ListOffsets, which have one code per partition. Source:
 * org.apache.kafka.common.protocol.Errors.
 */
export function partitionAction(errorCode: number): ErrorAction {
  switch (errorCode) {
    case errorCodes.NONE:
      return 'success'
    case errorCodes.OFFSET_OUT_OF_RANGE:
      return 'outOfRange'
    case errorCodes.CORRUPT_MESSAGE:
      return 'corrupt'
    case errorCodes.UNKNOWN_TOPIC_OR_PARTITION:
    case errorCodes.UNKNOWN_TOPIC_ID:
    case errorCodes.INCONSISTENT_TOPIC_ID:
      return 'unknownTopicOrPartition'
    case errorCodes.LEADER_NOT_AVAILABLE:
    case errorCodes.NOT_LEADER_OR_FOLLOWER:
    case errorCodes.BROKER_NOT_AVAILABLE:
    case errorCodes.REPLICA_NOT_AVAILABLE:
    case errorCodes.LISTENER_NOT_FOUND:
    case errorCodes.FENCED_LEADER_EPOCH: // our metadata is older than the broker's
      return 'notLeader'
    case errorCodes.KAFKA_STORAGE_ERROR:
    case errorCodes.UNKNOWN_LEADER_EPOCH: // the broker is behind, or the topic was created again
    case errorCodes.OFFSET_MOVED_TO_TIERED_STORAGE:
      return 'staleTopic'
    case errorCodes.UNKNOWN_SERVER_ERROR:
    case errorCodes.REQUEST_TIMED_OUT:
    case errorCodes.NETWORK_EXCEPTION:
    case errorCodes.OFFSET_NOT_AVAILABLE: // right after an election
    case errorCodes.THROTTLING_QUOTA_EXCEEDED:
    case errorCodes.FETCH_SESSION_ID_NOT_FOUND: // for a call that begins a session; see fetch-session.ts
    case errorCodes.INVALID_FETCH_SESSION_EPOCH:
    case errorCodes.FETCH_SESSION_TOPIC_ID_ERROR:
      return 'retryLater'
    default:
      return 'fail'
  }
}

/**
 * The action for OffsetCommit and OffsetFetch, which the group's coordinator answers. As in Castle, `corrupt` counts as
 * a success if the answer has an offset. A commit with this code is not in the coordinator's log.
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
    case errorCodes.LEADER_NOT_AVAILABLE: // possible answer of a partition leader that is not the coordinator
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

/** The outcome for a code of a coordinator that is no success: a failure, or the reason to ask again. */
export function groupFailure(
  errorCode: number,
  message?: string | null
): Failure | Extract<ErrorAction, 'notCoordinator' | 'retryLater'> {
  const action = groupAction(errorCode)
  return action === 'notCoordinator' || action === 'retryLater' ? action : kafkaFailure(errorCode, message)
}

/** The action for calls that any broker can answer, with one code for the whole call. */
export function anyBrokerAction(errorCode: number): 'success' | 'retryLater' | 'fail' {
  if (errorCode === errorCodes.NONE) return 'success'
  return errorCode !== errorCodes.UNSUPPORTED_VERSION && kafkaErrorOf(errorCode).retriable ? 'retryLater' : 'fail'
}
