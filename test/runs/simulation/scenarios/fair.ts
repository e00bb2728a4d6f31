import { sealedBatch } from '../../../support/embedded-router.js'
import { History } from '../../../support/history-checker.js'
import type { Brokers, SimulatedTopic } from '../brokers.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Producer } from '../workloads/producer.js'
import { Reader } from '../workloads/reader.js'
import { depsOf, openService, recordsOf } from './library.js'

const PARTITIONS = 16
const wide: SimulatedTopic = { name: 'wide', partitions: PARTITIONS, replicationFactor: 1 }

/** What a fetch response holds is enough for one partition or two; nothing stays in the cache. */
const narrow = { fetchMaxBytes: 12_000, fetchBufferBytes: 10_000, cacheMaxBytes: 4_096 }
const RECORDS = 100
const VALUE_BYTES = 1_000
/** One way. */
const FAR_AWAY_MS = 80
/** Five or six partitions at each broker, a call for each of them, and one more. */
const BOUND_MS = 2_300

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, log } = setting
  const service = await openService(setting, 'service', { router: narrow })
  for (const host of brokers.hosts) world.network.delay(service.host, host, FAR_AWAY_MS)
  for (let partition = 0; partition < PARTITIONS; partition++) fill(brokers, partition)
  const history = new History()
  const deps = depsOf(setting, service, history)
  const writer = new Producer(
    {
      name: 'writer',
      topics: ['wide'],
      keys: 40,
      pauseMs: [100, 500],
      maxRecordsPerCall: 6,
      maxValueBytes: 100,
      deadlineMs: [5_000, 30_000],
      maxOpen: 20
    },
    deps('writer')
  )
  const readers = Array.from({ length: PARTITIONS }, (_, partition) => {
    const options = { name: `reader-${partition}`, topic: 'wide', partition, againAfter: RECORDS, boundMs: BOUND_MS }
    return new Reader(options, deps(options.name), log)
  })
  const lives = () => recordsOf(brokers, 'wide')
  return {
    processes: [service],
    workloads: [writer, ...readers],
    histories: [{ history, lives, tolerates: ['invented'] }]
  }
}

/** Records in batches of ten, so that there is something to read from the beginning. */
function fill({ cluster }: Brokers, partition: number): void {
  for (let first = 0; first < RECORDS; first += 10) {
    const values = Array.from({ length: 10 }, (_, index) => `${first + index}${'.'.repeat(VALUE_BYTES)}`)
    cluster.appendRaw('wide', partition, sealedBatch(values))
  }
}

export const fair: Scenario = {
  name: 'fair',
  about:
    'many partitions are read from their beginnings again and again, and no response has room for all: each gets its turn',
  topics: [wide],
  build,
  faults: { kinds: [], meanPauseMs: 1, topics: ['wide'], nodeIds: [1, 2, 3] }
}
