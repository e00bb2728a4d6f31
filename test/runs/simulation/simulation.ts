import { OffsetTracker } from '../../../src/consumer/group/offset-tracker.js'
import { HeldAmount, type HeldAmountWatch } from '../../../src/core/held-amount.js'
import { HeldAmounts } from '../../support/held-amounts.js'
import { Answers } from './answers.js'
import { Brokers } from './brokers.js'
import { Departures } from './departures.js'
import { drawSchedule, FaultRunner, type ScheduledFault } from './faults/schedule.js'
import { checkHistory } from './history-check.js'
import type { SimulatedProcess } from './process.js'
import type { Cast, Scenario } from './scenario.js'
import { scenarioOf } from './scenarios/scenarios.js'
import type { Violation } from './violation.js'
import { watchWorld } from './watchdog.js'
import type { Workload } from './workload.js'
import type { LogEnd, ReadLife } from './workloads/reader.js'
import type { Host } from './world/host.js'
import { Randomness } from './world/randomness.js'
import type { SimulatedSocket } from './world/socket.js'
import { World } from './world/world.js'

export interface SimulationOptions {
  readonly seed: number
  readonly seconds: number
  readonly scenario: string
  readonly isTraced?: boolean
  /** Only these faults of the schedule. Absent: all of it. */
  readonly only?: ReadonlySet<number>
}

export interface SimulationResult {
  readonly options: SimulationOptions
  readonly hash: string
  readonly turns: number
  readonly simulatedMs: number
  readonly cpuMs: number
  readonly violations: readonly Violation[]
  readonly schedule: readonly ScheduledFault[]
  /** What each fault did, by id; and those that somebody has met. */
  readonly faults: ReadonlyMap<number, string>
  readonly faultsMet: ReadonlySet<number>
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly trace: readonly string[]
}

/** All faults are over: by then every answer must be there, and every reader at the end of its partition. */
const SETTLE_LIMIT_MS = 60_000
const RECOVERY_LIMIT_MS = 50_000
const CLOSE_LIMIT_MS = 40_000
const ASK_LIMIT_MS = 5_000
const LOOK_EVERY_MS = 500
const NODES = 3
/** Default. */
const MOST_TURNS_PER_SECOND = 1_500
/** What comes after the time with faults is no longer. */
const LONGEST_END_S = 300
/** By then those who stop have made their last call. */
const LAST_CALLS_MS = 500
const MOMENT_MS = 10
/** What was on its way when everything was closed has arrived by then, also what was held up until the faults were over. */
const QUIET_MS = 10_000

/** The faults of a run, as they follow from its options alone. */
export function scheduleOf({ seed, seconds, scenario, only }: SimulationOptions): readonly ScheduledFault[] {
  const { kinds, meanPauseMs } = scenarioOf(scenario).faults
  const all = drawSchedule(new Randomness(seed).for('faults'), kinds, meanPauseMs, seconds * 1_000)
  return all.filter(({ id }) => only?.has(id) ?? true)
}

/** Runs one world from its beginning to its end and tells what was wrong in it. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  watchWorld(`seed ${options.seed} of ${options.scenario}`)
  const simulation = new Simulation(options)
  const { watch } = HeldAmount
  HeldAmount.watch = simulation
  // Gateways tell each other these numbers, and the ways of longer calls are others.
  OffsetTracker.lastSerial = 0
  try {
    return await simulation.run()
  } finally {
    simulation.close()
    HeldAmount.watch = watch
    watchWorld(undefined)
  }
}

class Simulation implements HeldAmountWatch {
  readonly #options: SimulationOptions
  readonly #scenario: Scenario
  readonly #world: World
  readonly #answers: Answers
  readonly #violations: Violation[] = []
  readonly #amounts = new HeldAmounts()
  readonly #startedAt = process.cpuUsage()
  #schedule: readonly ScheduledFault[] = []
  #workloads: readonly Workload[] = []
  #faults: Pick<FaultRunner, 'done' | 'met'> = { done: new Map(), met: new Set() }

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#scenario = scenarioOf(options.scenario)
    const mostTurns = this.#mostTurnsPerSecond * (options.seconds + LONGEST_END_S)
    this.#world = new World({ ...options, mostTurns })
    this.#answers = new Answers(this.#world.time)
  }

  get #mostTurnsPerSecond(): number {
    return this.#scenario.mostTurnsPerSecond ?? MOST_TURNS_PER_SECOND
  }

  close(): void {
    this.#world.close()
  }

  made(amount: HeldAmount): void {
    this.#amounts.add(amount)
  }

  overdrawn({ name }: HeldAmount): void {
    this.#violated('released twice', `${name}\n${new Error('here').stack}`)
  }

  async run(): Promise<SimulationResult> {
    try {
      await this.#play()
    } catch (error) {
      this.#violated('broken off', error instanceof Error ? `${error.stack}` : String(error))
    }
    return this.#result()
  }

  async #play(): Promise<void> {
    const world = this.#world
    const departures = new Departures(world)
    const brokers = await Brokers.start(world, NODES, this.#scenario.topics)
    const cast = await this.#scenario.build({
      world,
      brokers,
      answers: this.#answers,
      log: logEnd(brokers),
      departures,
      random: purpose => world.random.for(purpose)
    })
    this.#workloads = cast.workloads
    const faults = this.#armFaults(brokers, cast)
    for (const workload of cast.workloads) world.on(workload.host, () => workload.start())
    await this.#pass(cast)
    if (this.#scenario.closesInTrouble) await this.#closeInTrouble(cast)
    faults.stopAll()
    brokers.cluster.faults.clear()
    const processes = [...cast.processes, ...(cast.others ?? [])]
    if (!this.#scenario.closesInTrouble) {
      for (const workload of cast.workloads) workload.stop()
      // What could not be read from a disk waits for an operator, who stops the gateway.
      for (const process of processes) if (process.disk?.operate()) process.shutDown?.()?.()
      await this.#settle(cast)
      await this.#goOn(cast)
      for (const process of processes) await this.#end(process)
    }
    await world.pass(QUIET_MS)
    for (const process of processes) this.#checkLeft(process)
    for (const kept of this.#amounts.kept) this.#violated('not released', kept)
    const seen = cast.workloads.flatMap(workload => workload.check())
    this.#violations.push(...seen, ...cast.histories.flatMap(check => checkHistory(check, departures)))
    await brokers.close()
    await cast.standby?.close()
  }

  #armFaults(brokers: Brokers, { processes, standby }: Cast): FaultRunner {
    const { topics, mortalTopics = [], growingTopics = [], nodeIds } = this.#scenario.faults
    const world = this.#world
    const harmed = { topics, mortalTopics, growingTopics, nodeIds }
    const runner = new FaultRunner({ world, brokers, standby, processes, ...harmed })
    this.#schedule = scheduleOf(this.#options)
    this.#faults = runner
    runner.arm(this.#schedule)
    return runner
  }

  /** The time with faults; what is bounded is looked at again and again. */
  async #pass({ processes }: Cast): Promise<void> {
    const endsAt = this.#options.seconds * 1_000
    while (this.#world.time.now < endsAt) {
      await this.#world.pass(Math.min(LOOK_EVERY_MS, endsAt - this.#world.time.now))
      for (const process of processes) {
        const problem = process.boundsProblem?.()
        if (problem !== undefined) this.#violated('unbounded', `${process.name}: ${problem}`)
      }
    }
  }

  /** All faults are over: everything that was begun comes to an end, and nothing is held any more. */
  async #settle({ workloads, processes }: Cast): Promise<void> {
    const world = this.#world
    // Each is asked: a question may set one going again.
    const unfinished = (): string[] => workloads.filter(workload => !workload.isFinished).map(({ name }) => name)
    const isSettled = (): boolean => unfinished().length + this.#answers.open === 0
    const { settlesWithinMs = SETTLE_LIMIT_MS } = this.#scenario
    const endsAt = world.time.now + settlesWithinMs
    let held = ['not asked']
    while (held.length > 0 && world.time.now < endsAt) {
      await world.untilTrue(isSettled, endsAt - world.time.now)
      held = await this.#heldBy(processes)
      // A record that was answered `unknown` is tried on.
      if (held.length > 0) await world.pass(LOOK_EVERY_MS)
    }
    this.#answers.checkOpen()
    if (!isSettled()) this.#violated('stuck', `${settlesWithinMs / 1_000} s after the last fault: ${unfinished()}`)
    for (const what of held) this.#violated('held', what)
  }

  /** Whatever there was, everybody is served again. */
  async #goOn(cast: Cast): Promise<void> {
    if (this.#violations.length > 0) return
    const world = this.#world
    const waiting = new Set<string>()
    for (const workload of cast.workloads) {
      if (workload.tryOnceMore === undefined) continue
      waiting.add(workload.name)
      void world.start(workload.host, () => workload.tryOnceMore!(() => waiting.delete(workload.name)))
    }
    if (!(await world.untilTrue(() => waiting.size === 0, RECOVERY_LIMIT_MS)))
      this.#violated('not well again', `${RECOVERY_LIMIT_MS / 1_000} s after everything was settled: ${[...waiting]}`)
    await this.#settle(cast)
  }

  async #heldBy(processes: readonly SimulatedProcess[]): Promise<string[]> {
    const problems: string[] = []
    for (const process of processes) {
      const held = await this.#world.until(`asking ${process.name}`, process.held(), ASK_LIMIT_MS)
      for (const [name, count] of Object.entries(held))
        if (count !== 0) problems.push(`${process.name}: ${name} is ${count}`)
    }
    return problems
  }

  async #end(process: SimulatedProcess): Promise<void> {
    const closing = this.#world.start(process.host, () => process.close())
    const lost = await this.#world.until(`closing ${process.name}`, closing, CLOSE_LIMIT_MS)
    if (lost !== 0) this.#violated('lost by closing', `${lost} records of ${process.name}`)
  }

  /** Whatever waits is answered by then, and nothing is left that would still do something. */
  async #closeInTrouble({ workloads, processes }: Cast): Promise<void> {
    const world = this.#world
    for (const workload of workloads) workload.stop()
    await world.pass(LAST_CALLS_MS)
    for (const process of processes) {
      const closing = world.start(process.host, () => process.close())
      await world.until(`closing ${process.name}`, closing, CLOSE_LIMIT_MS)
      // Sockets tell a moment later that they are closed.
      await world.pass(MOMENT_MS)
      const timers = world.time.pendingOf(process.host).filter(({ what }) => what === 'timer')
      if (timers.length > 0) this.#violated('left after closing', `${process.name}: ${timers.length} timers`)
    }
    if (this.#answers.open > 0) this.#violated('unanswered', `${this.#answers.open} requests after closing`)
  }

  #checkLeft({ name, host, disk }: SimulatedProcess): void {
    const { time, network } = this.#world
    const left = time.pendingOf(host).map(({ what }) => what)
    if (left.length > 0) this.#violated('left after closing', `${name}: ${left.join(', ')}`)
    const wires = network.wires.filter(({ client, server }) => isOpenAt(host, client) || isOpenAt(host, server))
    if (wires.length > 0) this.#violated('left after closing', `${name}: ${wires.length} connections`)
    const open = disk?.leftOpen() ?? 0
    if (open > 0) this.#violated('left after closing', `${name}: ${open} records of the log would be sent again`)
  }

  #result(): SimulationResult {
    const world = this.#world
    for (const { host, atMs, error } of world.crashes) {
      this.#violated('crash', `${host} at ${atMs.toFixed(1)}: ${error instanceof Error ? error.stack : String(error)}`)
    }
    const perSecond = (world.turns / world.time.now) * 1_000
    if (perSecond > this.#mostTurnsPerSecond) this.#violated('busy', `${Math.round(perSecond)} turns per second`)
    const { user, system } = process.cpuUsage(this.#startedAt)
    return {
      options: this.#options,
      hash: world.trace.hash,
      turns: world.turns,
      simulatedMs: world.time.now,
      cpuMs: (user + system) / 1_000,
      violations: [...this.#violations, ...this.#answers.violations],
      schedule: this.#schedule,
      faults: this.#faults.done,
      faultsMet: this.#faults.met,
      counts: Object.fromEntries(this.#workloads.map(({ name, counts }) => [name, counts])),
      trace: world.trace.lines
    }
  }

  #violated(rule: string, what: string): void {
    this.#violations.push({ rule, what })
  }
}

const isOpenAt = (host: Host, socket: SimulatedSocket): boolean => socket.host === host && !socket.destroyed

/** What is in the logs, for those who read them. The values are looked at when everything is over. */
function logEnd(brokers: Brokers): LogEnd {
  const known = new Map<string, readonly ReadLife[]>()
  const livesOf = (topic: string, partition: number): readonly ReadLife[] =>
    brokers.livesOf(topic).map(({ records, endedAt }) => {
      const own = records.filter(record => record.partition === partition)
      return { endedAt, values: new Map(own.map(({ offset, text }) => [offset, text])) }
    })
  return {
    endOf: (topic, partition) => (brokers.has(topic) ? brokers.cluster.highWatermark(topic, partition) : 0),
    livesOf(topic, partition) {
      const name = `${topic}/${partition}`
      let lives = known.get(name)
      if (lives === undefined) known.set(name, (lives = livesOf(topic, partition)))
      return lives
    }
  }
}
