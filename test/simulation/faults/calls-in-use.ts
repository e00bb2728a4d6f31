import type { ApiName } from '../../../src/broker/embedded-cluster.js'
import type { SeededRandom } from '../../support/random.js'
import type { FaultTargets } from './fault.js'

/** Calls of one API to one node. */
export interface CallsInUse {
  readonly api: ApiName
  readonly nodeId: number
}

/** What is done most, and can go most wrong, is harmed most. */
const favourites: readonly ApiName[] = ['Produce', 'Produce', 'Produce', 'Fetch', 'OffsetCommit']

/**
 * Calls that one of the harmed nodes has had. What is rare is as likely as what is frequent. Chance puts all APIs and all
 * nodes in an order, and the first that have met are taken: so the choice changes little when other faults are left
 * out, and what is drawn afterwards does not change at all.
 */
export function someCallsInUse(
  { brokers, nodeIds }: FaultTargets,
  random: SeededRandom,
  apis: readonly ApiName[]
): CallsInUse | undefined {
  const wishes = shuffled([...apis, ...favourites.filter(api => apis.includes(api))], random)
  const nodes = shuffled(nodeIds, random)
  for (const api of wishes) {
    const nodeId = nodes.find(nodeId => brokers.cluster.requestCount(api, nodeId) > 0)
    if (nodeId !== undefined) return { api, nodeId }
  }
  return undefined
}

/** Fisher and Yates. */
function shuffled<Item>(items: readonly Item[], random: SeededRandom): Item[] {
  const all = [...items]
  for (let last = all.length - 1; last > 0; last--) {
    const other = random.between(0, last)
    ;[all[last], all[other]] = [all[other]!, all[last]!]
  }
  return all
}
