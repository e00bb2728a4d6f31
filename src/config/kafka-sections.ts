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
      .describe(
        'Records waiting for Kafka, all partitions together, bookkeeping included; more are refused as overload'
      ),
    maxLaneBytes: bytes
      .default(16 * MIB)
      .describe('The same for one partition, so that a stuck one leaves room for the others'),
    batchMaxBytes: bytes
      .default(1_000_000)
      .describe("One record batch; at most the topics' `max.message.bytes`. A single larger record travels alone"),
    maxRecordBytes: bytes.default(1 * MIB).describe('Key, value and headers of one record; larger ones are refused'),
    timeoutMs: milliseconds
      .default(120_000)
      .describe(
        'How long a batch that may have reached a broker is tried again before it is given up, and the longest any record waits'
      ),
    unknownTopicWaitMs: milliseconds
      .default(5_000)
      .describe('How long records wait for a topic the brokers do not know; their answer is remembered as long'),
    unknownTopicMaxBytes: bytes.default(1 * MIB).describe('Records that wait for one such topic'),
    maxUnknownTopics: count
      .default(1_000)
      .describe('Topics being waited for at one time; records of further ones are refused'),
    createTopics: z
      .boolean()
      .default(true)
      .describe('Lets the brokers create a topic somebody writes to, if they are set up to'),
    metadataMaxAgeMs: milliseconds
      .default(30_000)
      .describe('Topics in use are looked up again after this, which is how added partitions are seen'),
    lookUpIntervalMs: milliseconds
      .default(50)
      .describe('Least time between two look-ups of topics: 50 ms are 20 a second'),
    retryBackoffMs: milliseconds.default(100).describe('Wait before a batch is tried again; doubles with every try'),
    retryBackoffMaxMs: milliseconds.default(1_000).describe('Longest such wait'),
    answerTimeoutMs: milliseconds
      .default(60_000)
      .describe('How long the Router may keep a batch before it counts as unanswered'),
    compression: z
      .enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
      .default('none')
      .describe('How record batches are compressed before they are sent')
  })
  .prefault({})
  .describe('Writing: lanes per partition')

export const cacheSettings = z
  .strictObject({
    maxBytes: bytes.default(128 * MIB).describe('Memory for fetched record batches, all brokers together')
  })
  .prefault({})
  .describe('Fetched record batches, shared by all readers')
