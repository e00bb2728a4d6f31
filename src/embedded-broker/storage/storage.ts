import { randomBytes } from 'node:crypto'
import { type OpenSegmentBytes, openMemoryBytes } from '../log/segment.js'
import type { TopicDescription } from '../topics/topic-table.js'

export interface LogFiles {
  readonly open: OpenSegmentBytes
  /** Base offsets of the stored segments, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly rollsAtGaps: boolean
  /** Keeps a copy of damaged bytes. @returns its location, for messages */
  readonly quarantine: (baseOffset: number, position: number, bytes: Buffer) => string
}

export interface StoredOffset {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  /** Clients may commit negative offsets, too. */
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedAtMs: number
}

/** True for -1 without metadata, as which brokers answer that no offset is stored. */
export const isForgotten = ({ offset, metadata }: Pick<StoredOffset, 'offset' | 'metadata'>): boolean =>
  offset === -1 && metadata === ''

export interface StoredCluster {
  readonly clusterId: string
  readonly nextProducerId: number
  readonly topics: readonly TopicDescription[]
  /** Saves the topics a little later. `describe` is called when they are saved. */
  saveTopics(describe: () => readonly TopicDescription[]): void
  /**
   * Called before records of this topic are acknowledged. Stores the topic if it is not stored yet.
   *
   * @throws Error when it cannot be stored
   */
  requireSaved(topicId: string): void
  /** @throws Error when it cannot be stored */
  saveNextProducerId(next: number): void
}

export interface StoredOffsets {
  all(): readonly StoredOffset[]
  /** @throws Error when the offsets cannot be stored; none of them takes effect then */
  save(offsets: readonly StoredOffset[]): void
}

export interface StoredLogs {
  /** `isNew`: stored data of a former topic of this name is removed first. */
  open(topic: string, partition: number, isNew: boolean): LogFiles
  remove(topic: string, partition: number): void
}

/** The storage of the cluster's state, in a directory or in memory. */
export interface Storage {
  readonly cluster: StoredCluster
  readonly offsets: StoredOffsets
  readonly logs: StoredLogs
  /** Stores all changes that are not stored yet. */
  close(): void
}

export const FIRST_PRODUCER_ID = 1000

export const newClusterId = (): string => randomBytes(16).toString('base64url')

const inMemory: LogFiles = { open: openMemoryBytes, baseOffsets: [], rollsAtGaps: false, quarantine: () => '' }

export const memoryStorage = (): Storage => ({
  cluster: {
    clusterId: newClusterId(),
    nextProducerId: FIRST_PRODUCER_ID,
    topics: [],
    saveTopics() {},
    requireSaved() {},
    saveNextProducerId() {}
  },
  offsets: { all: () => [], save() {} },
  logs: { open: () => inMemory, remove() {} },
  close() {}
})
