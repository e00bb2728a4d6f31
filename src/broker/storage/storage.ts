import { randomBytes } from 'node:crypto'
import type { OpenSegmentBytes } from '../log/segment-bytes.js'
import { openMemoryBytes } from '../log/segment-bytes.js'
import type { TopicDescription } from '../topics/topic-table.js'

/** What is there already of one partition's log. */
export interface LogFiles {
  readonly open: OpenSegmentBytes
  /** Of the segments found, oldest first. */
  readonly baseOffsets: readonly number[]
  readonly truncate: (baseOffset: number, sizeBytes: number) => void
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
  openLog(topic: string, partition: number): LogFiles
  removeLog(topic: string, partition: number): void
  nextProducerId(): number
  saveNextProducerId(next: number): void
  offsets(): readonly StoredOffset[]
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
  openLog: () => ({ open: openMemoryBytes, baseOffsets: [], truncate() {} }),
  removeLog() {},
  nextProducerId: () => FIRST_PRODUCER_ID,
  saveNextProducerId() {},
  offsets: () => [],
  saveOffsets() {},
  close() {}
})
