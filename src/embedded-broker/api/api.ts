import type { BrokerNode } from '../../core/model.js'
import type { Cluster } from '../cluster.js'
import type { ApiName } from '../embedded-cluster.js'
import type { FaultEffects, Target } from '../faults.js'
import type { ProtocolReader } from '../protocol/reader.js'
import type { ProtocolWriter } from '../protocol/writer.js'
import type { SaslExchange } from '../sasl/sasl-exchange.js'

/** The client of a request. */
export interface Peer {
  readonly host: string
  /** The local address of the client's connection. */
  readonly localHost: string
  readonly isClosed: boolean
  /** Calls back once when the connection is gone, unless the returned function was called before. */
  onClose(callback: () => void): () => void
  principal: string | undefined
  sasl: SaslExchange | undefined
}

/** One request being answered. */
export interface Call {
  readonly version: number
  readonly nodeId: number
  readonly clientId: string
  readonly cluster: Cluster
  readonly peer: Peer
  readonly faults: FaultEffects
  /** Writes the answer, after the response header. */
  readonly response: ProtocolWriter
  /** False: nothing is sent (acks=0). */
  respond: boolean
  /** True: the connection is closed after the answer. */
  hangUp: boolean
}

/** The host of a node that this client is told. */
export const advertisedHost = ({ cluster, peer }: Call, node: BrokerNode): string =>
  cluster.options.listensEverywhere ? peer.localHost : node.host

/** One API: the announced and the served versions, and how a request is read and answered. */
export interface ApiSpec<Request> {
  readonly key: number
  readonly name: ApiName
  /** Lowest announced version; old feature checks need 0 for some APIs. */
  readonly minVersion: number
  readonly maxVersion: number
  /** Lowest served version; default `minVersion`. */
  readonly servedFrom?: number
  /** First flexible version: lengths are varints and structs have tagged fields; absent: none. */
  readonly flexibleFrom?: number
  read(reader: ProtocolReader, version: number): Request
  /** The parts of a request that faults can match; absent: the call as a whole. */
  targets?(request: Request, cluster: Cluster, nodeId: number): Target[]
  answer(request: Request, call: Call): void | Promise<void>
}

export interface OpenRequest {
  targets(cluster: Cluster, nodeId: number): Target[]
  answer(call: Call): Promise<void> | undefined
}

/** An {@link ApiSpec} with its request type erased. */
export interface Api {
  readonly key: number
  readonly name: ApiName
  readonly minVersion: number
  readonly maxVersion: number
  serves(version: number): boolean
  isFlexible(version: number): boolean
  /** @throws MalformedRequest */
  open(reader: ProtocolReader, version: number): OpenRequest
}

export function defineApi<Request>(spec: ApiSpec<Request>): Api {
  const servedFrom = spec.servedFrom ?? spec.minVersion
  return {
    key: spec.key,
    name: spec.name,
    minVersion: spec.minVersion,
    maxVersion: spec.maxVersion,
    serves: version => version >= servedFrom && version <= spec.maxVersion,
    isFlexible: version => spec.flexibleFrom !== undefined && version >= spec.flexibleFrom,
    open(reader, version) {
      const request = spec.read(reader, version)
      reader.tags()
      return {
        targets: (cluster, nodeId) => spec.targets?.(request, cluster, nodeId) ?? [],
        answer: call => {
          const work = spec.answer(request, call)
          if (work) return work.then(() => void call.response.tags())
          call.response.tags()
          return undefined
        }
      }
    }
  }
}

/** Kafka's value for "not requested". */
export const NO_AUTHORIZED_OPERATIONS = -2147483648

/** Many requests name partitions grouped by topic. */
export interface ByTopic<Partition> {
  readonly topic: string
  readonly partitions: readonly Partition[]
}

export const readByTopic = <Partition>(reader: ProtocolReader, read: () => Partition): ByTopic<Partition>[] =>
  reader.structs(() => ({ topic: reader.string(), partitions: reader.structs(read) }))

/** As {@link readByTopic}, for partitions that are plain numbers. */
export const readNumbersByTopic = (reader: ProtocolReader): ByTopic<{ readonly partition: number }>[] | null =>
  reader.nullableStructs(() => ({
    topic: reader.string(),
    partitions: reader.array(() => ({ partition: reader.int32() }))
  }))

export const targetsByTopic = (topics: readonly ByTopic<{ readonly partition: number }>[]): Target[] =>
  topics.flatMap(({ topic, partitions }) => partitions.map(({ partition }) => ({ topic, partition })))

/** Writes the result of `write` per topic and partition. */
export function writeByTopic<Partition>(
  response: ProtocolWriter,
  topics: readonly ByTopic<Partition>[],
  write: (topic: string, partition: Partition) => void
): void {
  response.structs(topics, ({ topic, partitions }) => {
    response.string(topic).structs(partitions, partition => write(topic, partition))
  })
}
