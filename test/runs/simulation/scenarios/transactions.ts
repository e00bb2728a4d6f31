import { History } from '../../../support/history-checker.js'
import type { SimulatedTopic } from '../brokers.js'
import { harmlessFaults } from '../faults/catalogue.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Producer } from '../workloads/producer.js'
import { ResultReader } from '../workloads/result-reader.js'
import { TransactionalWorker } from '../workloads/transactional-worker.js'
import { depsOf, logOf, openService, orders, steady } from './library.js'

const results: SimulatedTopic = { name: 'results', partitions: 2 }
const GROUP = 'etl'
const troubles = ['troubleGroups', 'troubleCommits', 'troubleTransactions', 'troubleTransactions'] as const

async function build(setting: Setting): Promise<Cast> {
  const { brokers, random, log } = setting
  const history = new History()
  const draw = random('settings of the members')
  const ackTimeoutMs = draw.pick([1_000, 4_000])
  const consumer = {
    start: 'earliest',
    ackTimeoutMs,
    sessionTimeoutMs: 6_000,
    heartbeatIntervalMs: 1_000,
    rebalanceTimeoutMs: draw.pick([3_000, 10_000]),
    revocationMs: draw.pick([0, 1_000, 5_000]),
    commitIntervalMs: draw.pick([0, 100, 500])
  } as const
  const takesOverPercent = draw.pick([0, 0, 0, 5])
  const bench = await openService(setting, 'bench', { router: { isolationLevel: 'readCommitted' } })
  const deps = depsOf(setting, bench, history)
  const places = { inputs: 'orders', results: 'results' }
  const reader = new ResultReader({ name: 'results', partitions: orders.partitions, ...places }, deps('results'), log)
  const services = [await openService(setting, 'left', { consumer }), await openService(setting, 'right', { consumer })]
  const ids = services.map(({ name }) => `worker of ${name} 0`)
  const workers = services.map((service, own) => {
    const names = { name: `worker of ${service.name}`, groupId: GROUP, ...places }
    const options = { ...names, ackTimeoutMs, ids, own, takesOverPercent }
    return new TransactionalWorker(options, depsOf(setting, service, history)(options.name), reader)
  })
  const producer = new Producer({ ...steady, name: 'steady', topics: ['orders'], pauseMs: [50, 500] }, deps('steady'))
  const inputs = () => [logOf(brokers).filter(({ topic }) => topic === 'orders')]
  const histories = [{ history, lives: inputs, tolerates: [] }]
  return { processes: services, others: [bench], workloads: [producer, ...workers, reader], histories }
}

export const transactions: Scenario = {
  name: 'transactions',
  about: 'two members of a group write results in transactions: one of each input is read, and none of an aborted one',
  topics: [orders, results],
  build,
  faults: {
    kinds: [...harmlessFaults, 'stall', ...troubles, ...troubles],
    meanPauseMs: 3_000,
    topics: ['orders', 'results'],
    nodeIds: [1, 2, 3]
  }
}
