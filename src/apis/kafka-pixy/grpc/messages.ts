/** Requests and answers of the gRPC service, as its definition in kafka-pixy.proto has them. */

export interface RecordHeader {
  readonly key: string
  readonly value: Buffer
}
interface ToCluster {
  /** Empty: the default one. */
  readonly cluster: string
}
export interface ToTopic extends ToCluster {
  readonly topic: string
}
export interface ToGroup extends ToTopic {
  readonly group: string
}

export interface ProdRq extends ToTopic {
  readonly key_value: Buffer
  readonly key_undefined: boolean
  readonly message: Buffer
  readonly async_mode: boolean
  readonly headers: readonly RecordHeader[]
}
export interface ProdRs {
  readonly partition: number
  readonly offset: number
}

export interface ConsNAckRq extends ToGroup {
  readonly no_ack: boolean
  readonly auto_ack: boolean
  readonly ack_partition: number
  readonly ack_offset: number
}
export interface ConsRs {
  readonly partition: number
  readonly offset: number
  readonly key_value: Buffer
  readonly key_undefined: boolean
  readonly message: Buffer
  readonly headers: readonly RecordHeader[]
}

export interface AckRq extends ToGroup {
  readonly partition: number
  readonly offset: number
}

export interface PartitionOffset {
  readonly partition: number
  readonly begin: number
  readonly end: number
  readonly count: number
  readonly offset: number
  readonly lag: number
  readonly metadata: string
  readonly sparse_acks: string
}
export interface GetOffsetsRs {
  readonly offsets: readonly PartitionOffset[]
}
export interface SetOffsetsRq extends ToGroup {
  readonly offsets: readonly Pick<PartitionOffset, 'partition' | 'offset' | 'metadata'>[]
}

export interface GetTopicMetadataRq extends ToTopic {
  readonly with_partitions: boolean
}
export interface GetTopicMetadataRs {
  readonly version: number
  readonly config: Readonly<Record<string, string>>
  readonly partitions: readonly {
    readonly partition: number
    readonly leader: number
    readonly replicas: readonly number[]
    readonly isr: readonly number[]
  }[]
}
export interface ListTopicRq extends ToCluster {
  readonly with_partitions: boolean
}
export interface ListTopicRs {
  readonly topics: Readonly<Record<string, GetTopicMetadataRs>>
}

export interface ListConsumersRs {
  readonly groups: Readonly<
    Record<string, { readonly consumers: Readonly<Record<string, { readonly partitions: readonly number[] }>> }>
  >
}

/** Request and answer of each method. */
export interface Methods {
  readonly Produce: [ProdRq, ProdRs]
  readonly ConsumeNAck: [ConsNAckRq, ConsRs]
  readonly Ack: [AckRq, object]
  readonly GetOffsets: [ToGroup, GetOffsetsRs]
  readonly SetOffsets: [SetOffsetsRq, object]
  readonly ListTopics: [ListTopicRq, ListTopicRs]
  readonly ListConsumers: [ToGroup, ListConsumersRs]
  readonly GetTopicMetadata: [GetTopicMetadataRq, GetTopicMetadataRs]
}
export type MethodName = keyof Methods
