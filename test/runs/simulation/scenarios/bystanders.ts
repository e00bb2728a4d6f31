import { History } from '../../../support/history-checker.js'
import type { SimulatedTopic } from '../brokers.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Bystander } from '../workloads/bystander.js'
import { Inventor } from '../workloads/inventor.js'
import { Producer } from '../workloads/producer.js'
import { Reader } from '../workloads/reader.js'
import { depsOf, openService, orders, recordsOf } from './library.js'
import { usualReads } from './settings.js'

/** One copy of each partition: the third is on node 3, which nobody harms. */
const quiet: SimulatedTopic = { name: 'quiet', partitions: 3, replicationFactor: 1 }
const QUIET_PARTITION = 2
const UNHARMED_NODE = 3

/** A bystander's answers come in this time, whatever happens to others. */
const BOUND_MS = 500

async function build(setting: Setting): Promise<Cast> {
  const { brokers, log } = setting
  const service = await openService(setting, 'service', {
    delivery: { maxBytes: 2_000_000, maxPartitionBytes: 100_000 },
    router: usualReads
  })
  const history = new History()
  const deps = depsOf(setting, service, history)
  const usual = { topics: ['orders'], keys: 4, pauseMs: [20, 300] as const, maxOpen: 20 }
  const bystander = { topic: 'quiet', partition: QUIET_PARTITION, boundMs: BOUND_MS, groupNode: UNHARMED_NODE }
  const workloads = [
    new Producer(
      { ...usual, name: 'steady', maxRecordsPerCall: 10, maxValueBytes: 500, deadlineMs: [5_000, 30_000] },
      deps('steady')
    ),
    new Reader({ name: 'tail', topic: 'orders', partition: 0 }, deps('tail'), log),
    new Reader({ name: 'other', topic: 'orders', partition: 1 }, deps('other'), log),
    new Inventor({ name: 'inventor', pauseMs: [10, 200] }, deps('inventor')),
    new Bystander({ ...bystander, name: 'bystander', pauseMs: [20, 200] }, deps('bystander'))
  ]
  return {
    processes: [service],
    workloads,
    histories: [{ history, lives: () => recordsOf(brokers, 'orders'), tolerates: [] }]
  }
}

export const bystanders: Scenario = {
  name: 'bystanders',
  about: 'two of three brokers and all topics but one are harmed; who has to do with the others must not notice',
  topics: [orders, quiet],
  build,
  faults: {
    kinds: [
      'delay',
      'drip',
      'cut',
      'halfOpen',
      'silence',
      'partition',
      'stopBroker',
      'pauseBroker',
      'moveLeader',
      'lagBehind',
      'refuse',
      'doAndRefuse',
      'refuseForGood',
      'throttle',
      'answerLate',
      'answerTwice',
      'answerInPart',
      'dropRequest',
      'dropResponse',
      'hangUp'
    ],
    meanPauseMs: 1_500,
    topics: ['orders'],
    nodeIds: [1, 2]
  }
}
