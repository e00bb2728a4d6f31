import type { TopicPartition } from '../../core/model.js'
import type { AnyAccepted } from './accepted.js'
import type { RoutingTarget } from './operation.js'

/** The partition whose leader is asked; `undefined`: the request is for another broker. */
export function topicPartitionOf({ operation, request }: AnyAccepted): TopicPartition | undefined {
  const target = operation.target as RoutingTarget<unknown>
  return target.type === 'leader' ? target.topicPartition(request) : undefined
}

/** The group whose coordinator is asked; `undefined`: the request is for another broker. */
export function groupIdOf({ operation, request }: AnyAccepted): string | undefined {
  const target = operation.target as RoutingTarget<unknown>
  return target.type === 'coordinator' ? target.groupId(request) : undefined
}

/** The broker that is asked; `undefined`: it follows from a partition or a group, or any broker is asked. */
export function nodeIdOf({ operation, request }: AnyAccepted): number | undefined {
  const target = operation.target as RoutingTarget<unknown>
  return target.type === 'node' ? target.nodeId(request) : undefined
}

/** The connection of the role `member` over which it is asked. */
export const connectionOf = ({ operation, request }: AnyAccepted): string => operation.connection!(request as never)
