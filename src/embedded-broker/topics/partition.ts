import type { SegmentedLog } from '../log/partition-log.js'

export const NO_LEADER = -1

export class StoredPartition {
  readonly topic: string
  readonly index: number
  readonly log: SegmentedLog
  /** The first replica is the preferred leader. */
  readonly replicas: readonly number[]
  #leaderId: number
  #leaderEpoch: number

  constructor(topic: string, index: number, replicas: readonly number[], leaderEpoch: number, log: SegmentedLog) {
    this.topic = topic
    this.index = index
    this.log = log
    this.replicas = replicas
    this.#leaderId = replicas[0] ?? NO_LEADER
    this.#leaderEpoch = leaderEpoch
  }

  /** -1: the partition has no leader. */
  get leaderId(): number {
    return this.#leaderId
  }
  get leaderEpoch(): number {
    return this.#leaderEpoch
  }

  hasReplicaOn(nodeId: number): boolean {
    return this.replicas.includes(nodeId)
  }

  moveLeader(nodeId: number): void {
    if (nodeId === this.#leaderId) return
    this.#leaderId = nodeId
    this.beginTerm()
  }

  /** Begins a new leader epoch, even if the leader stays the same. */
  beginTerm(): void {
    this.#leaderEpoch++
  }
}
