import type { ChildProcess } from 'node:child_process'
import cluster, { type Worker } from 'node:cluster'
import { closeWhatIsNotTaken } from './handed-over.js'
import type { Frame } from './link.js'

/** A process that a {@link Supervisor} has started. */
export interface WorkerProcess {
  readonly pid: number | undefined
  send(frame: Frame): void
  kill(signal: NodeJS.Signals): void
  onMessage(listener: (message: unknown) => void): void
  /** Called once: the exit code or the signal that ended it, and everything that it wrote has been read. */
  onEnd(listener: (how: string) => void): void
}

export interface WorkerOutputs {
  /** Called with whatever it writes, as it comes. */
  readonly stdout: (chunk: Buffer) => void
  readonly stderr: (chunk: Buffer) => void
}

/**
 * Starts processes that share listening ports: this process accepts connections and hands them out in turn. A connection
 * that no worker has yet outlives the workers, and all get their share; with a listening socket in common one of two got up
 * to two thirds.
 *
 * @param module what each process runs
 * @returns starts one
 */
export function workerForker(module: string): (number: number, outputs: WorkerOutputs) => WorkerProcess {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ exec: module, args: [], silent: true, serialization: 'advanced' })
  return (_, outputs) => new ClusterWorker(cluster.fork(), outputs)
}

class ClusterWorker implements WorkerProcess {
  readonly #worker: Worker
  readonly #process: ChildProcess

  constructor(worker: Worker, { stdout, stderr }: WorkerOutputs) {
    this.#worker = worker
    this.#process = worker.process
    closeWhatIsNotTaken(this.#process)
    this.#process.stdout!.on('data', stdout)
    this.#process.stderr!.on('data', stderr)
    worker.on('error', () => undefined)
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  send(frame: Frame): void {
    // One that has ended is told of by its end.
    if (this.#worker.isConnected()) this.#worker.send(frame as never, () => undefined)
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#worker.on('message', listener)
  }

  onEnd(listener: (how: string) => void): void {
    this.#process.once('close', (code, signal) => listener(signal ?? `exit code ${code}`))
  }
}
