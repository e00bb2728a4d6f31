import { History } from '../../../support/history-checker.js'
import type { SimulatedTopic } from '../brokers.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Committer } from '../workloads/committer.js'
import { Inventor } from '../workloads/inventor.js'
import { Producer } from '../workloads/producer.js'
import { Reader } from '../workloads/reader.js'
import { depsOf, openService, orders, recordsOf } from './library.js'

const brief: SimulatedTopic = { name: 'brief', partitions: 2 }
const growing: SimulatedTopic = { name: 'growing', partitions: 1 }

async function build(setting: Setting): Promise<Cast> {
  const { log, brokers } = setting
  const service = await openService(setting, 'service')
  const history = { brief: new History(), growing: new History(), orders: new History() }
  const usual = { keys: 4, pauseMs: [20, 400] as const, maxOpen: 20, maxRecordsPerCall: 3, maxValueBytes: 200 }
  const writer = (topic: keyof typeof history): Producer => {
    const options = { ...usual, name: `writes-${topic}`, topics: [topic], deadlineMs: [500, 20_000] as const }
    return new Producer(options, depsOf(setting, service, history[topic])(options.name))
  }
  const deps = depsOf(setting, service, history.orders)
  const workloads = [
    writer('brief'),
    writer('growing'),
    writer('orders'),
    new Reader({ name: 'of-brief', topic: 'brief', partition: 0, isMortal: true }, deps('of-brief'), log),
    new Reader({ name: 'again', topic: 'brief', partition: 1, isMortal: true, againAfter: 20 }, deps('again'), log),
    new Reader({ name: 'of-growing', topic: 'growing', partition: 0 }, deps('of-growing'), log),
    new Reader({ name: 'of-orders', topic: 'orders', partition: 1 }, deps('of-orders'), log),
    new Committer(
      { name: 'commits', groupId: 'g1', topic: 'orders', partition: 0, pauseMs: [10, 500] },
      deps('commits')
    ),
    new Inventor({ name: 'inventor', pauseMs: [50, 2_000] }, deps('inventor'))
  ]
  const histories = [
    { history: history.brief, lives: () => recordsOf(brokers, 'brief'), tolerates: ['lost'] as const },
    {
      history: history.growing,
      lives: () => recordsOf(brokers, 'growing'),
      tolerates: ['split', 'reordered'] as const
    },
    { history: history.orders, lives: () => recordsOf(brokers, 'orders'), tolerates: [] }
  ]
  return { processes: [service], workloads, histories }
}

export const topics: Scenario = {
  name: 'topics',
  about: 'topics are deleted and made anew, lose the end of their logs and get partitions, beside one that stays',
  topics: [orders, brief, growing],
  build,
  faults: {
    kinds: [
      'recreateTopic',
      'recreateTopic',
      'growTopic',
      'truncateTopic',
      'truncateTopic',
      'moveLeader',
      'lagBehind',
      'stopBroker',
      'dropResponse',
      'doAndRefuse',
      'answerLate'
    ],
    meanPauseMs: 2_500,
    topics: ['orders', 'growing'],
    mortalTopics: ['brief'],
    growingTopics: ['growing'],
    nodeIds: [1, 2, 3]
  }
}
