import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Gateway, startGateway } from './servers.js'

/** What `loop-monitor.mjs` measures in a server process. */
export interface LoopFigures {
  readonly longestTickMs: number
  readonly longestGcMs: number
  /** Time that the collector stopped the process for, in all. */
  readonly gcMs: number
  readonly collections: number
  /** What collections of new objects moved to the old generation, since the figures before these; first 0. */
  readonly promotedBytes: number
  /** To any socket. */
  readonly writes: number
  /** Now in use. Between two figures without a collection, the difference is what was allocated. */
  readonly heapBytes: number
  readonly bufferBytes: number
}

/** What `garbage-monitor.mjs` measures in a server process. */
export interface GarbageFigures {
  /** In the heap. */
  readonly allocatedBytes: number
}

/** Asks a monitor in one server process. */
class Monitor<Figures> {
  /** The flags of Node that load the monitor into the server. */
  readonly nodeFlags: readonly string[]
  readonly #socket: string

  /** @param directory where the monitor makes its socket */
  constructor(directory: string, file: string) {
    this.#socket = join(directory, 'monitor.sock')
    const module = new URL(file, import.meta.url)
    module.searchParams.set('socket', this.#socket)
    this.nodeFlags = ['--import', module.href]
  }

  /** The figures since the last call. */
  async take(): Promise<Figures> {
    return JSON.parse(await text(connect(this.#socket))) as Figures
  }
}

export class LoopMonitor extends Monitor<LoopFigures> {
  constructor(directory: string) {
    super(directory, './loop-monitor.mjs')
  }
}

/** It costs nothing before it is asked for the first time. */
export class GarbageMonitor extends Monitor<GarbageFigures> {
  constructor(directory: string) {
    super(directory, './garbage-monitor.mjs')
  }
}

export type Monitored = Gateway & { readonly monitor: GarbageMonitor }

/** Starts a gateway whose garbage can be counted. @param settings the text of its configuration file */
export async function startMonitored(
  bootstrap: string,
  folder: string,
  name: string,
  settings: string
): Promise<Monitored> {
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, settings)
  const own = join(folder, `${name}-monitor`)
  mkdirSync(own)
  const monitor = new GarbageMonitor(own)
  return { ...(await startGateway(bootstrap, monitor.nodeFlags, file)), monitor }
}

/** The bytes of its heap that a server allocates for a request of a window. */
export async function garbagePerRequest(
  monitor: GarbageMonitor,
  run: () => Promise<{ readonly answeredInAll: number }>
): Promise<number> {
  await monitor.take()
  const { answeredInAll } = await run()
  const { allocatedBytes } = await monitor.take()
  return allocatedBytes / answeredInAll
}
