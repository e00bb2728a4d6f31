import type { BrokerNode } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { ProtocolReader, ProtocolWriter } from '../../kafka/protocol/encoding.js'
import type { ServedCluster } from '../cluster.js'
import type { ApiName } from '../embedded-cluster.js'
import type { FaultEffects, FaultTarget } from '../faults.js'
import type { SaslExchange } from '../sasl-mechanisms.js'

export interface Peer {
  readonly host: string
  /** The local address of the client's connection. */
  readonly localHost: string
  readonly isClosed: boolean
  /** Calls back once when the connection ends. The returned function cancels this. */
  onClose(callback: () => void): () => void
  principal: string | undefined
  sasl: SaslExchange | undefined
}

export interface Call {
  readonly version: number
  readonly nodeId: number
  readonly clientId: string
  readonly cluster: ServedCluster
  readonly peer: Peer
  readonly faults: FaultEffects
  /** Writes the response after its header. */
  readonly response: ProtocolWriter
  /** Set to false when no answer is sent (acks=0). */
  respond: boolean
  /** Set to true to close the connection after the answer was sent. */
  hangUp: boolean
}

export const advertisedHost = ({ cluster, peer }: Call, node: BrokerNode): string =>
  cluster.options.listensEverywhere ? peer.localHost : node.host

/** One API: the announced and the served versions, and how a request is read and answered. */
export interface ServedApiSpec<Request> {
  readonly key: number
  readonly name: ApiName
  /** Lowest announced version. It is 0 for some APIs, because old clients look for 0. */
  readonly minVersion: number
  readonly maxVersion: number
  /** Lowest served version; default `minVersion`. */
  readonly servedFrom?: number
  /**
   * First flexible version, in which lengths are varints and structs have tagged fields; absent: no version is
   * flexible.
   */
  readonly flexibleFrom?: number
  /** The tagged fields at the end of responses, by ascending number; absent: none. */
  readonly tagged?: ReadonlyMap<number, Buffer>
  /** @throws ProtocolError */
  read(reader: ProtocolReader, version: number): Request
  /** Returns the topics and partitions of a request that faults can match. Absent: faults match the whole call. */
  targets?(request: Request, cluster: ServedCluster, nodeId: number): FaultTarget[]
  answer(request: Request, call: Call): void | Promise<void>
}

/** An API whose requests have a type that only the API itself knows. */
export type ServedApi = ServedApiSpec<unknown>

/** Defines an API. The type of its requests is the return type of `read`. */
export const defineApi = <Request>(spec: ServedApiSpec<Request>): ServedApi => spec

export const serves = ({ minVersion, servedFrom = minVersion, maxVersion }: ServedApi, version: number): boolean =>
  version >= servedFrom && version <= maxVersion

/** Kafka's value for "not requested". */
export const NO_AUTHORIZED_OPERATIONS = -2147483648

export interface ByTopic<Partition> {
  readonly topic: string
  readonly partitions: readonly Partition[]
}

export const readByTopic = <Partition>(reader: ProtocolReader, read: () => Partition): ByTopic<Partition>[] =>
  reader.structs(() => ({ topic: reader.string(), partitions: reader.structs(read) }))

/** Like {@link readByTopic}, for partitions that are plain numbers. */
export const readNumbersByTopic = (reader: ProtocolReader): ByTopic<{ readonly partition: number }>[] | null =>
  reader.nullableStructs(() => ({
    topic: reader.string(),
    partitions: reader.array(() => ({ partition: reader.int32() }))
  }))

export const targetsByTopic = (topics: readonly ByTopic<{ readonly partition: number }>[]): FaultTarget[] =>
  topics.flatMap(({ topic, partitions }) => partitions.map(({ partition }) => ({ topic, partition })))

export function writeByTopic<Partition>(
  response: ProtocolWriter,
  topics: readonly ByTopic<Partition>[],
  write: (topic: string, partition: Partition) => void
): void {
  response.structs(topics, ({ topic, partitions }) => {
    response.string(topic).structs(partitions, partition => write(topic, partition))
  })
}

/** Returns 0, or the error code when this node does not coordinate the group. */
export function coordinatorError({ cluster, faults, nodeId }: Call, groupId: string): number {
  const injected = faults.before()
  if (injected) return injected
  return cluster.coordinatorOf(groupId)?.nodeId === nodeId ? errorCodes.NONE : errorCodes.NOT_COORDINATOR
}

/** Returns 0, or the error code when this node does not lead the partition. */
export function leaderError({ faults, cluster, nodeId }: Call, topic: string, index: number, epoch: number): number {
  const injected = faults.before(topic, index)
  if (injected) return injected
  const partition = cluster.topics.partition(topic, index)
  if (!partition) return errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  if (partition.leaderId !== nodeId) return errorCodes.NOT_LEADER_OR_FOLLOWER
  if (epoch >= 0 && epoch < partition.leaderEpoch) return errorCodes.FENCED_LEADER_EPOCH
  if (epoch > partition.leaderEpoch) return errorCodes.UNKNOWN_LEADER_EPOCH
  return errorCodes.NONE
}
