import type { GroupReader } from '../../gateway/gateway.js'

/**
 * The readers of a topic and their partitions, by the name of the client. Clients of one group may have the same name; then
 * the coordinator's one tells them apart.
 */
export function partitionsByClient(
  readers: readonly GroupReader[],
  topic: string
): ReadonlyMap<string, readonly number[]> {
  const clients = new Map<string, number>()
  for (const { clientId } of readers) clients.set(clientId, (clients.get(clientId) ?? 0) + 1)
  const found = new Map<string, readonly number[]>()
  for (const { instanceId, clientId, memberId, partitions } of readers) {
    const ofTopic = partitions.get(topic)
    if (ofTopic === undefined || ofTopic.length === 0) continue
    found.set(instanceId ?? (clients.get(clientId) === 1 ? clientId : memberId), ofTopic)
  }
  return found
}
