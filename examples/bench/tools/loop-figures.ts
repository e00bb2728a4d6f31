import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** What `loop-monitor.mjs` measures in a server process. */
export interface LoopFigures {
  readonly longestTickMs: number
  readonly longestGcMs: number
  /** Time that the collector stopped the process for, in all. */
  readonly gcMs: number
}

/** Asks the monitor in one server process. */
export class LoopMonitor {
  /** The flags of Node that load the monitor into the server. */
  readonly nodeFlags: readonly string[]
  readonly #socket: string

  /** @param directory where the monitor makes its socket */
  constructor(directory: string) {
    this.#socket = join(directory, 'monitor.sock')
    const module = new URL('./loop-monitor.mjs', import.meta.url)
    module.searchParams.set('socket', this.#socket)
    this.nodeFlags = ['--import', module.href]
  }

  /** The figures since the last call. */
  async take(): Promise<LoopFigures> {
    return JSON.parse(await text(connect(this.#socket))) as LoopFigures
  }
}
