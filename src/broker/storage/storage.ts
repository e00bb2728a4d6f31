import { randomBytes } from 'node:crypto'
import type { OpenSegmentBytes } from '../log/segment-bytes.js'
import { openMemoryBytes } from '../log/segment-bytes.js'
import type { TopicDescription } from '../topics/topic-table.js'

/** What is there already of one partition's log. */
export interface LogFiles {
  readonly open: OpenSegmentBytes
  /** Of the segments found, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly rollsAtGaps: boolean
  /** Puts a copy of damaged bytes aside. @returns where they are, for people */
  readonly quarantine: (baseOffset: number, position: number, bytes: Buffer) => string
}

/** One committed offset as it is kept. */
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

/** Where the cluster keeps what must outlive it: nowhere, or in a directory. */
export interface Storage {
  readonly clusterId: string
  /** Segment files that are open. */
  readonly openFiles: number
  topics(): readonly TopicDescription[]
  /** Saves soon; `describe` is called then. */
  saveTopics(describe: () => readonly TopicDescription[]): void
  /**
   * Makes sure that this topic outlives the process, before records of it are acknowledged.
   *
   * @throws Error when it cannot be written down
   */
  requireSaved(topicId: string): void
  /** `isNew`: whatever is there of another topic of this name is removed first. */
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

/** Keeps nothing. */
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
