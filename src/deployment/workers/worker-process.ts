import cluster, { type Worker } from 'node:cluster'
import type { Frame } from './link.js'

const LINE_FEED = 0x0a
const END = Buffer.from('\n')

/** Maximum length of an incomplete line that is held in memory. A longer line is passed on in pieces. */
const MAX_HELD_BYTES = 1_048_576
/** Memory that a Buffer takes in addition to its bytes. */
const BUFFER_BYTES = 128

/** A process that a {@link Supervisor} has started. */
export interface WorkerProcess {
  readonly pid: number | undefined
  send(frame: Frame): void
  kill(signal: NodeJS.Signals): void
  onMessage(listener: (message: unknown) => void): void
  /**
   * Calls the listener once, when the process has ended and all its output is read. `how` is the exit code or the
   * signal.
   */
  onEnd(listener: (how: string) => void): void
}

/** The streams to which the output of all workers is written, line by line. */
export interface WorkerOutput {
  readonly stdout: LineSink
  readonly stderr: LineSink
}

interface LineSink {
  /** `false`: it has enough until it emits `drain`. */
  write(lines: Buffer): unknown
  once?(event: 'drain', listener: () => void): unknown
}

/**
 * Starts processes that share listening ports. This process accepts the connections and passes them to the workers in
 * turn. A connection that is not passed on yet survives the end of a worker, and all workers get equal shares. With one
 * listening socket for all workers, one of two workers got up to two thirds of the connections.
 *
 * @param module the module that each process runs
 * @returns a function that starts one process
 */
export function workerForker(module: string, output: WorkerOutput): () => WorkerProcess {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ exec: module, args: [], silent: true, serialization: 'advanced' })
  return () => processOf(cluster.fork(), output)
}

function processOf(worker: Worker, output: WorkerOutput): WorkerProcess {
  const { process } = worker
  closeUntakenConnections(process)
  for (const stream of ['stdout', 'stderr'] as const) {
    const from = process[stream]!
    let hasEnded = false
    const lines = new WholeLines(whole => {
      if (output[stream].write(whole) !== false || hasEnded) return
      // What nothing reads waits in the worker, which drops lines.
      from.pause()
      output[stream].once?.('drain', () => from.resume())
    })
    from.on('data', chunk => lines.add(chunk))
    process.once('exit', () => {
      hasEnded = true
      from.resume()
    })
    process.once('close', () => lines.end())
  }
  worker.on('error', () => undefined)
  return {
    pid: process.pid,
    send: frame => {
      // The end of a process is reported by `onEnd`, not by a failed send.
      if (worker.isConnected()) worker.send(frame as never, () => undefined)
    },
    kill: signal => void process.kill(signal),
    onMessage: listener => void worker.on('message', listener),
    onEnd: listener => void process.once('close', (code, signal) => listener(signal ?? `exit code ${code}`))
  }
}

/** A message of Node's `cluster`. `newconn` passes a connection to a worker, which answers with `ack`. */
interface ClusterMessage {
  readonly cmd?: string
  readonly act?: string
  readonly seq?: number
  readonly ack?: number
}

interface Handle {
  close(): void
}

type Send = (message: ClusterMessage, handle?: Handle, ...rest: unknown[]) => boolean

/** The members of a child process that are used here. */
interface Child {
  send: unknown
  on(event: 'internalMessage', listener: (message: ClusterMessage) => void): unknown
  once(event: 'close', listener: () => void): unknown
}

/**
 * Closes connections that were sent to a worker that ended before it answered `ack`. Otherwise Node keeps them open in
 * this process forever, and their clients wait in vain. They are not passed to another worker, because the ended worker
 * may have read some of their bytes.
 *
 * @param child a worker of `cluster` to which nothing has been sent yet
 */
function closeUntakenConnections(child: Child): void {
  const untaken = new Map<number, Handle>()
  const send = (child.send as Send).bind(child)
  const noting: Send = (message, handle, ...rest) => {
    if (message.act === 'newconn' && message.seq !== undefined && handle) untaken.set(message.seq, handle)
    return send(message, handle, ...rest)
  }
  child.send = noting
  child.on('internalMessage', ({ ack }: ClusterMessage) => {
    if (ack !== undefined) untaken.delete(ack)
  })
  // Node emits no 'disconnect' while a connection is untaken.
  child.once('close', () => {
    for (const handle of untaken.values()) handle.close()
    untaken.clear()
  })
}

/** Passes bytes on in whole lines, so that lines of several processes are not mixed on one stream. */
export class WholeLines {
  readonly #write: (lines: Buffer) => void
  #rest: Buffer[] = []
  #heldBytes = 0

  constructor(write: (lines: Buffer) => void) {
    this.#write = write
  }

  add(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LINE_FEED) + 1
    if (end > 0) {
      this.#write(Buffer.concat([...this.#rest, chunk.subarray(0, end)]))
      this.#forget()
    }
    if (end < chunk.length) this.#hold(chunk.subarray(end))
  }

  /** Writes the last line, even if it has no line break. */
  end(): void {
    if (this.#rest.length > 0) this.#write(Buffer.concat([...this.#rest, END]))
    this.#forget()
  }

  #hold(chunk: Buffer): void {
    const bytes = chunk.length + BUFFER_BYTES
    if (this.#heldBytes + bytes > MAX_HELD_BYTES) this.end()
    this.#rest.push(chunk)
    this.#heldBytes += bytes
  }

  #forget(): void {
    this.#rest = []
    this.#heldBytes = 0
  }
}
