import { backoffMs } from '../../core/backoff.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import { Link, type LinkError } from './link.js'
import type { ParentLink, ParentServes, WorkerFarewell, WorkerGreeting, WorkerServes } from './messages.js'
import { WholeLines } from './whole-lines.js'
import type { WorkerOutputs, WorkerProcess } from './worker-process.js'

/** A worker that has served for so long counts as sound: its next end is the first one again. */
const SOUND_AFTER_MS = 60_000
/** A worker that does not serve after so long is killed: hooks, keys and a log that is still in use are waited for. */
const START_LIMIT_MS = 120_000
/** Pause between two checks whether a worker has reported, and how many checks without a report end in its being killed. */
const CHECK_MS = 5_000
const MAX_SILENT_CHECKS = 12
/** Beyond its own time limit, a worker that stops may use so much. */
const STOP_MARGIN_MS = 2_000

export interface SupervisorOptions {
  readonly count: number
  readonly restartPauseMs: number
  readonly maxRestartPauseMs: number
  readonly fork: (number: number, outputs: WorkerOutputs) => WorkerProcess
  /** What a worker is started with. */
  readonly orderFor: (number: number) => unknown
  /** Registers what the worker may ask of this process; called before it is started. */
  readonly onLink?: ((number: number, link: ParentLink) => void) | undefined
  /** It serves. */
  readonly onStarted?: ((number: number) => void) | undefined
  /** It has ended, whether it was to or not. */
  readonly onEnded?: ((number: number) => void) | undefined
  /** Whole lines of all workers. */
  readonly stdout: (lines: Buffer) => void
  readonly stderr: (lines: Buffer) => void
  readonly log: Logger
  readonly clock: MonotonicClock
  readonly random: () => number
}

/** A worker as others see it. */
export interface WorkerView {
  /** From 1. */
  readonly number: number
  readonly pid: number | undefined
  /** Whether it serves. */
  readonly isUp: boolean
  /** How often it was started again. */
  readonly restarts: number
  /** `undefined`: it is not up. */
  readonly link: ParentLink | undefined
}

/** Starts workers, starts those again that end unexpectedly, and stops all. */
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
   * Starts the first one, then, as it could be started, the others.
   *
   * @returns what each says when it serves
   * @throws LinkError when one of them cannot be started
   */
  async start(): Promise<readonly WorkerGreeting[]> {
    const [first, ...others] = this.#slots
    const said = [await first!.start()]
    return [...said, ...(await Promise.all(others.map(slot => slot.start())))]
  }

  /** Calls all that are up. @returns the answers of those that gave one in time, by number */
  async callAll<Name extends 'metrics' | 'statsd'>(
    name: Name,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, WorkerServes[Name]['answer']>> {
    const answers = new Map<number, WorkerServes[Name]['answer']>()
    const ask = async ({ number, link }: Slot): Promise<void> => {
      const answer = await link?.call<'metrics' | 'statsd'>(name, undefined, timeoutMs).catch(() => undefined)
      if (answer !== undefined) answers.set(number, answer as WorkerServes[Name]['answer'])
    }
    await Promise.all(this.#slots.map(ask))
    return answers
  }

  /** The worker has reported. One that did and then does not for a minute is killed, and started again. */
  heard(number: number): void {
    this.#slots[number - 1]?.heard()
  }

  /** @param tell is called with the link to each that is up */
  tellAll(tell: (link: ParentLink) => void, except?: number): void {
    for (const { number, link } of this.#slots) if (number !== except && link) tell(link)
  }

  /**
   * Stops all at the same time. Idempotent.
   *
   * @param timeoutMs afterwards they are killed
   * @returns what each that stopped in order said at last
   */
  async stop(timeoutMs: number): Promise<readonly WorkerFarewell[]> {
    if (this.#isStopping) return []
    this.#isStopping = true
    const said = await Promise.all(this.#slots.map(slot => slot.stop(timeoutMs + STOP_MARGIN_MS)))
    return said.filter(one => one !== undefined)
  }

  /** Ends all at once. */
  kill(): void {
    this.#isStopping = true
    for (const slot of this.#slots) slot.kill()
  }
}

type State = 'new' | 'starting' | 'up' | 'waiting' | 'stopping'

class Slot implements WorkerView {
  readonly number: number
  readonly #options: SupervisorOptions
  #process: WorkerProcess | undefined
  #link: ParentLink | undefined
  #state: State = 'new'
  #timer: NodeJS.Timeout | undefined
  #checks: NodeJS.Timeout | undefined
  #silentChecks = 0
  /** Ends in a row that were not expected. */
  #failures = 0
  #upSince = 0
  #ended: Promise<void> = Promise.resolve()
  restarts = 0

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
    return this.#state === 'up' ? this.#link : undefined
  }

  /** @throws LinkError when it ended before it served, or said why it cannot */
  async start(): Promise<WorkerGreeting> {
    const { fork, onLink, onStarted, clock } = this.#options
    const outputs = [new WholeLines(this.#options.stdout), new WholeLines(this.#options.stderr)] as const
    const child = fork(this.number, {
      stdout: chunk => outputs[0].add(chunk),
      stderr: chunk => outputs[1].add(chunk)
    })
    const link = new Link<ParentServes, WorkerServes>(frame => child.send(frame))
    this.#process = child
    this.#link = link
    this.#state = 'starting'
    child.onMessage(message => link.receive(message))
    this.#ended = new Promise(resolve =>
      child.onEnd(how => {
        for (const lines of outputs) lines.end()
        this.#hasEnded(link, how)
        resolve()
      })
    )
    onLink?.(this.number, link)
    const late = setTimeout(() => this.#startedTooSlowly(child), START_LIMIT_MS)
    const said = await this.#order(link).finally(() => clearTimeout(late))
    if (this.#is('starting')) {
      this.#state = 'up'
      this.#upSince = clock()
      onStarted?.(this.number)
    }
    return said
  }

  async #order(link: ParentLink): Promise<WorkerGreeting> {
    // What is sent before the other end listens is lost.
    await link.told('hello')
    return link.call('start', this.#options.orderFor(this.number))
  }

  heard(): void {
    // The first report comes shortly before the worker is known to serve.
    if (!this.isUp && !this.#is('starting')) return
    this.#silentChecks = 0
    this.#checks ??= setInterval(() => this.#check(), CHECK_MS)
  }

  /** Checks are counted, and not time: when this process stood still itself, no worker is to blame. */
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
    const { log, onEnded, clock } = this.#options
    const { number } = this
    const former = this.#state
    this.#stopChecks()
    link.close(`worker ${number} has ended (${how})`)
    this.#process = undefined
    onEnded?.(number)
    if (former === 'stopping') return
    if (former === 'up' && clock() - this.#upSince >= SOUND_AFTER_MS) this.#failures = 0
    // It never served: the caller of `start` is told.
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
    const { restartPauseMs, maxRestartPauseMs, random } = this.#options
    return Math.round(backoffMs(this.#failures++, restartPauseMs, maxRestartPauseMs, random))
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

  #is(state: State): boolean {
    return this.#state === state
  }
}
