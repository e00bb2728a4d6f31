import type { GatewayDisk } from './gateway-disk.js'
import type { Host } from './world/host.js'

/** A process in which Castellan runs, on a host of its own. */
export interface SimulatedProcess {
  readonly name: string
  /** Another one after each restart. */
  readonly host: Host
  /** Outlives it. Absent: it keeps nothing. */
  readonly disk?: GatewayDisk | undefined
  /** What it holds, by name: must be 0 when nothing is asked of it. Looked at when everything is over. */
  held(): Promise<Readonly<Record<string, number>>>
  /** What is wrong with its bounds at this moment, if anything is. */
  boundsProblem?(): string | undefined
  /** Ends it in order. @returns the records that are lost by that */
  close(): Promise<number>
  /**
   * The process ends here and now. Absent: it is not made for that.
   *
   * @returns starts a new one; undefined: it has ended before
   */
  kill?(): (() => void) | undefined
  /**
   * Asks the process to stop, as SIGTERM does. Absent: it is not made for that.
   *
   * @returns starts a new one, as soon as it has ended; undefined: it is not there, or stops already
   */
  shutDown?(): (() => void) | undefined
}
