import type { ApiName } from '../../../../src/embedded-broker/embedded-cluster.js'
import type { SeededRandom } from '../../../support/random.js'
import type { FaultTargets } from './fault.js'
import { shuffled } from './shuffled.js'

/** Calls of one API to one node, or to the first of several that has one. */
export interface CallsInUse {
  readonly api: ApiName
  readonly nodeIds: readonly number[]
}

/** Whoever waits for a call that comes less often waits for it at all nodes. */
const RARE_MS = 5_000

/** What is done most, and can go most wrong, is harmed most. */
const favourites: readonly ApiName[] = ['Produce', 'Produce', 'Produce', 'Fetch', 'OffsetCommit']

/**
 * Calls that one of the harmed nodes has had. What is rare is as likely as what is frequent. Chance puts all APIs and all
 * nodes in an order, and the first that have met are taken: so the choice changes little when other faults are left
 * out, and what is drawn afterwards does not change at all.
 */
export function someCallsInUse(
  { world, brokers: { cluster }, nodeIds }: FaultTargets,
  random: SeededRandom,
  apis: readonly ApiName[]
): CallsInUse | undefined {
  const wishes = shuffled([...apis, ...favourites.filter(api => apis.includes(api))], random)
  const nodes = shuffled(nodeIds, random)
  for (const api of wishes) {
    const nodeId = nodes.find(nodeId => cluster.requestCount(api, nodeId) > 0)
    if (nodeId === undefined) continue
    const isRare = nodes.reduce((sum, id) => sum + cluster.requestCount(api, id), 0) * RARE_MS < world.time.now
    return { api, nodeIds: isRare ? nodes : [nodeId] }
  }
  return undefined
}
