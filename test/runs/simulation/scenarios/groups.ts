import { silentLogger } from '../../../../src/core/model.js'
import { History } from '../../../support/history-checker.js'
import { harmlessFaults } from '../faults/catalogue.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Service } from '../service.js'
import { GroupConsumer } from '../workloads/group-consumer.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { Producer } from '../workloads/producer.js'
import { depsOf, events, logOf, openService, orders, steady } from './library.js'
import { someSettings } from './settings.js'

const GROUP = 'workers'

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random, log } = setting
  const history = new History()
  const draw = random('settings of the members')
  const consumer = {
    start: 'earliest',
    ackTimeoutMs: draw.pick([1_000, 4_000]),
    commitIntervalMs: draw.pick([0, 100, 500]),
    sessionTimeoutMs: 6_000,
    heartbeatIntervalMs: 1_000,
    rebalanceTimeoutMs: draw.pick([3_000, 10_000]),
    revocationMs: draw.pick([0, 1_000]),
    maxPendingMessages: draw.pick([5, 300]),
    bufferMaxBytes: draw.pick([1_000, 67_108_864])
  } as const
  const member = (name: string): Promise<Service> =>
    Service.open(world, name, {
      ...someSettings(random(`settings of ${name}`)),
      brokers: brokers.bootstrap,
      log: silentLogger,
      consumer
    })
  const [left, right] = [await member('left'), await member('right')]
  const bench = await openService(setting, 'bench')
  const deps = depsOf(setting, bench, history)
  const progress = new GroupProgress(
    { name: 'auditor', groupId: GROUP, topic: 'orders', partitions: 3 },
    deps('auditor'),
    log
  )
  const consumerOf = (service: Service, runtime: number): GroupConsumer => {
    const options = {
      name: `${service.name}-hands`,
      groupId: GROUP,
      topic: 'orders',
      runtime,
      pauseMs: [0, 60] as const
    }
    return new GroupConsumer(options, depsOf(setting, service, history)(options.name), progress)
  }
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: ['orders'] }, deps('steady')),
    consumerOf(left, 3),
    consumerOf(right, 2),
    progress
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: [left, right], others: [bench], workloads, histories }
}

export const groups: Scenario = {
  name: 'groups',
  about:
    'two members share a group and acknowledge message by message; each is offered until it is, and commits are no further',
  topics: [orders, events],
  build,
  faults: {
    kinds: [...harmlessFaults, 'stall', 'partition', 'troubleGroups', 'troubleGroups', 'troubleGroups'],
    meanPauseMs: 3_000,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
