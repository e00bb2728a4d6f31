import type { OpenCastellanOptions } from '../../../../src/client/castellan.js'
import type { SeededRandom } from '../../../support/random.js'

const MIB = 1_048_576

/**
 * Limits and times of all sizes, and each way to compress: what is rare with large ones is common with small ones. Whatever is
 * drawn, the contract holds. (zstd is loaded by way of other threads where Node has none of its own.)
 */
export const someSettings = (random: SeededRandom) =>
  ({
    connection: { requestTimeoutMs: random.pick([1_000, 5_000, 10_000]) },
    router: {
      produceConnections: random.pick([1, 1, 2]),
      cacheMaxBytes: random.pick([4_096, 65_536, MIB]),
      callTimeoutMs: random.pick([1_000, 5_000]),
      decompressedMaxBytes: random.pick([500_000, 128 * MIB]),
      fetchMaxBytes: random.pick([3_000, 16 * MIB]),
      fetchBufferBytes: random.pick([500, MIB]),
      fetchMaxWaitMs: random.pick([20, 100, 500]),
      isolationLevel: random.pick(['readUncommitted', 'readCommitted'] as const),
      produceRequestMaxBytes: random.pick([1_500, 8 * MIB]),
      produceBrokerTimeoutMs: random.pick([200, 1_500]),
      produceWaitMs: random.pick([300, 5_000]),
      metadataMaxAgeMs: random.pick([400, 10_000])
    },
    delivery: {
      batchMaxBytes: random.pick([300, 2_000, 1_000_000]),
      maxBytes: random.pick([20_000, 1_000_000]),
      timeoutMs: random.pick([3_000, 30_000, 120_000]),
      // Longer than a batch may wait for a leader and be in a call: one that is given up sooner counts as sent.
      answerTimeoutMs: random.pick([20_000, 60_000]),
      retryBackoffMs: random.pick([10, 100]),
      metadataMaxAgeMs: random.pick([300, 10_000]),
      compression: random.pick(['none', 'none', 'gzip', 'snappy', 'lz4'] as const),
      createTopics: false
    }
  }) satisfies Omit<OpenCastellanOptions, 'brokers'>

/** A batch is no larger than what may be decompressed, and that is what two of them take. */
export const littleDecompressed = {
  delivery: { batchMaxBytes: 2_000 },
  router: { decompressedMaxBytes: 6_000 }
} as const

/** Where answers to readers have a bound: a reader waits for metadata that is not too old. */
export const usualReads = {
  fetchMaxBytes: 16 * MIB,
  fetchBufferBytes: MIB,
  fetchMaxWaitMs: 100,
  metadataMaxAgeMs: 10_000
} as const

/**
 * The same for a gateway, by their names in the configuration. Nobody hears of it when it gives up what it has accepted. Sizes and
 * times that a gateway has as constants are drawn for the library only.
 */
export function someGatewaySettings(random: SeededRandom): Record<string, string> {
  const { connection, router, delivery } = someSettings(random)
  const { cacheMaxBytes, decompressedMaxBytes, isolationLevel, fetchMaxBytes, fetchBufferBytes, fetchMaxWaitMs } =
    router
  const { callTimeoutMs, metadataMaxAgeMs, produceConnections } = router
  const { batchMaxBytes, maxBytes, compression, createTopics } = delivery
  return {
    ...named('clusters.default', connection),
    ...named('cache', { maxBytes: cacheMaxBytes }),
    ...named('advanced.cache', { decompressedMaxBytes }),
    ...named('router', { isolationLevel }),
    ...named('advanced.router', {
      ...{ fetchMaxBytes, fetchBufferBytes, fetchMaxWaitMs },
      ...{ callTimeoutMs, metadataMaxAgeMs, produceConnections }
    }),
    ...named('delivery', { batchMaxBytes, maxBytes, compression, createTopics })
  }
}

/** Of the durable log: memory for a few records or for all, and what may be synced later. */
export const someLogSettings = (random: SeededRandom): Record<string, string> =>
  named('advanced.wal', {
    readAheadBytes: random.pick([4_000, 64 * MIB]),
    maxWaitingBytes: random.pick([20_000, 64 * MIB]),
    fsyncTakes: random.pick([true, false])
  })

export const named = (section: string, settings: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`${section}.${name}`, String(value)]))
