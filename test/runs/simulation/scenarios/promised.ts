import { silentLogger } from '../../../../src/core/model.js'
import { History } from '../../../support/history-checker.js'
import type { SimulatedTopic } from '../brokers.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Service } from '../service.js'
import { GroupPromise, PromiseConsumer, PromiseWriter } from '../workloads/group-promise.js'
import { depsOf, openService, orders } from './library.js'
import { someSettings } from './settings.js'

const mortal: SimulatedTopic = { name: 'mortal', partitions: 2 }
const growing: SimulatedTopic = { name: 'growing', partitions: 1 }
/** Not there in the beginning. */
const late: SimulatedTopic = { name: 'late', partitions: 3 }

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random } = setting
  const history = new History()
  const draw = random('settings of the members')
  const consumer = {
    ackTimeoutMs: draw.pick([1_000, 4_000]),
    commitIntervalMs: draw.pick([0, 100, 500]),
    partitionCheckMs: draw.pick([500, 5_000]),
    sessionTimeoutMs: 6_000,
    heartbeatIntervalMs: 1_000,
    rebalanceTimeoutMs: draw.pick([3_000, 10_000]),
    revocationMs: draw.pick([0, 1_000])
  } as const
  const member = (name: string): Promise<Service> =>
    Service.open(world, name, {
      ...someSettings(random(`settings of ${name}`)),
      brokers: brokers.bootstrap,
      log: silentLogger,
      consumer
    })
  const members = [await member('left'), await member('right')]
  // It finds new topics and partitions sooner than the groups do.
  const bench = await openService(setting, 'bench', { router: { unknownTopicRememberedMs: 50, metadataMaxAgeMs: 400 } })
  const promise = new GroupPromise(brokers)
  const writers = [orders, mortal, growing, late].map(({ name: topic }) => {
    const name = `writes-${topic}`
    return new PromiseWriter({ name, topic, pauseMs: [50, 800] }, depsOf(setting, bench, history)(name), promise)
  })
  const consumers = members.flatMap(service =>
    [orders, mortal, growing, late].map(({ name: topic }) => {
      const name = `${service.name}-${topic}`
      const options = { name, groupId: 'billing', topic, afterMs: draw.between(1, 15_000) }
      return new PromiseConsumer(options, depsOf(setting, service, history)(name), promise)
    })
  )
  void world.start(bench.host, () => setTimeout(() => brokers.create(late), draw.between(1_000, 25_000)))
  return { processes: members, others: [bench], workloads: [...writers, ...consumers], histories: [] }
}

export const promised: Scenario = {
  name: 'promised',
  about:
    'a group begins at the end of topics that come, grow, go and lose their end: what is written after its first answer is offered',
  topics: [orders, mortal, growing],
  build,
  faults: {
    kinds: [
      'recreateTopic',
      'recreateTopic',
      'growTopic',
      'truncateTopic',
      'moveLeader',
      'stopBroker',
      'dropResponse',
      'lagBehind',
      'troubleGroups'
    ],
    meanPauseMs: 4_000,
    topics: ['orders', 'growing'],
    mortalTopics: ['mortal'],
    growingTopics: ['growing'],
    nodeIds: [1, 2, 3]
  }
}
