import { backoffMs } from '../../core/backoff.js'
import type { Logger } from '../../core/model.js'
import { askAll } from '../calls/peers.js'
import { Link, type LinkError } from './link.js'
import type { ParentLink, ParentServes, WorkerFarewell, WorkerGreeting, WorkerServes } from './messages.js'
import type { WorkerProcess } from './worker-process.js'

/** After a worker has served for this time, its next unexpected end counts as the first. */
const SOUND_AFTER_MS = 60_000
/**
 * A worker that does not serve within this time is killed. Its start may have to wait for hooks, for keys, and for a
 * durable log that is still in use.
 */
const START_LIMIT_MS = 120_000
/**
 * Pause between two checks whether a worker has reported its status. After `MAX_SILENT_CHECKS` checks without a report,
 * the worker is killed.
 */
const CHECK_MS = 5_000
const MAX_SILENT_CHECKS = 12
/** A worker that is told to stop is killed this long after its own time limit. */
const STOP_MARGIN_MS = 2_000

/** The longest pause before a worker is started again, as a multiple of the first one: 30 s for 0.2 s. */
const LONGEST_PAUSE = 150

export interface SupervisorOptions {
  readonly count: number
  readonly restartPauseMs: number
  readonly fork: (number: number) => WorkerProcess
  /**
   * Registers what the worker may ask of this process. @returns a function that makes the body of its `start` message,
   * called once the worker has sent `hello`
   */
  readonly prepare: (number: number, link: ParentLink) => () => unknown
  readonly onStarted?: ((number: number) => void) | undefined
  /** Called when a worker has ended, expectedly or not. */
  readonly onEnded?: ((number: number) => void) | undefined
  readonly log: Logger
  /** Returns a number in [0, 1). Default: `Math.random`. */
  readonly random?: () => number
}

export interface WorkerView {
  /** The number of the worker, from 1. */
  readonly number: number
  readonly pid: number | undefined
  readonly isUp: boolean
  readonly restarts: number
  /** How the worker ended last, and the monotonic milliseconds of it; `undefined`: it has never ended unexpectedly. */
  readonly lastEnd: { readonly how: string; readonly at: number } | undefined
  /** The link to the worker, also while it stops. `undefined`: the worker does not serve. */
  readonly link: ParentLink | undefined
}

/** Starts workers, restarts workers that end unexpectedly, and stops all of them. */
export class Supervisor {
  readonly #slots: Slot[]
  #isStopping = false

  constructor(options: SupervisorOptions) {
    this.#slots = Array.from({ length: options.count }, (_, index) => new Slot(index + 1, options))
  }

  get workers(): readonly WorkerView[] {
    return this.#slots
  }

  /**
   * Starts the first worker. Starts the other workers only if this succeeds.
   *
   * @returns the greeting of each worker
   * @throws LinkError when a worker cannot be started
   */
  async start(): Promise<readonly WorkerGreeting[]> {
    const [first, ...others] = this.#slots
    const said = [await first!.start()]
    return [...said, ...(await Promise.all(others.map(slot => slot.start())))]
  }

  /** Calls all workers that serve. Returns the answers that came in time, by number of the worker. */
  async callAll<Name extends ToAll>(
    name: Name,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, WorkerServes[Name]['answer']>> {
    const serving = this.#slots.filter(({ link }) => link !== undefined)
    const told = await askAll(serving, ({ link }) => link!.call<ToAll>(name, undefined, timeoutMs))
    const answers = told.flatMap(({ by, answer }) => (answer === undefined ? [] : [[by.number, answer] as const]))
    return new Map(answers) as ReadonlyMap<number, WorkerServes[Name]['answer']>
  }

  /** Called when a worker has reported. A worker that sends no reports for a minute is killed and restarted. */
  reported(number: number): void {
    this.#slots[number - 1]?.reported()
  }

  /** @param tell called with the link to each worker that serves */
  tellAll(tell: (link: ParentLink) => void): void {
    for (const { link } of this.#slots) if (link) tell(link)
  }

  /**
   * Stops all workers at the same time. Idempotent.
   *
   * @param timeoutMs workers that have not stopped by then are killed
   * @returns the answers of the workers that stopped within the time limit
   */
  async stop(timeoutMs: number): Promise<readonly WorkerFarewell[]> {
    if (this.#isStopping) return []
    this.#isStopping = true
    const said = await Promise.all(this.#slots.map(slot => slot.stop(timeoutMs + STOP_MARGIN_MS)))
    return said.filter(one => one !== undefined)
  }

  kill(): void {
    this.#isStopping = true
    for (const slot of this.#slots) slot.kill()
  }
}

/** Messages without a body that are sent to all workers. */
type ToAll = 'metrics' | 'statsd' | 'status'

type WorkerState = 'new' | 'starting' | 'up' | 'waiting' | 'stopping'

class Slot implements WorkerView {
  readonly number: number
  readonly #options: SupervisorOptions
  #process: WorkerProcess | undefined
  #link: ParentLink | undefined
  #state: WorkerState = 'new'
  /** The worker has started and has not ended. While it stops, other workers still settle at it what their clients have got. */
  #serves = false
  #timer: NodeJS.Timeout | undefined
  #checks: NodeJS.Timeout | undefined
  #silentChecks = 0
  /** Number of consecutive unexpected ends. */
  #failures = 0
  #upSince = 0
  #ended: Promise<void> = Promise.resolve()
  restarts = 0
  lastEnd: WorkerView['lastEnd']

  constructor(number: number, options: SupervisorOptions) {
    this.number = number
    this.#options = options
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  get isUp(): boolean {
    return this.#state === 'up'
  }

  get link(): ParentLink | undefined {
    return this.#serves ? this.#link : undefined
  }

  /** @throws LinkError if the worker ended before it served, or reported why it cannot serve */
  async start(): Promise<WorkerGreeting> {
    const { fork, prepare, onStarted } = this.#options
    const child = fork(this.number)
    const link = new Link<ParentServes, WorkerServes>(frame => child.send(frame))
    this.#process = child
    this.#link = link
    this.#state = 'starting'
    child.onMessage(message => link.receive(message))
    this.#ended = new Promise(resolve =>
      child.onEnd(how => {
        this.#hasEnded(link, how)
        resolve()
      })
    )
    const configOf = prepare(this.number, link)
    const late = setTimeout(() => this.#startedTooSlowly(child), START_LIMIT_MS)
    // Frames that are sent before the worker's hello are lost.
    const hello = link.received('hello')
    const greeting = await hello.then(() => link.call('start', configOf())).finally(() => clearTimeout(late))
    if (this.#is('starting')) {
      this.#state = 'up'
      this.#serves = true
      this.#upSince = performance.now()
      onStarted?.(this.number)
    }
    return greeting
  }

  reported(): void {
    // The first report arrives shortly before the worker's greeting, so reports count already while the worker starts.
    if (!this.isUp && !this.#is('starting')) return
    this.#silentChecks = 0
    this.#checks ??= setInterval(() => this.#check(), CHECK_MS)
  }

  /** Counts checks, and not time: if this process was blocked, time has passed although the workers have reported. */
  #check(): void {
    if (++this.#silentChecks < MAX_SILENT_CHECKS) return
    const { number } = this
    const silentSeconds = (CHECK_MS * MAX_SILENT_CHECKS) / 1_000
    this.#options.log.error(
      { worker: number },
      `worker ${number} has not reported for ${silentSeconds} s and is killed`
    )
    this.#stopChecks()
    this.#process?.kill('SIGKILL')
  }

  #stopChecks(): void {
    clearInterval(this.#checks)
    this.#checks = undefined
  }

  #startedTooSlowly(child: WorkerProcess): void {
    const { number } = this
    this.#options.log.error({ worker: number }, `worker ${number} does not serve after ${START_LIMIT_MS / 1_000} s`)
    child.kill('SIGKILL')
  }

  #hasEnded(link: ParentLink, how: string): void {
    const { log, onEnded } = this.#options
    const { number } = this
    const former = this.#state
    this.#stopChecks()
    link.close(`worker ${number} has ended (${how})`)
    this.#process = undefined
    this.#serves = false
    onEnded?.(number)
    if (former === 'stopping') return
    this.lastEnd = { how, at: performance.now() }
    if (former === 'up' && performance.now() - this.#upSince >= SOUND_AFTER_MS) this.#failures = 0
    // The worker has never served, so the promise of `start` is rejected.
    if (former === 'starting' && this.restarts === 0) {
      this.#state = 'new'
      return
    }
    const pauseMs = this.#pauseMs()
    log.error({ worker: number, pauseMs }, `worker ${number} has ended (${how}); starting it again in ${pauseMs} ms`)
    this.#state = 'waiting'
    this.#timer = setTimeout(() => this.#restart(), pauseMs)
  }

  #pauseMs(): number {
    const { restartPauseMs, random = Math.random } = this.#options
    return Math.round(backoffMs(this.#failures++, restartPauseMs, LONGEST_PAUSE * restartPauseMs, random))
  }

  #restart(): void {
    const { log } = this.#options
    this.restarts++
    this.start().then(
      () => log.info({ worker: this.number }, `worker ${this.number} serves again`),
      (error: LinkError) => {
        if (error.cause === undefined) return
        log.error({ worker: this.number }, `worker ${this.number} could not be started: ${error.message}`)
        this.#process?.kill('SIGKILL')
      }
    )
  }

  async stop(timeoutMs: number): Promise<WorkerFarewell | undefined> {
    clearTimeout(this.#timer)
    this.#stopChecks()
    const wasUp = this.#is('up')
    this.#state = 'stopping'
    if (this.#process === undefined) return undefined
    const kill = setTimeout(() => this.kill(), timeoutMs)
    const said = wasUp ? await this.#link?.call('stop').catch(() => undefined) : undefined
    if (said === undefined) this.kill()
    else this.#link?.tell('exit')
    await this.#ended
    clearTimeout(kill)
    return said
  }

  kill(): void {
    clearTimeout(this.#timer)
    this.#stopChecks()
    this.#state = 'stopping'
    this.#process?.kill('SIGKILL')
  }

  #is(state: WorkerState): boolean {
    return this.#state === state
  }
}
