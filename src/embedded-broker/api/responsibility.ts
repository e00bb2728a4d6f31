import { errors } from '../protocol/error-codes.js'
import type { Call } from './api.js'

/** 0, or the error when this node does not coordinate the group. */
export function coordinatorError({ cluster, faults, nodeId }: Call, groupId: string): number {
  const injected = faults.before()
  if (injected) return injected
  return cluster.coordinatorOf(groupId)?.nodeId === nodeId ? errors.none : errors.notCoordinator
}

/** 0, or the error when this node does not lead the partition. */
export function leaderError({ faults, cluster, nodeId }: Call, topic: string, index: number, epoch: number): number {
  const injected = faults.before(topic, index)
  if (injected) return injected
  const partition = cluster.topics.partition(topic, index)
  if (!partition) return errors.unknownTopicOrPartition
  if (partition.leaderId !== nodeId) return errors.notLeaderOrFollower
  if (epoch >= 0 && epoch < partition.leaderEpoch) return errors.fencedLeaderEpoch
  if (epoch > partition.leaderEpoch) return errors.unknownLeaderEpoch
  return errors.none
}
