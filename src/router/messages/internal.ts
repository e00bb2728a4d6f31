import type { BatchOrigin, BrokerNode, Offset, TopicPartition } from '../../core/model.js'
import type { AclOperation, CallTimeLimit } from '../../kafka/calls.js'
import type { AclEntry, AclFilter } from '../../kafka/protocol/acls.js'
import type { ConfigResourceId, DescribedConfig } from '../../kafka/protocol/administration.js'
import type { ConsumerMember, Coordinated, DescribeGroupsResponse } from '../../kafka/protocol/groups.js'
import type {
  DescribeShareGroupOffsetsResponse,
  ShareAcknowledgeCall,
  ShareAcknowledgeResponse,
  ShareFetchCall,
  ShareFetchResponse,
  ShareMember,
  ShareSessionCall
} from '../../kafka/protocol/share.js'
import type { Failure, Request, TimedOut } from './request.js'

/**
 * Internal, from delivery only: sealed batches to write, at most one per partition. The batches of all producers that
 * became ready in one tick are in one message. The Router answers each batch by one call of `answer`, and sends no byte
 * of the batch afterwards. The Router never retries a batch that may have reached a broker, because the producer of its
 * partition decides about retries.
 */
export interface ProduceBatches {
  readonly type: 'produceBatches'
  readonly batches: readonly SealedBatch[]
}
/**
 * A batch on its way to Kafka. When it was answered `appended` at its first attempt, its producer may send the same object again
 * with the next batch.
 */
export interface SealedBatch {
  readonly topic: string
  readonly partition: number
  /** A whole record batch, header included. The bytes must not change. */
  readonly bytes: Buffer
  /** The number of bytes, which may be sealed when they are first read. Absent: that of `bytes`. */
  readonly sizeBytes?: number | undefined
  /**
   * The cluster that the producer id in the batch belongs to. While another cluster is connected, the batch is answered
   * `clusterChanged`. Absent: any cluster may take the batch.
   */
  readonly clusterId?: string | undefined
  answer(answer: BatchAnswer): void
  /**
   * The Router sets this function when it accepts the batch. The function withdraws the batch unless bytes may have
   * been sent. A withdrawn batch is answered `notSent`. Returns true if the batch was withdrawn.
   */
  recall?: (() => boolean) | undefined
  /** The batch as the Router has it. Set by the Router, so that one function can be the `recall` of all batches. */
  accepted?: AcceptedBatch | undefined
  /** The transaction of the records; a call has batches of one. Absent: none. */
  readonly transactionalId?: string | undefined
  /** Called with the error of a failed attempt to send the batch. The Router tries again. */
  delayed?(lastError: string): void
}
export interface AcceptedBatch {
  readonly request: SealedBatch
  readonly state: { readonly inFlight: boolean }
  /** The batch was appended, and the Router has forgotten it: the object of a batch may be sent again, with other bytes. */
  readonly isOver: boolean
  /** Returns false if it has been answered before. */
  answer(answer: BatchAnswer): boolean
}
export type BatchAnswer =
  /** `baseOffset` -1: the broker has stored the batch, but did not report its offset. */
  | { readonly type: 'appended'; readonly baseOffset: Offset; readonly logAppendTimeMs: number }
  /** A broker answered with an error code for this partition, and maybe with words of its own. If newer metadata may help, a refresh has begun. */
  | { readonly type: 'rejected'; readonly errorCode: number; readonly words?: string }
  /** The connection was lost, or the call timed out, after bytes may have left: the outcome is unknown. */
  | { readonly type: 'unanswered'; readonly error: Error }
  /**
   * No byte was sent in this attempt. `unknownTopic` is only given after refreshes have confirmed it. `uncreatedTopic`: the same,
   * but brokers were asked to create the topic, and may still do so.
   */
  | {
      readonly type: 'notSent'
      readonly reason:
        | 'noLeader'
        | 'unknownTopic'
        | 'uncreatedTopic'
        | 'unknownPartition'
        | 'brokerUnreachable'
        | 'overloaded'
        | 'shuttingDown'
        /** The batch was sealed for another Kafka cluster. Its producer id is unknown in the connected cluster. */
        | 'clusterChanged'
      readonly message: string
    }

/** An operation: the fields of its requests, and its results besides a failure and a time-out. */
interface RouterOperation<Fields, Told> {
  readonly fields: Fields
  readonly told: Told
}

/** An operation of a group. Failures keep Kafka's error code, because members react to the code. */
type OfGroup<Fields, Told> = RouterOperation<{ readonly groupId: string } & Fields, Told>

export interface GroupMembership {
  readonly memberId: string
  readonly generationId: number
  /** The id of a static member; `null`: the member is dynamic. */
  readonly instanceId: string | null
}

/**
 * Membership by Kafka's classic protocol. JoinGroup, SyncGroup and Heartbeat of a member have a connection of their own,
 * because the coordinator delays the answers to JoinGroup and SyncGroup until other members have joined.
 */
type OfMember<Fields, Told = Success> = OfGroup<
  Fields & {
    /** The id of a static member, which keeps its partitions over a restart; `null`: the member is dynamic. */
    readonly instanceId: string | null
    /** Empty before the first join. */
    readonly memberId: string
    /** Names the connection: it stays the same when the coordinator gives the member another id. */
    readonly connection: string
  },
  Told
>

type Success = { readonly type: 'success' }

/**
 * An operation of a transaction, by the protocol before KIP-890. It is not sent again once its bytes may have been
 * written, because a late copy would count for the next transaction: without an answer the result is `timedOut`.
 */
type OfTransaction<Fields, Told = Success> = RouterOperation<{ readonly transactionalId: string } & Fields, Told>

/** The broker with which a share session is. */
type AtNode<Call> = { readonly nodeId: number } & Omit<Call, keyof CallTimeLimit>

/**
 * A call of a share session with the leader of partitions. A session has one call at a time. Kafka expects each epoch once, and
 * releases what the session has acquired when its connection is lost. So no call is sent again, and no connection is
 * opened again for a session:
 *
 *   failed, with an error code   Kafka has refused the call
 *   failed, without one          no byte of the call was written
 *   timedOut                     no answer came, although bytes may have been written
 */
type OfSession<Call extends ShareSessionCall, Told> = RouterOperation<AtNode<Call>, Success & Told>

/** The producer id of a transactional id, and the epoch that fences its former owners. */
export interface NumberedProducer {
  readonly producerId: bigint
  readonly producerEpoch: number
}

/**
 * A change is not sent again once its bytes may have been written, because they may still arrive: without an answer the
 * result is `timedOut`, also before the deadline. Only a topic is deleted by its id until Kafka answers.
 *
 * `validateOnly`: Kafka only checks the change.
 */
type Change<Fields> = RouterOperation<Fields & { readonly validateOnly: boolean }, Success>

type OfPartition<Fields, Told> = RouterOperation<
  { readonly topicPartition: TopicPartition } & Fields,
  Told | { readonly type: 'unknownTopicOrPartition' }
>

/**
 * Operations for this process only, not for users of the library. A failure has Kafka's error code, and Kafka's message if
 * the broker has sent one.
 */
interface Table {
  /** From delivery: asks any broker for a producer id. */
  initProducerId: RouterOperation<unknown, Success & { readonly producerId: bigint; readonly producerEpoch: number }>

  /** From the Router itself: finds the broker that coordinates a group or a transactional id, which is then `groupId`. Every broker can answer this request. */
  findCoordinator: OfGroup<{ readonly keyType: Coordinated }, Success & { readonly coordinator: BrokerNode }>

  /**
   * From readers: finds where a leader epoch ends in the log of the leader. A log that ends an epoch before a position
   * that was read in that epoch has lost its end.
   */
  fetchEpochEnd: OfPartition<
    { readonly leaderEpoch: number },
    | {
        readonly type: 'success'
        /** The newest epoch of the log that is not newer than the requested epoch. */
        readonly leaderEpoch: number
        /** The offset after the last record of this epoch. */
        readonly endOffset: Offset
        /** The epoch of the leader that has answered; -1: unknown. */
        readonly currentLeaderEpoch: number
      }
    /** The log has no such epoch, or the broker does not know it. */
    | { readonly type: 'notFound'; readonly currentLeaderEpoch: number }
  >

  /**
   * From delivery: finds which producers wrote the batches from `offset` on, in offset order, whether their transactions
   * are committed or not. The request does not wait for records.
   */
  fetchOrigins: OfPartition<
    { readonly offset: Offset },
    /** `nextOffset`, above `offset`: the offset to ask for next. `sizeBytes`: the number of bytes that were read. */
    | {
        readonly type: 'success'
        readonly origins: readonly BatchOrigin[]
        readonly nextOffset: Offset
        readonly sizeBytes: number
      }
    /** The replicas have not reached the offset, or the leader does not know their progress yet. */
    | { readonly type: 'noMessages' }
    | { readonly type: 'offsetOutOfRange' }
    | { readonly type: 'corruptMessage' }
  >

  joinGroup: OfMember<
    {
      readonly sessionTimeoutMs: number
      readonly rebalanceTimeoutMs: number
      /**
       * The assignment strategies that the member supports, the preferred one first. Each has the subscription of the
       * member in its own format.
       */
      readonly protocols: readonly { readonly name: string; readonly metadata: Buffer }[]
    },
    | {
        readonly type: 'success'
        readonly generationId: number
        readonly memberId: string
        /** The member that assigns the partitions. */
        readonly leaderId: string
        readonly protocolName: string
        /** All members; only the leader gets them. */
        readonly members: readonly {
          readonly memberId: string
          readonly instanceId: string | null
          readonly metadata: Buffer
        }[]
      }
    /**
     * The member must repeat the join with this id. In this way the coordinator keeps no state of clients that have gone
     * away.
     */
    | { readonly type: 'memberIdRequired'; readonly memberId: string }
  >

  syncGroup: OfMember<
    {
      readonly generationId: number
      /** How long the coordinator waits for the leader. */
      readonly rebalanceTimeoutMs: number
      /** Only the leader of the group sends assignments. */
      readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[]
    },
    Success & { readonly assignment: Buffer }
  >

  heartbeat: OfMember<{ readonly generationId: number }>

  /**
   * Sent over the control connection, because a join may wait on the connection of the member. The connection of the
   * member is closed afterwards.
   */
  leaveGroup: OfMember<unknown>

  describeGroup: OfGroup<
    unknown,
    | {
        readonly type: 'success'
        /** `consumer` for a consumer group. The assignments of its members then have a known format. */
        readonly protocolType: string
        /**
         * `Stable`, `PreparingRebalance`, `CompletingRebalance` or `Empty`; or a state that a later version of Kafka
         * adds.
         */
        readonly state: string
        /** The assignment strategy that the members have agreed on; empty unless the group is `Stable`. */
        readonly protocol: string
        /** The broker that has answered; it coordinates the group. */
        readonly coordinatorId: number
        readonly members: DescribedGroup['members']
      }
    | NotFound
  >

  /** From the gateway: describes a group of the protocol of KIP-848. `notFound` also where there is no such protocol. */
  describeConsumerGroup: OfGroup<
    unknown,
    | {
        readonly type: 'success'
        /** `Empty`, `Assigning`, `Reconciling` or `Stable`; or a state that a later version of Kafka adds. */
        readonly state: string
        readonly assignor: string
        /** The broker that has answered; it coordinates the group. */
        readonly coordinatorId: number
        readonly members: readonly ConsumerMember[]
      }
    | NotFound
  >

  /** From the gateway: lists the groups that one broker coordinates. `brokerUnreachable`: it has left the cluster. */
  listGroups: RouterOperation<
    {
      readonly nodeId: number
      /** True: groups without members are left out. Brokers before Kafka 2.6 list them nevertheless. */
      readonly withMembers: boolean
    },
    Success & { readonly groups: readonly { readonly groupId: string; readonly protocolType: string }[] }
  >

  /** This and all following operations are used by the verbs (src/verbs) only. */
  describeCluster: RouterOperation<
    unknown,
    {
      readonly type: 'success'
      /** `null`: the brokers do not report an id. */
      readonly clusterId: string | null
      /** -1: the broker knows no controller. */
      readonly controllerId: number
      readonly brokers: readonly BrokerNode[]
    }
  >

  createTopic: Change<{
    readonly topic: string
    /** -1: the default of the brokers, or there are assignments. */
    readonly partitions: number
    /** -1: the default of the brokers, or there are assignments. */
    readonly replicationFactor: number
    /** The brokers of each partition, the preferred leader first. */
    readonly assignments: ReadonlyMap<number, readonly number[]>
    /** Settings of the topic itself. */
    readonly configs: ReadonlyMap<string, string | null>
  }>

  /** `topicId` absent: the topic that has the name when the request arrives. */
  deleteTopic: RouterOperation<{ readonly topic: string; readonly topicId?: string | undefined }, Success>

  /** `total`: the number of partitions that the topic then has. */
  createPartitions: Change<{ readonly topic: string; readonly total: number }>

  /** Deletes the records before an offset. */
  deleteRecords: OfPartition<{ readonly offset: Offset }, Success>

  /** Deletes a group that has no members, with its offsets. */
  deleteGroup: OfGroup<unknown, Success>

  describeConfigs: RouterOperation<
    {
      /** All of one type. Resources of type `broker` have one name, that of the broker that is asked. */
      readonly resources: readonly ConfigResourceId[]
      /** The broker to ask. Default: the broker whose settings these are, or any broker. */
      readonly nodeId?: number | undefined
      /** The settings to describe. Default: all. */
      readonly names?: readonly string[] | undefined
      readonly withSynonyms?: boolean
    },
    /** Settings by the name of the resource. A topic that does not exist is absent. */
    Success & { readonly configs: ReadonlyMap<string, readonly DescribedConfig[]> }
  >

  /** Changes settings of one resource, all or none. `value` null: the setting gets its default again. */
  alterConfigs: Change<{
    readonly resource: ConfigResourceId
    readonly changes: readonly { readonly name: string; readonly value: string | null }[]
  }>

  /** The entries of access control lists that a filter selects. */
  describeAcls: RouterOperation<{ readonly filter: AclFilter }, Success & { readonly entries: readonly AclEntry[] }>

  /** Operations on topics that Castellan's principal may use. `topics` null: all topics. */
  fetchTopicOperations: RouterOperation<
    { readonly topics: readonly string[] | null },
    /** Topics that do not exist are absent, and so are all topics where the broker does not report operations. */
    Success & { readonly operations: ReadonlyMap<string, readonly AclOperation[]> }
  >

  /** Asks the leader for the end of the log for readers of committed records, whatever the Router's isolation level is. */
  fetchStableEnd: OfPartition<unknown, Success & { readonly offset: Offset }>

  /**
   * Asks the leader for the end of the log, records of open transactions included. It is asked over the connection for
   * administration, where it delays no reader and no group.
   */
  fetchLogEnd: OfPartition<unknown, Success & { readonly offset: Offset }>

  /** Empty: the group has committed nothing, or there is no such group. */
  fetchGroupOffsets: OfGroup<
    unknown,
    Success & { readonly offsets: readonly (TopicPartition & { readonly offset: Offset; readonly metadata: string })[] }
  >

  /** This and all following operations are used by transactions only. `current` absent: the id is opened. */
  initTransactionalId: OfTransaction<
    { readonly transactionTimeoutMs: number; readonly current: NumberedProducer | undefined },
    Success & NumberedProducer
  >

  addPartitionsToTxn: OfTransaction<{
    readonly producer: NumberedProducer
    readonly partitions: readonly TopicPartition[]
  }>

  addOffsetsToTxn: OfTransaction<{ readonly producer: NumberedProducer; readonly group: string }>

  endTxn: OfTransaction<{ readonly producer: NumberedProducer; readonly isCommit: boolean }>

  txnOffsetCommit: OfGroup<
    {
      readonly transactionalId: string
      readonly producer: NumberedProducer
      readonly member: GroupMembership
      readonly offsets: readonly (TopicPartition & {
        readonly offset: Offset
        readonly leaderEpoch: number
        readonly metadata: string
      })[]
    },
    Success | { readonly type: 'metadataTooLarge'; readonly topicPartition: TopicPartition }
  >

  /** This and all following operations are used by queues only. Keeps a member in a share group (KIP-932). */
  shareHeartbeat: OfGroup<
    {
      /** The member chooses its id: a UUID, of at most 36 characters. */
      readonly memberId: string
      /** 0: the member joins; -1: it leaves; else the epoch of the last answer. */
      readonly memberEpoch: number
      /** The subscription; `null`: as before. */
      readonly topics: readonly string[] | null
    },
    Success & {
      readonly memberEpoch: number
      readonly heartbeatIntervalMs: number
      /** Topic id -> partitions; `null`: as before. It is empty until the coordinator has assigned partitions. */
      readonly assignment: ReadonlyMap<string, readonly number[]> | null
    }
  >

  /** Acquires exactly as many offsets as are asked for, or fewer. */
  shareFetch: OfSession<
    Omit<ShareFetchCall, 'isExact' | 'decompression'>,
    Pick<ShareFetchResponse, 'acquisitionLockMs' | 'partitions'>
  >

  /** Settles records, or renews their locks. With the epoch -1 Kafka ends the session, and releases the rest. */
  shareAcknowledge: OfSession<ShareAcknowledgeCall, Pick<ShareAcknowledgeResponse, 'acquisitionLockMs' | 'partitions'>>

  describeShareGroup: OfGroup<
    unknown,
    | {
        readonly type: 'success'
        /** `Empty` or `Stable`; or a state that a later version of Kafka adds. */
        readonly state: string
        /** The broker that has answered; it coordinates the group. */
        readonly coordinatorId: number
        readonly members: readonly ShareMember[]
      }
    | NotFound
  >

  /**
   * Where the shared partitions of a group begin, of one topic or of all. -1: not known yet. Empty: the group has no state, or there
   * is no such group.
   */
  fetchShareOffsets: OfGroup<
    { readonly topic: string | null },
    Success & { readonly offsets: DescribeShareGroupOffsetsResponse['offsets'] }
  >

  /** Moves a share group without members to other offsets in a topic. A group that does not exist is made. */
  alterShareOffsets: OfGroup<{ readonly topic: string; readonly offsets: ReadonlyMap<number, Offset> }, Success>

  /** Lets a share group without members forget a topic. */
  deleteShareOffsets: OfGroup<{ readonly topic: string }, Success>
}

/** A partition in the answer to a fetch of a share session. */
export type SharePartitionAnswer = ShareFetchResponse['partitions'][number]

/** No coordinator knows such a group. */
type NotFound = { readonly type: 'notFound' }
type DescribedGroup = DescribeGroupsResponse['groups'][number]

type ResultIn<Of extends RouterOperation<unknown, unknown>> = Of['told'] | TimedOut | Failure
export type InternalOperations = {
  readonly [Kind in keyof Table]: {
    readonly request: Request<ResultIn<Table[Kind]>> & { readonly type: Kind } & Table[Kind]['fields']
    readonly result: ResultIn<Table[Kind]>
  }
}

/**
 * Internal, from the gateway only: a topic was created, deleted or enlarged, by this process. The
 * Router does not wait until look-ups have shown it. There is no answer.
 */
export interface TopicChanged {
  readonly type: 'topicChanged'
  readonly topic: string
  readonly isDeleted: boolean
}

/**
 * Internal, from queues only: closes the connection of a share session at once, so that Kafka releases what the session has
 * acquired. A call without an answer is answered `timedOut`. There is no answer to this message.
 */
export interface CloseShareConnection {
  readonly type: 'closeShareConnection'
  readonly nodeId: number
  readonly groupId: string
  readonly memberId: string
}
