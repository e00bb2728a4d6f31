import type { Scenario } from '../scenario.js'
import { bystanders } from './bystanders.js'
import { commits } from './commits.js'
import { consumers } from './consumers.js'
import { arion, durable, flipped, refused, restarted } from './durable.js'
import { elsewhere } from './elsewhere.js'
import { fair } from './fair.js'
import { groups } from './groups.js'
import { grown } from './grown.js'
import { lent } from './lent.js'
import { calm, closing, forgetful, library, moves } from './library.js'
import { promised } from './promised.js'
import { kafboy, killed, pixy, push } from './push.js'
import { queues } from './queues.js'
import { saturated } from './saturated.js'
import { stopping } from './stopping.js'
import { switched } from './switched.js'
import { topics } from './topics.js'
import { transactions } from './transactions.js'
import { webhooks } from './webhooks.js'

const scenarios: readonly Scenario[] = [
  library,
  push,
  durable,
  killed,
  topics,
  arion,
  elsewhere,
  kafboy,
  forgetful,
  bystanders,
  restarted,
  moves,
  groups,
  closing,
  fair,
  calm,
  commits,
  consumers,
  refused,
  flipped,
  pixy,
  switched,
  grown,
  stopping,
  promised,
  transactions,
  queues,
  lent,
  saturated,
  webhooks
]

export const scenarioNames = scenarios.map(({ name }) => name)

/** Those that have every other turn of another one, which they are much like, or which has others of its kind. */
const sharing: ReadonlyMap<string, string> = new Map([
  [kafboy.name, pixy.name],
  [elsewhere.name, switched.name],
  [topics.name, grown.name],
  [killed.name, stopping.name],
  [groups.name, promised.name],
  [calm.name, transactions.name],
  [arion.name, queues.name],
  [consumers.name, lent.name],
  [restarted.name, webhooks.name]
])
/** Those that have no turn of their own. The last one takes long: it is played when it is named. */
const others: ReadonlySet<string> = new Set([...sharing.values(), saturated.name])

/** Those that seeds take in turn. */
const inTurn = scenarioNames.filter(name => !others.has(name))

/** The scenario of a seed when none is named. */
export function scenarioOfSeed(seed: number): string {
  const name = inTurn[seed % inTurn.length]!
  const isOddRound = Math.floor(seed / inTurn.length) % 2 === 1
  return (isOddRound ? sharing.get(name) : undefined) ?? name
}

export const aboutScenarios = scenarios.map(({ name, about }) => [name, about] as const)

/** @throws Error naming those there are */
export function scenarioOf(name: string): Scenario {
  const found = scenarios.find(scenario => scenario.name === name)
  if (found === undefined) throw new Error(`there is no scenario ${name}; there are ${scenarioNames.join(', ')}`)
  return found
}
