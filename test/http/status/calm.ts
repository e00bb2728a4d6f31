import type { StatusPart } from '../../../src/http/status/status.js'
import type { Judged } from '../../../src/http/status/trouble.js'

const NO_TIMES = { count: 0, seconds: 0 }

/** The status of a process where nothing is wrong. */
export const calmPart: StatusPart = {
  workers: [{ number: 1, isUp: true, restarts: 0, eventLoopUse: 0.1, maxEventLoopDelayMs: 500, maxHeapShare: 0.9 }],
  clusters: [
    {
      name: 'default',
      isReady: true,
      brokers: [{ nodeId: 1, address: 'kafka-1:9092', state: 'up', forMs: 0 }]
    }
  ],
  memory: {
    records: 0,
    bytes: 0,
    limitBytes: 1_000,
    stuckBytes: 0,
    oldestAgeMs: 0,
    timeoutMs: 120_000,
    delivered: 0,
    failed: 0,
    lost: 0
  },
  log: {
    state: 'ok',
    limitBytes: 1_000,
    sizeBytes: 0,
    records: 0,
    oldestAgeMs: 0,
    deadLetters: 0,
    damagedRecords: 0,
    quarantinedSegments: 0,
    damagedFiles: 0
  },
  topics: { total: 0, rows: [] },
  groups: { total: 0, rows: [] },
  certificates: [],
  requests: { total: 0, failed: 0, refused: 0, inFlight: 0, connections: 0 },
  way: {
    request: NO_TIMES,
    body: NO_TIMES,
    admission: NO_TIMES,
    capacity: NO_TIMES,
    partition: NO_TIMES,
    router: NO_TIMES,
    broker: NO_TIMES
  },
  refusals: [],
  failures: [],
  losses: [],
  lines: []
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
    warnings: [],
    silentWorkers: []
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
