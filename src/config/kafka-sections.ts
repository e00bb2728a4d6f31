import { z } from 'zod'
import { bytes, count, milliseconds } from './units.js'

const KIB = 1024
const MIB = 1024 * KIB

export const routerSettings = z
  .strictObject({
    requestTimeoutMs: milliseconds
      .default(10_000)
      .describe('An accepted request is answered within this, if only with `timedOut`'),
    fetchMaxWaitMs: milliseconds
      .default(100)
      .describe('How long a read at the end of a partition waits for something new before it is answered `noMessages`'),
    fetchMaxBytes: bytes.default(8 * MIB).describe('Most bytes of one answer to a fetch, over all partitions'),
    fetchPartitionMaxBytes: bytes.default(1 * MIB).describe('Most bytes of one partition in it'),
    isolationLevel: z
      .enum(['readUncommitted', 'readCommitted'])
      .default('readUncommitted')
      .describe('`readCommitted` hides records of transactions that are open or aborted'),
    metadataMaxAgeMs: milliseconds.default(30_000).describe('Topics in use are looked up again after this'),
    maxParkedRequests: count.default(100_000).describe('Requests waiting for a leader; more are refused as overload')
  })
  .prefault({})
  .describe('The Router: requests to Kafka')

export const deliverySettings = z
  .strictObject({
    maxBytes: bytes
      .default(64 * MIB)
      .describe('Records waiting for Kafka, all partitions together; more are refused as overload'),
    maxLaneBytes: bytes
      .default(16 * MIB)
      .describe('The same for one partition, so that a stuck one leaves room for the others'),
    batchMaxBytes: bytes
      .default(1_000_000)
      .describe("Most bytes of one record batch; at most the topic's `max.message.bytes`"),
    timeoutMs: milliseconds
      .default(120_000)
      .describe('How long a record that may have reached a broker is tried again before it is given up'),
    unknownTopicWaitMs: milliseconds.default(5_000).describe('How long records wait for a topic nobody knows yet'),
    unknownTopicMaxBytes: bytes.default(1 * MIB).describe('Most bytes of records that wait for one such topic')
  })
  .prefault({})
  .describe('Writing: lanes per partition')

export const cacheSettings = z
  .strictObject({
    maxBytes: bytes.default(128 * MIB).describe('Memory for fetched record batches, all brokers together')
  })
  .prefault({})
  .describe('Fetched record batches, shared by all readers')
