import type { SeededRandom } from '../../support/random.js'
import type { Answers } from './answers.js'
import type { Brokers, SimulatedTopic } from './brokers.js'
import type { Departures } from './departures.js'
import type { FaultName } from './faults/catalogue.js'
import type { HistoryCheck } from './history-check.js'
import type { SimulatedProcess } from './process.js'
import type { Workload } from './workload.js'
import type { LogEnd } from './workloads/reader.js'
import type { World } from './world/world.js'

/** What there is in a world, what is done in it and what goes wrong. */
export interface Scenario {
  readonly name: string
  /** One line. */
  readonly about: string
  readonly topics: readonly SimulatedTopic[]
  /** Starts what runs beside the brokers. */
  build(setting: Setting): Promise<Cast>
  /** The processes are closed while there are faults, not when all is well. */
  readonly closesInTrouble?: boolean
  /** When all is well again, everything has come to its end within this time. Default: a minute. */
  readonly settlesWithinMs?: number
  /** Of all hosts together. More means that something asks again and again without waiting. Default: 1,500. */
  readonly mostTurnsPerSecond?: number
  readonly faults: {
    readonly kinds: readonly FaultName[]
    readonly meanPauseMs: number
    /** Topics and nodes that may be harmed, but not for good. */
    readonly topics: readonly string[]
    /** Topics that may lose what they hold. */
    readonly mortalTopics?: readonly string[]
    /** Topics that may get more partitions. */
    readonly growingTopics?: readonly string[]
    readonly nodeIds: readonly number[]
  }
}

/** What a scenario finds when it begins. */
export interface Setting {
  readonly world: World
  readonly brokers: Brokers
  readonly answers: Answers
  readonly log: LogEnd
  readonly departures: Departures
  random(purpose: string): SeededRandom
}

/** Who plays in a scenario. */
export interface Cast {
  /** Those that faults may hit. */
  readonly processes: readonly SimulatedProcess[]
  /** Those that no fault hits. */
  readonly others?: readonly SimulatedProcess[]
  readonly workloads: readonly Workload[]
  readonly histories: readonly HistoryCheck[]
  /** Another cluster, which may take the place of the first. */
  readonly standby?: Brokers
}
