import { worldNow } from '../../../support/held-amounts.js'
import { replaceGlobals } from './globals.js'
import { Host } from './host.js'
import { Network } from './network.js'
import { Randomness } from './randomness.js'
import { SimulatedTime } from './time.js'
import { Trace } from './trace.js'

/** Node's own, from before anything was replaced: the simulation itself must go on in real turns. */
const realSetImmediate = globalThis.setImmediate

/** So many turns are queued at a time: each costs a look at the real sockets otherwise. */
const TURNS_AT_A_TIME = 32

/** A shorter time may pass while the real machine is at work. */
const MOMENT_MS = 1

/** Whether files are being read and such. */
const isBusyOutside = (): boolean => process.getActiveResourcesInfo().some(kind => /Req/.test(kind))

export interface WorldOptions {
  readonly seed: number
  /** Keep lines of the trace to read. */
  readonly isTraced?: boolean
  /** A world that has had so many turns goes round in circles and is ended. Default: no limit. */
  readonly mostTurns?: number
}

/** What went wrong in a way that nobody caught. */
export interface Crash {
  readonly host: string
  readonly atMs: number
  readonly error: unknown
}

/**
 * One world: a clock, randomness and a network that come from a seed. While it is open they stand in the place of
 * Node's for this whole process, so there is one at a time.
 */
export class World {
  readonly seed: number
  readonly random: Randomness
  readonly time = new SimulatedTime()
  readonly trace: Trace
  readonly network: Network
  readonly crashes: Crash[] = []
  readonly #hosts: Host[] = [this.time.current]
  readonly #mostTurns: number
  readonly #restore: () => void
  readonly #onRejection = (error: unknown): void => this.#crashed(error)
  #turns = 0

  constructor({ seed, isTraced = false, mostTurns = Number.POSITIVE_INFINITY }: WorldOptions) {
    this.seed = seed
    this.#mostTurns = mostTurns
    this.random = new Randomness(seed)
    this.trace = new Trace(() => this.time.now, isTraced)
    const nature = this.random.for('nature of the network')
    this.network = new Network(this.time, this.trace, this.random.for('network'), {
      latencyMs: [0.05, nature.pick([0.2, 1, 1, 5])],
      capacityBytes: nature.pick([4_096, 65_536, 65_536, 1_048_576]),
      splitPercent: nature.pick([0, 2, 10])
    })
    const restore = replaceGlobals(this.time, this.network, this.random.for('the code under test'))
    const fate = worldNow.fate
    worldNow.fate = () => {
      const { current } = this.time
      return () => current.state === 'dead'
    }
    this.#restore = () => {
      worldNow.fate = fate
      restore()
    }
    process.on('unhandledRejection', this.#onRejection)
    process.on('uncaughtException', this.#onRejection)
  }

  get turns(): number {
    return this.#turns
  }

  host(name: string, isOnlooker = false): Host {
    const host = new Host(name, this.#hosts.length, isOnlooker)
    this.#hosts.push(host)
    return host
  }

  /** Does something on a host, at once; for what does not go on in promises. */
  on<Result>(host: Host, action: () => Result): Result {
    return this.time.on(host, action)
  }

  /** Does something on a host in a turn of its own, so that what follows from it in promises happens there as well. */
  start<Result>(host: Host, action: () => Result | Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.time.schedule(0, host, 'starts', () => {
        try {
          Promise.resolve(action()).then(resolve, reject)
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  /** Lets so much time pass. @throws Error when the world has had all its turns, as all that let time pass do */
  pass(durationMs: number): Promise<void> {
    return this.#run(this.time.now + durationMs, () => false)
  }

  /** Lets time pass until the promise is settled. @throws Error when it is not within `limitMs` */
  async until<Result>(what: string, promise: Promise<Result>, limitMs: number): Promise<Result> {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    await this.#run(this.time.now + limitMs, () => isSettled)
    if (!isSettled) throw new Error(`${what} took longer than ${limitMs} ms`)
    return promise
  }

  /** Lets time pass until it is so. @returns whether it became so within `limitMs` */
  async untilTrue(isSo: () => boolean, limitMs: number): Promise<boolean> {
    await this.#run(this.time.now + limitMs, isSo)
    return isSo()
  }

  /**
   * Lets time pass by itself until what it returns is called. Time stands still while something of the real machine is
   * under way, such as reading a file.
   */
  flow(): () => void {
    let isOver = false
    let queued = 0
    const next = (): void => {
      queued--
      if (isOver) return
      const at = this.time.nextAt
      if (at !== undefined && (at - this.time.now < MOMENT_MS || !isBusyOutside())) this.#turn(at)
      if (queued === 0) queue()
    }
    const queue = (): void => {
      for (; queued < TURNS_AT_A_TIME; queued++) realSetImmediate(next)
    }
    queue()
    return () => {
      isOver = true
    }
  }

  /** What was started and has not ended: timers that keep a process alive, and connections. */
  left(): string[] {
    const timers = this.#hosts.flatMap(host => this.time.pendingOf(host)).filter(({ isRef }) => isRef)
    const wires = this.network.wires.map(({ there }) => `connection ${there.name}`)
    return [...timers.map(({ what, at }) => `${what} for ${at.toFixed(0)} ms`), ...wires]
  }

  close(): void {
    process.off('unhandledRejection', this.#onRejection)
    process.off('uncaughtException', this.#onRejection)
    this.#restore()
  }

  #run(untilMs: number, isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let queued = 0
      let isDone = false
      const next = (): void => {
        queued--
        if (!isDone) {
          if (isOver() || !this.#turn(untilMs)) isDone = true
        }
        if (queued > 0) return
        if (!isDone) return void queue()
        this.time.current = this.#hosts[0]!
        if (this.#turns < this.#mostTurns) resolve()
        else reject(new Error(`${this.#turns} turns by ${this.time.now.toFixed(1)} ms`))
      }
      const queue = (): void => {
        for (; queued < TURNS_AT_A_TIME; queued++) realSetImmediate(next)
      }
      queue()
    })
  }

  #turn(untilMs: number): boolean {
    if (this.#turns >= this.#mostTurns) return false
    const task = this.time.next(untilMs)
    if (task === undefined) return false
    this.#turns++
    this.trace.add(task.host?.name ?? 'network', task.what)
    try {
      this.time.run(task)
    } catch (error) {
      this.#crashed(error)
    }
    return true
  }

  #crashed(error: unknown): void {
    this.crashes.push({ host: this.time.current.name, atMs: this.time.now, error })
  }
}
