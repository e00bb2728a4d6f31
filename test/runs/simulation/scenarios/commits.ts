import { History } from '../../../support/history-checker.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Committer } from '../workloads/committer.js'
import { depsOf, openService, orders } from './library.js'

/** One way: a commit is asked for while the one before is still on its way. */
const LATENCIES_MS = [5, 20, 60]
const PARTITIONS = [0, 1]

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random } = setting
  // Calls are given up soon, so that a broker may still get what was sent in vain.
  const service = await openService(setting, 'service', {
    router: { callTimeoutMs: 500 },
    connection: { requestTimeoutMs: 1_000 }
  })
  const latencyMs = random('latency').pick(LATENCIES_MS)
  for (const host of brokers.hosts) world.network.delay(service.host, host, latencyMs)
  const deps = depsOf(setting, service, new History())
  const workloads = brokers.nodeIds.flatMap(nodeId =>
    PARTITIONS.map(partition => {
      const name = `commits-${nodeId}-${partition}`
      const options = { name, groupId: brokers.groupOn(nodeId), topic: 'orders', partition, pauseMs: [5, 150] as const }
      return new Committer(options, deps(name))
    })
  )
  return { processes: [service], workloads, histories: [] }
}

export const commits: Scenario = {
  name: 'commits',
  about: 'commits that overtake each other on slow links, are refused for a while, and arrive when they were given up',
  topics: [orders],
  build,
  faults: {
    kinds: [
      'drip',
      'drip',
      'silence',
      'partition',
      'cut',
      'halfOpen',
      'pauseBroker',
      'stopBroker',
      'troubleCommits',
      'troubleCommits',
      'troubleCommits',
      'troubleCommits',
      'troubleCommits',
      'stall'
    ],
    meanPauseMs: 700,
    topics: ['orders'],
    nodeIds: [1, 2, 3]
  }
}
