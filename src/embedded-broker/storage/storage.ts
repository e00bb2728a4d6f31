import { randomBytes } from 'node:crypto'
import type { OpenSegmentBytes } from '../log/segment-bytes.js'
import { openMemoryBytes } from '../log/segment-bytes.js'
import type { TopicDescription } from '../topics/topic-table.js'

/** The stored state of one partition's log. */
export interface LogFiles {
  readonly open: OpenSegmentBytes
  /** Base offsets of the stored segments, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly rollsAtGaps: boolean
  /** Keeps a copy of damaged bytes. @returns its location, for messages */
  readonly quarantine: (baseOffset: number, position: number, bytes: Buffer) => string
}

/** One committed offset as it is stored. */
export interface StoredOffset {
  readonly groupId: string
  readonly topic: string
  readonly partition: number
  /** -1: forgotten. */
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
  readonly committedAtMs: number
}

/** Where the cluster stores what must survive it: nowhere, or in a directory. */
export interface Storage {
  readonly clusterId: string
  /** Segment files that are open. */
  readonly openFiles: number
  topics(): readonly TopicDescription[]
  /** Saves soon; `describe` is called then. */
  saveTopics(describe: () => readonly TopicDescription[]): void
  /**
   * Stores this topic before records of it are acknowledged.
   *
   * @throws Error when it cannot be stored
   */
  requireSaved(topicId: string): void
  /** `isNew`: stored data of a former topic of this name is removed first. */
  openLog(topic: string, partition: number, isNew: boolean): LogFiles
  removeLog(topic: string, partition: number): void
  nextProducerId(): number
  /** @throws Error when it cannot be written down */
  saveNextProducerId(next: number): void
  offsets(): readonly StoredOffset[]
  /** @throws Error when they cannot be written down; then none of them counts */
  saveOffsets(offsets: readonly StoredOffset[]): void
  /** Writes what is not written yet. */
  close(): void
}

export const FIRST_PRODUCER_ID = 1000

export const newClusterId = (): string => randomBytes(16).toString('base64url')

/** Stores nothing. */
export const memoryStorage = (): Storage => ({
  clusterId: newClusterId(),
  openFiles: 0,
  topics: () => [],
  saveTopics() {},
  requireSaved() {},
  openLog: () => ({ open: openMemoryBytes, baseOffsets: [], rollsAtGaps: false, quarantine: () => '' }),
  removeLog() {},
  nextProducerId: () => FIRST_PRODUCER_ID,
  saveNextProducerId() {},
  offsets: () => [],
  saveOffsets() {},
  close() {}
})
