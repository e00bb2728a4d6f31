import type { ApiName } from 'castellan'
import { Child } from './child.js'

export interface BrokerSetup {
  readonly nodes?: number
  /** Port of the first node; 0 (default): any free port. */
  readonly port?: number
  /** Maximum size of each partition. Default: 64 MiB. */
  readonly retentionBytes?: number
  readonly topics: readonly { readonly topic: string; readonly partitions: number }[]
}

/** The embedded broker in a process of its own. */
export interface Broker {
  readonly pid: number
  readonly bootstrap: string
  /** The number of records ever written to a topic: the sum of its high watermarks. */
  recordsIn(topic: string): Promise<number>
  /** The same of all topics together. */
  recordsInAll(): Promise<number>
  /** The number of requests to this API that were served so far. */
  requestCount(api: ApiName): Promise<number>
  stop(): Promise<void>
}

/**
 * V8 counts buffers that have become garbage, and collects the whole heap when they exceed about the size of the old
 * space. That of a broker is small, and each produced byte is read into a new buffer, so every 10 MB of records stopped
 * the broker for 5 to 15 ms. Records of all other clients waited that long, which is no property of the gateway.
 */
const HEAP_FLAGS = ['--initial-old-space-size=512']

export async function startBroker(setup: BrokerSetup): Promise<Broker> {
  const { child, ready } = await Child.start<{ bootstrap: string }>(
    './broker-process.ts',
    setup,
    [],
    process.execPath,
    HEAP_FLAGS
  )
  return {
    pid: child.pid,
    bootstrap: ready.bootstrap,
    recordsIn: topic => child.ask<number>('recordsIn', { topic }),
    recordsInAll: () => child.ask<number>('recordsInAll'),
    requestCount: api => child.ask<number>('requestCount', { api }),
    stop: () => child.stop()
  }
}
