import { topicPartitionKey } from '../../core/model.js'
import type { ServedShareGroup } from './share-group.js'

/** The connection that opens a session. */
interface PeerOfSession {
  /** Calls back once when the connection ends. The returned function cancels this. */
  onClose(callback: () => void): () => void
}

export interface TopicIdPartition {
  readonly topicId: string
  readonly partition: number
}

export interface ServedSession {
  readonly key: string
  readonly nodeId: number
  readonly groupId: string
  readonly memberId: string
  /** The epoch that the next request must have. */
  epoch: number
  /** In the order of their turns. */
  readonly partitions: Map<string, TopicIdPartition>
  /** Ends the wait of a fetch, which is then answered that its epoch is out of date. */
  interrupt: (() => void) | undefined
  isOver: boolean
  /** Stops watching the connection that opened the session. */
  unbind: () => void
}

const MOST_SESSIONS_OF_NODE = 2_000
/** Limit of partitions in all sessions together. */
const MOST_PARTITIONS = 100_000
const LAST_EPOCH = 0x7fff_ffff
const keyOf = (nodeId: number, groupId: string, memberId: string): string =>
  `${nodeId} ${groupId.length} ${groupId} ${memberId}`

export const nextEpochOf = (epoch: number): number => (epoch === LAST_EPOCH ? 1 : epoch + 1)

/**
 * The share sessions of all nodes. A session belongs to the connection that has opened it: what its member holds becomes free
 * when the connection ends.
 */
export class ShareSessions {
  readonly #groups: { get(groupId: string): ServedShareGroup | undefined }
  readonly #sessions = new Map<string, ServedSession>()
  readonly #counts = new Map<number, number>()
  #partitions = 0

  constructor(groups: { get(groupId: string): ServedShareGroup | undefined }) {
    this.#groups = groups
  }

  get(nodeId: number, groupId: string, memberId: string): ServedSession | undefined {
    return this.#sessions.get(keyOf(nodeId, groupId, memberId))
  }

  /** Opens a session. A former one of the member is replaced, and its locks are kept. @returns `undefined`: there are too many */
  begin(nodeId: number, groupId: string, memberId: string, peer: PeerOfSession): ServedSession | undefined {
    const former = this.get(nodeId, groupId, memberId)
    if (former !== undefined) this.#forget(former)
    const count = this.#counts.get(nodeId) ?? 0
    if (count >= MOST_SESSIONS_OF_NODE) return undefined
    const session: ServedSession = {
      key: keyOf(nodeId, groupId, memberId),
      nodeId,
      groupId,
      memberId,
      epoch: 1,
      partitions: new Map(),
      interrupt: undefined,
      isOver: false,
      unbind: () => undefined
    }
    this.#sessions.set(session.key, session)
    this.#counts.set(nodeId, count + 1)
    session.unbind = peer.onClose(() => this.end(session))
    return session
  }

  /**
   * Adds partitions to a session, and removes others.
   *
   * @returns false when the limit does not allow the added ones; this ends the session
   */
  update(session: ServedSession, added: readonly TopicIdPartition[], forgotten: readonly TopicIdPartition[]): boolean {
    const { partitions } = session
    const before = partitions.size
    for (const { topicId, partition } of added)
      partitions.set(topicPartitionKey(topicId, partition), { topicId, partition })
    for (const { topicId, partition } of forgotten) partitions.delete(topicPartitionKey(topicId, partition))
    this.#partitions += partitions.size - before
    if (this.#partitions <= MOST_PARTITIONS) return true
    this.end(session)
    return false
  }

  /** Ends a session. What its member holds at this node becomes free at once. */
  end(session: ServedSession): void {
    if (session.isOver) return
    this.#forget(session)
    const { groupId, nodeId, memberId, partitions } = session
    const group = this.#groups.get(groupId)
    for (const { topicId, partition } of partitions.values()) group?.release(nodeId, topicId, partition, memberId)
  }

  /** A stopped node forgets sessions and locks, without counting a delivery. */
  nodeStopped(nodeId: number): void {
    for (const session of [...this.#sessions.values()]) if (session.nodeId === nodeId) this.#forget(session)
  }

  #forget(session: ServedSession): void {
    session.isOver = true
    session.unbind()
    session.interrupt?.()
    this.#sessions.delete(session.key)
    this.#partitions -= session.partitions.size
    this.#counts.set(session.nodeId, this.#counts.get(session.nodeId)! - 1)
  }
}
