import type { ApiName } from 'castellan'
import { Child } from './child.js'

export interface BrokerSetup {
  readonly nodes?: number
  /** Of the first node; 0 (default): any free one. */
  readonly port?: number
  /** Per partition; default 64 MiB. */
  readonly retentionBytes?: number
  readonly topics: readonly { readonly topic: string; readonly partitions: number }[]
}

/** The embedded broker in a process of its own. */
export interface Broker {
  readonly pid: number
  readonly bootstrap: string
  /** Records ever written to a topic: the sum of its high watermarks. */
  recordsIn(topic: string): Promise<number>
  /** Requests served so far. */
  requestCount(api: ApiName): Promise<number>
  stop(): Promise<void>
}

export async function startBroker(setup: BrokerSetup): Promise<Broker> {
  const { child, ready } = await Child.start<{ bootstrap: string }>('./broker-process.ts', setup)
  return {
    pid: child.pid,
    bootstrap: ready.bootstrap,
    recordsIn: topic => child.ask<number>('recordsIn', { topic }),
    requestCount: api => child.ask<number>('requestCount', { api }),
    stop: () => child.stop()
  }
}
