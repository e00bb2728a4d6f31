import type { Offset } from '../core/model.js'

export interface ShareGroupMember {
  readonly memberId: string
  /** The name that the client gives itself; several members may have the same name. */
  readonly clientId: string
  /** The client's address, as the coordinator writes it. */
  readonly clientHost: string
  /** Topic -> partitions. A gateway reads all partitions, whatever is assigned. */
  readonly partitions: ReadonlyMap<string, readonly number[]>
}

/** A share group (KIP-932). Several members may have the same partition. */
export interface ShareGroupDescription {
  readonly groupId: string
  /** `Empty` or `Stable`; or a state that a later version of Kafka adds. */
  readonly state: string
  readonly coordinatorId: number
  readonly members: readonly ShareGroupMember[]
}

export interface ShareGroup extends ShareGroupDescription {
  /** The topics of which the group has a state, or which a member reads, in the order of their names. */
  readonly topics: readonly string[]
  /** The partitions of these topics that have a state, or are assigned to a member, in their order. */
  readonly partitions: ReadonlyMap<string, readonly number[]>
}

/** Selects share groups of a list. An absent field sets no limit. */
export interface ShareGroupsOnly {
  /** Only groups whose names come later. */
  readonly after?: string | undefined
  /** How many groups are described at most. */
  readonly most?: number | undefined
  /** Whether the caller may see a group. Coordinators are asked only about groups that the caller may see. */
  readonly includes?: ((groupId: string) => boolean) | undefined
}

export interface ShareGroupList {
  /** In the order of their names. */
  readonly groups: readonly ShareGroup[]
  /** More groups come after this name. `undefined`: there are no more. */
  readonly next: string | undefined
}

/** New start of a group: in all partitions of a topic, or at offsets of named partitions. */
export type ResetTo =
  | 'earliest'
  | 'latest'
  | { readonly timestampMs: number }
  | { readonly offsets: ReadonlyMap<number, Offset> }

export interface MovedPartition {
  readonly partition: number
  /** The offset of the first record that was not settled; `null`: Kafka had no state of the partition. */
  readonly from: Offset | null
  readonly to: Offset
}

/**
 * Administration of share groups. All calls throw CastellanError when Kafka does not answer in time, and KafkaError when it
 * refuses: 35 when it has no share groups, 69 when there is no share group of this name, 68 when the group has members.
 */
export interface ShareGroupVerbs {
  /** A group that cannot be described is left out. Kafka hides groups that the gateway may not describe. */
  list(only: ShareGroupsOnly, timeoutMs: number): Promise<ShareGroupList>
  describe(groupId: string, timeoutMs: number): Promise<ShareGroup>
  /**
   * Moves a group without members to other offsets in a topic, each of which its log has. Locks and delivery counts are gone.
   *
   * @param isDryRun nothing is changed; what would be refused, is refused
   * @throws InvalidRequestError when there is no such topic, partition or offset
   */
  reset(
    topic: string,
    groupId: string,
    to: ResetTo,
    isDryRun: boolean,
    timeoutMs: number
  ): Promise<readonly MovedPartition[]>
  /** Lets a group without members forget a topic. @throws KafkaError 3 when it has no state of the topic */
  forget(topic: string, groupId: string, timeoutMs: number): Promise<void>
  /** Deletes a group without members, with all its state. */
  delete(groupId: string, timeoutMs: number): Promise<void>
}
