import { History } from '../../../support/history-checker.js'
import { Brokers } from '../brokers.js'
import { isRenumberedFor } from '../departures.js'
import { recordText } from '../record-text.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Producer } from '../workloads/producer.js'
import { Reader } from '../workloads/reader.js'
import { depsOf, events, logOf, openService, orders } from './library.js'

const topics = [orders, events]

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers } = setting
  const standby = await Brokers.start(world, brokers.hosts.length, topics, 'standby')
  const service = await openService(setting, 'service')
  // At home in the other cluster, where producer ids begin with the same number.
  const native = await openService(setting, 'native', { prepare: host => standby.takeOver([host]) })
  const history = new History()
  const deps = depsOf(setting, service, history)
  const usual = { topics: ['orders', 'events'], keys: 4, pauseMs: [20, 300] as const, maxOpen: 20 }
  const log = {
    endOf: setting.log.endOf,
    livesOf: (topic: string, partition: number) =>
      [brokers, standby].map(({ cluster }) => ({
        endedAt: Number.POSITIVE_INFINITY,
        values: new Map(cluster.records(topic, partition).map(record => [record.offset, recordText(record)] as const))
      }))
  }
  const workloads = [
    new Producer(
      { ...usual, name: 'native', maxRecordsPerCall: 3, maxValueBytes: 100, deadlineMs: [5_000, 30_000] },
      depsOf(setting, native, history)('native')
    ),
    new Producer(
      { ...usual, name: 'steady', maxRecordsPerCall: 3, maxValueBytes: 100, deadlineMs: [5_000, 30_000] },
      deps('steady')
    ),
    new Producer(
      { ...usual, name: 'hasty', maxRecordsPerCall: 6, maxValueBytes: 500, deadlineMs: [50, 2_000] },
      deps('hasty')
    ),
    new Reader({ name: 'tail', topic: 'orders', partition: 0, isMortal: true }, deps('tail'), log),
    new Reader({ name: 'again', topic: 'events', partition: 1, isMortal: true, againAfter: 30 }, deps('again'), log)
  ]
  // A record that the first cluster stored without saying so is written again in the other, under another producer id,
  // and under that one once more in the first.
  const lives = () => [logOf(brokers), logOf(standby)]
  return {
    processes: [service],
    others: [native],
    workloads,
    standby,
    histories: [{ history, lives, tolerates: [], mayDouble: isRenumberedFor(() => standby.changedAt) }]
  }
}

export const elsewhere: Scenario = {
  name: 'elsewhere',
  about: 'another cluster answers at the addresses for a while, and the first one again',
  topics,
  build,
  faults: {
    kinds: ['anotherCluster', 'stopBroker', 'dropResponse', 'moveLeader', 'cut', 'stall', 'delay'],
    meanPauseMs: 4_000,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
