import { NOTHING, type StatusPart } from '../../../src/http/status/status.js'
import type { Judged } from '../../../src/http/status/trouble.js'

/** The status of a process where nothing is wrong. */
export const calmPart: StatusPart = {
  ...NOTHING,
  process: { eventLoopUse: 0.1, maxEventLoopDelayMs: 500, maxHeapShare: 0.9 },
  clusters: [
    {
      name: 'default',
      isReady: true,
      brokers: [{ nodeId: 1, address: 'kafka-1:9092', state: 'up', forMs: 0 }]
    }
  ],
  memory: { ...NOTHING.memory, limitBytes: 1_000, timeoutMs: 120_000 },
  log: { ...NOTHING.log, state: 'ok', limitBytes: 1_000 }
}

/** The status of a gateway where nothing is wrong. */
export const calm: Judged = {
  version: 1,
  at: '2026-11-24T06:00:00.000Z',
  gateway: {
    version: '1.2.3',
    broker: 'kafka',
    uptimeSeconds: 60,
    isReady: true,
    reasons: [],
    warnings: []
  },
  ...calmPart
}

/** A topic where nothing is wrong. */
export const calmTopic: StatusPart['topics']['rows'][number] = {
  cluster: 'default',
  topic: 'orders',
  state: 'flowing',
  memory: { records: 2, bytes: 2_048, oldestAgeMs: 1_500 },
  partitions: 3,
  troubledPartitions: 0,
  troubled: []
}
