/** What the embedded broker holds at most. Every limit counts what is there, never what a client announces. */
export interface EmbeddedLimits {
  /** Further topics are refused. */
  readonly maxTopics: number
  /** Of all topics together; further ones are refused. */
  readonly maxPartitions: number
  /** Segment files that are open at a time in a directory; the least recently used one is closed for another. */
  readonly maxOpenFiles: number
  /** Of all nodes together; a further one is closed at once. */
  readonly maxConnections: number
  /** A connection on which nothing happens for so long is closed. */
  readonly idleTimeoutMs: number
  /** A request that is not there as a whole so long after its first byte closes its connection. */
  readonly requestTimeoutMs: number
  /** One request; a larger one closes its connection. */
  readonly maxRequestBytes: number
  /**
   * All connections together: requests that came in part or wait to be served, and answers that were not read. Beyond
   * it the connection that has made no progress for the longest is closed.
   */
  readonly maxHeldBytes: number
  /** Members of groups and what they told, and committed offsets; beyond it joining and committing are refused. */
  readonly maxGroupBytes: number
  /** A batch that claims more is refused. */
  readonly maxRecordsPerBatch: number
  /** What the compressed batches of one Produce request may grow to; beyond it they are refused. */
  readonly maxDecompressedBytes: number
}

const MIB = 1024 * 1024

export const embeddedLimits: EmbeddedLimits = {
  maxTopics: 25_000,
  maxPartitions: 100_000,
  maxOpenFiles: 256,
  maxConnections: 2_000,
  idleTimeoutMs: 600_000,
  requestTimeoutMs: 30_000,
  maxRequestBytes: 100 * MIB,
  maxHeldBytes: 256 * MIB,
  maxGroupBytes: 64 * MIB,
  maxRecordsPerBatch: 1_000_000,
  maxDecompressedBytes: 64 * MIB
}
