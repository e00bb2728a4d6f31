import type { Answers } from './answers.js'
import type { GatewayDisk } from './gateway-disk.js'
import type { Violation } from './violation.js'
import type { Workload } from './workload.js'
import type { Host } from './world/host.js'
import type { World } from './world/world.js'

/** What a gateway is told about the time that a stop may take. */
export interface StopLimits {
  readonly graceMs: number
  readonly drainMs: number
}

/** From the moment at which a process is killed, or asked to stop, until the next one has started. */
interface Outage {
  readonly beganAt: number
  /** From then on open requests may lose their connections. */
  readonly cutsAt: number
  endedAt: number
}

/** What goes between a client and the gateway has arrived by then. */
const TRANSIT_MS = 50
/** Steps of the shutdown that are cut short take a moment more each. */
const TOLERANCE_MS = 1_000
/** Share of its time that a stop gives to requests, of what is left when it has kept a reserve for the other steps. */
const REQUESTS_SHARE = 0.5
const RESERVE_MS = 1_000
/** Sockets tell a moment later that they are closed, and clients are told another moment later. */
const MOMENT_MS = 10
const CLIENTS_LEARN_MS = 500

/**
 * Knows when a gateway was not there, and sees that processes which are asked to stop do so in time, and leave nothing
 * behind.
 */
export class Outages implements Workload {
  readonly name: string
  readonly host: Host
  readonly counts: Record<string, number> = { stops: 0, ended: 0, 'records lost': 0 }
  readonly isFinished = true
  readonly #world: World
  readonly #answers: Answers
  readonly #violations: Violation[] = []
  readonly #outages: Outage[] = []
  #isStopping: Host | undefined

  constructor(world: World, answers: Answers, gateway: string) {
    this.name = `outages of ${gateway}`
    this.#world = world
    this.#answers = answers
    this.host = world.time.current
  }

  start(): void {}

  stop(): void {}

  check(): readonly Violation[] {
    return this.#violations
  }

  killed(host: Host): void {
    const { now } = this.#world.time
    this.#isStopping = undefined
    this.#outages.push({ beganAt: now, cutsAt: now, endedAt: Number.POSITIVE_INFINITY })
    this.#answers.forget(host)
  }

  started(): void {
    for (const outage of this.#outages) outage.endedAt = Math.min(outage.endedAt, this.#world.time.now)
  }

  /** A process is asked to stop. */
  stops(host: Host, { graceMs, drainMs }: StopLimits): void {
    const { time, trace } = this.#world
    const { now } = time
    const leftMs = graceMs - drainMs
    const requestsMs = (leftMs - Math.min(RESERVE_MS, leftMs / 2)) * REQUESTS_SHARE
    this.#outages.push({ beganAt: now, cutsAt: now + drainMs + requestsMs, endedAt: Number.POSITIVE_INFINITY })
    this.#isStopping = host
    this.counts.stops!++
    trace.say(this.name, `${host.name} is asked to stop within ${graceMs} ms, of which ${drainMs} drain`)
    const dueMs = graceMs + TOLERANCE_MS
    const { heldUpMs } = host
    time.schedule(dueMs, undefined, 'is due', () => {
      const wasHeldUp = host.state === 'paused' || host.heldUpMs > heldUpMs
      if (this.#isStopping === host && !wasHeldUp)
        this.#violated('late', `${host.name} stops for more than ${dueMs} ms`)
    })
  }

  /** It has ended as it was asked to. Resolves a moment later, when it has been seen what it left. */
  async stopped(host: Host, lostRecords: number, disk: GatewayDisk | undefined): Promise<void> {
    const { time, trace } = this.#world
    const { now } = time
    this.#isStopping = undefined
    this.counts.ended!++
    this.counts['records lost']! += lostRecords
    trace.say(this.name, `${host.name} has ended, ${lostRecords} records are lost`)
    time.schedule(CLIENTS_LEARN_MS, undefined, 'looks', () => {
      for (const what of this.#answers.openOf(host, now)) this.#violated('unanswered', `${what}, by ${host.name}`)
    })
    await new Promise<void>(resolve => time.schedule(MOMENT_MS, undefined, 'looks', resolve))
    this.#checkLeft(host, disk)
  }

  /**
   * Whether the connection of a request that has come as a whole may end without an answer: its process was killed, was
   * not there or about to stop when the request came, or has finished requests for as long as it may.
   */
  mayHangUp(sentAt: number): boolean {
    const { now } = this.#world.time
    return this.#outages.some(
      ({ beganAt, cutsAt, endedAt }) =>
        (beganAt < sentAt + TRANSIT_MS && sentAt - TRANSIT_MS < endedAt) ||
        (sentAt < beganAt && now >= cutsAt - MOMENT_MS)
    )
  }

  #checkLeft(host: Host, disk: GatewayDisk | undefined): void {
    const { time, network } = this.#world
    const left = time.pendingOf(host).filter(({ what, isRef }) => what === 'timer' && isRef)
    if (left.length > 0) this.#violated('left after closing', `${host.name}: ${left.length} timers`)
    const isOpen = (socket: { readonly host: Host; readonly destroyed: boolean }): boolean =>
      socket.host === host && !socket.destroyed
    const wires = network.wires.filter(({ client, server }) => isOpen(client) || isOpen(server))
    if (wires.length > 0) this.#violated('left after closing', `${host.name}: ${wires.length} connections`)
    const files = disk?.filesLeftOpen ?? 0
    if (files > 0) this.#violated('left after closing', `${host.name}: ${files} open files`)
  }

  #violated(rule: string, what: string): void {
    this.#violations.push({ rule, what })
  }
}
